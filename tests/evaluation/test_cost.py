"""What is measured is what was asked for, and the model stays what it is."""

import pytest
import torch
from mmengine.config import Config
from mmseg.structures import SegDataSample
from toys import toy_model

from mmseg_dcpclip.evaluation.cost import (
    Bench,
    Conditions,
    FixedSelection,
    RandomWords,
    inference_cases,
    random_model,
    train_cases,
)
from mmseg_dcpclip.evaluation.cost.bench import PICTURE, random_image
from mmseg_dcpclip.evaluation.cost.dcpclip_cases import segment
from mmseg_dcpclip.shipped import config_path
from mmseg_dcpclip.vocabulary import Vocabulary


@pytest.fixture(autouse=True)
def one_thread():
    """Toy sizes gain nothing from more, and wait for them on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def bench():
    config = Config.fromfile(config_path('dcpclip_mini'))
    return Bench(random_model(config, 'cpu'), Conditions(64))


def test_training_has_exactly_the_pairs_asked_for(bench):
    model = bench.model
    seen = []
    model.decode_head.register_forward_pre_hook(
        lambda head, args: seen.append(len(args[2])))
    cases = train_cases(bench, [3, 20])
    for case in cases:
        for _ in range(2):
            case.job.setup()
            case.job.call()
    assert seen == [3, 3, 20, 20]
    weights = [p for name, p in model.backbone.named_parameters()
               if name.endswith(('q_proj.weight', 'v_proj.weight'))]
    assert len(weights) == 10 and all(p.grad is not None for p in weights)


def test_the_model_keeps_its_words_and_its_selection(bench):
    model = bench.model
    before = set(vars(model)), model.selection, model.vocabulary
    cases = [*inference_cases(bench, [5], [2, 'auto'], ['forward', 'postprocess']),
             *train_cases(bench, [3])]
    for case in cases:
        case.job.setup()
        case.job.call()
    assert (set(vars(model)), model.selection, model.vocabulary) == before
    assert [case.row['selected'] for case in cases][:2] == [2, 2]
    assert model.vocabulary == Vocabulary.load('mini-seen')


def test_a_config_keeps_its_weights(bench):
    config = Config.fromfile(config_path('dcpclip_mini'))
    random_model(config, 'cpu')
    assert config.model.backbone.pretrained == 'miniworld'


@pytest.mark.parametrize('test_cfg', [
    dict(mode='whole'), dict(mode='slide', crop_size=(32, 32), stride=(16, 32))])
def test_a_picture_goes_through_what_it_goes_through_in_predict(test_cfg):
    model = toy_model(test_cfg=test_cfg).eval()
    image = random_image(48, 64, 'cpu')
    with torch.no_grad():
        own = segment(model, image, model.text_embeddings(), model.selection)
        sample = SegDataSample(metainfo=dict(ori_shape=PICTURE))
        expected, = model.predict(image, [sample])
    assert own.pred_sem_seg.data.shape == (1, *PICTURE)
    assert torch.equal(own.pred_sem_seg.data, expected.pred_sem_seg.data)
    assert own.selected_categories == expected.selected_categories


def test_fixed_selection_keeps_the_most_likely():
    model = toy_model().eval()
    text = model.text_embeddings()
    selection = FixedSelection(model.selection, 2)
    with torch.no_grad():
        features = model.extract_feat(random_image(32, 32, 'cpu'))
        mask = model.select(features, text, selection)
        best = (features.cls @ text.mean.T).topk(2, 1).indices
        assert mask.sum() == 2 and mask.gather(1, best).all()
        # the first call decides
        features.cls = -features.cls
        assert torch.equal(model.select(features, text, selection), mask)
        # views of one picture share it
        views = model.extract_feat(torch.randn(3, 3, 32, 32))
        mask = model.select(views, text, FixedSelection(model.selection, 2))
        assert mask.sum() == 6 and (mask == mask[0]).all()


def test_random_words_are_unit_and_always_the_same():
    words = RandomWords(100, 16, 3, 'cpu', torch.float16)
    ids = torch.tensor([99, 0, 5])
    rows = words.rows(ids)
    assert rows.shape == (3, 3, 16) and rows.dtype == torch.float32
    torch.testing.assert_close(rows.norm(dim=-1), torch.ones(3, 3))
    assert torch.equal(rows[1:2], words.rows(torch.tensor([0])))
    assert words.mean.dtype == torch.float16 and words.nbytes == 100 * 16 * 2
    assert torch.equal(words.first_equal(), torch.arange(100))
