from .build import LossConfig, build_losses, pair_losses
from .finite import check_finite
from .selected_bce import SelectedBCELoss, selected_bce
from .selected_ce import SelectedCrossEntropyLoss, selected_cross_entropy

__all__ = ['LossConfig', 'SelectedBCELoss', 'SelectedCrossEntropyLoss',
           'build_losses', 'check_finite', 'pair_losses', 'selected_bce',
           'selected_cross_entropy']
