from .finite import check_finite
from .selected_bce import SelectedBCELoss, selected_bce

__all__ = ['SelectedBCELoss', 'check_finite', 'selected_bce']
