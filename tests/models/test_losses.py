import pytest
import torch
import torch.nn.functional as F
from toys import toy_pairs

from mmseg_dcpclip.models.losses import SelectedBCELoss, selected_bce
from mmseg_dcpclip.models.structures import Pairs


@pytest.mark.parametrize('ignored', ['mask', 'negative'])
def test_equals_one_hot_bce(ignored):
    torch.manual_seed(0)
    pairs = Pairs(torch.tensor([0, 0, 1]), torch.tensor([1, 4, 2]), [2, 1])
    logits = torch.randn(3, 5, 6, requires_grad=True)
    labels = torch.randint(0, 5, (2, 5, 6))
    labels[0, :2] = 255
    loss = selected_bce(logits, labels, pairs, 255, ignored)

    expected = 0
    for b, categories in enumerate(([1, 4], [2])):
        rows = [m for m in range(3) if pairs.image[m] == b]
        target = torch.stack([(labels[b] == c).float() for c in categories])
        bce = F.binary_cross_entropy_with_logits(logits[rows], target, reduction='none')
        valid = labels[b] != 255 if ignored == 'mask' else torch.ones(5, 6).bool()
        expected = expected + bce[:, valid].mean() / 2
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*(torch.autograd.grad(x, logits, retain_graph=True)[0]
                                 for x in (loss, expected)))


def test_image_without_labels_adds_nothing():
    logits = torch.randn(4, 3, 3, requires_grad=True)
    loss = selected_bce(logits, torch.full((2, 3, 3), 255), toy_pairs((3, 1)), 255)
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()


def test_bad_option():
    with pytest.raises(ValueError, match='ignored'):
        SelectedBCELoss(ignored='both')
