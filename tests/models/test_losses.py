import sys

import pytest
import torch
import torch.nn.functional as F
from toys import toy_model, toy_model_config, toy_pairs, toy_samples

from mmseg_dcpclip.models.losses import (
    SelectedBCELoss,
    build_losses,
    selected_bce,
    selected_cross_entropy,
)
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


@pytest.mark.parametrize('none_logit', [None, 0.5])
def test_equals_cross_entropy_of_every_pixel(none_logit):
    torch.manual_seed(0)
    pairs = Pairs(torch.tensor([0, 0, 0, 1]), torch.tensor([1, 3, 4, 2]), [3, 1])
    logits = torch.randn(4, 5, 6, requires_grad=True)
    labels = torch.randint(0, 6, (2, 5, 6))
    labels[0, :2] = 255
    loss = selected_cross_entropy(logits, labels, pairs, none_logit)

    expected = 0
    for b, categories in enumerate(([1, 3, 4], [2])):
        rows = [m for m in range(4) if pairs.image[m] == b]
        terms = []
        for y in range(5):
            for x in range(6):
                if int(labels[b, y, x]) in categories:
                    own = logits[rows, y, x]
                    right = own[categories.index(int(labels[b, y, x]))]
                    others = [] if none_logit is None else [torch.tensor([none_logit])]
                    terms.append(torch.cat([own, *others]).logsumexp(0) - right)
        expected = expected + torch.stack(terms).mean() / 2
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*(torch.autograd.grad(x, logits, retain_graph=True)[0]
                                 for x in (loss, expected)))


def test_cross_entropy_of_an_image_without_its_categories_adds_nothing():
    logits = torch.randn(4, 3, 3, requires_grad=True)
    labels = torch.full((2, 3, 3), 255)
    loss = selected_cross_entropy(logits, labels, toy_pairs((3, 1)))
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()


def test_several_losses_are_logged_each():
    both = [dict(type='SelectedBCELoss'),
            dict(type='SelectedCrossEntropyLoss', loss_weight=3.0)]
    config = toy_model_config()
    config['decode_head']['loss_decode'] = both
    model = toy_model(decode_head=config['decode_head'])
    data = model.data_preprocessor(toy_samples([(24, 32), (24, 32)]), True)
    losses = model.loss(**data)
    alone = {}
    for one in both:
        config['decode_head']['loss_decode'] = one
        alone |= toy_model(decode_head=config['decode_head']).loss(**data)
    for name in ('decode.loss_bce', 'decode.loss_ce'):
        torch.testing.assert_close(losses[name], alone[name])


@pytest.mark.parametrize('losses, message', [
    ([], 'nothing to train with'),
    ([dict(type='SelectedBCELoss')] * 2, "called 'loss_bce'")])
def test_bad_lists_of_losses(losses, message):
    with pytest.raises(ValueError, match=message):
        build_losses(losses)


@pytest.mark.parametrize('ignored', ['mask', 'negative'])
def test_parts_at_full_size_equal_the_whole(ignored, monkeypatch):
    """Resized, a pair at a time, against autograd on all of it in float64."""
    torch.manual_seed(0)
    pairs = Pairs(torch.tensor([0, 0, 1]), torch.tensor([1, 4, 2]), [2, 1])
    logits = torch.randn(3, 5, 6, requires_grad=True)
    labels = torch.randint(0, 5, (2, 11, 9))
    labels[0, :2] = 255
    # The package exports a function of the module's name.
    monkeypatch.setitem(sys.modules[selected_bce.__module__].MAX_PIXELS, 'cpu', 1)
    loss = 3 * selected_bce(logits, labels, pairs, 255, ignored)

    maps = F.interpolate(logits.double()[None], (11, 9), mode='bilinear')[0]
    expected = 0
    for x, b, c, n in zip(maps, pairs.image, pairs.category, (2, 2, 1)):
        valid = labels[b] != 255 if ignored == 'mask' else labels[b] >= 0
        expected += 3 * F.binary_cross_entropy_with_logits(
            x[valid], (labels[b] == c)[valid].double()) / n / 2
    torch.testing.assert_close(loss.double(), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(*(torch.autograd.grad(x, logits)[0]
                                 for x in (loss, expected)), atol=1e-7, rtol=1e-5)
    with torch.no_grad():
        assert selected_bce(logits, labels, pairs, 255, ignored) * 3 == loss


def test_small_gradients_of_half_precision_survive():
    """A loss is scaled (AMP) behind the loss: its own gradient must not vanish."""
    logits = torch.zeros(1, 2, 2, dtype=torch.float16, requires_grad=True)
    labels = torch.zeros(1, 512, 512, dtype=torch.long)
    pairs = Pairs(torch.tensor([0]), torch.tensor([1]), [1])
    (2**-20 * selected_bce(logits, labels, pairs, 255) * 2**20).backward()
    torch.testing.assert_close(logits.grad, torch.full_like(logits, 0.125))
