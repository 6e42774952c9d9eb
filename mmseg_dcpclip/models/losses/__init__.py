from .selected_bce import SelectedBCELoss, selected_bce

__all__ = ['SelectedBCELoss', 'selected_bce']
