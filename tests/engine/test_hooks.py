"""The hooks inside a real Runner."""

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, MODELS
from torch import nn
from torch.utils.data import ConcatDataset

from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.datasets import dataset_vocabulary
from mmseg_dcpclip.models import DCPCLIP

NAMES = ('cat', 'dog', 'sky')


@DATASETS.register_module()
class TwoRegions(BaseSegDataset):
    """One picture: left half 'dog', right half 'sky'."""
    METAINFO = dict(classes=NAMES, palette=[[0, 0, 0], [9, 9, 9], [99, 99, 99]])

    def load_data_list(self):
        return [dict(img_path='none.png')]

    def prepare_data(self, index):
        from toys import toy_samples
        data = toy_samples([(8, 16)], num_classes=3)
        label = torch.ones(1, 8, 16).long()
        label[..., 8:] = 2
        data['data_samples'][0].gt_sem_seg.data = label
        return {key: value[0] for key, value in data.items()}


@MODELS.register_module()
class MistakenDCPCLIP(DCPCLIP):
    """Predicts 'cat' on the left and 'sky' on the right; its features know better."""

    def text_embeddings(self, words=None):
        from mmseg_dcpclip.models import TextEmbeddings
        return TextEmbeddings.from_templates(torch.eye(3)[:, None].repeat(1, 2, 1))

    def encode_decode(self, inputs, batch_data_samples=None, **kwargs):
        from mmseg_dcpclip.models import CLIPFeatures, Pairs
        patch = torch.zeros(1, 2, 3)
        patch[0, 0, 1] = patch[0, 1, 2] = 1.0  # dog, sky
        logits = torch.zeros(3, 8, 16)
        logits[0, :, :8], logits[2, :, 8:] = 5.0, 5.0
        pairs = Pairs.from_mask(torch.ones(1, 3, dtype=torch.bool))
        return logits, pairs, CLIPFeatures(patch[:, 0], patch, (1, 2))


def run_test(tmp_path, hooks, name='run'):
    from toys import toy_model_config
    model = toy_model_config(type='MistakenDCPCLIP', vocabulary=list(NAMES))
    loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler',
                                                            shuffle=False),
                  dataset=dict(type='TwoRegions'))
    runner = Runner.from_cfg(Config(dict(
        model=model, work_dir=str(tmp_path / name), default_scope='mmseg',
        test_dataloader=loader, test_cfg=dict(type='TestLoop'),
        test_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
        custom_hooks=[dict(type='VocabularyHook'), *hooks], log_level='ERROR',
        experiment_name=f'{tmp_path.name}_{name}')))
    metrics = runner.test()
    assert runner.model.tag_validation is None  # detached again
    return metrics['mIoU']


def test_the_evaluator_sees_validated_masks(tmp_path):
    # dog: 0; sky: 100; cat is predicted and absent: 0
    assert run_test(tmp_path, [], 'without') == pytest.approx(100 / 3, abs=0.01)
    # 'cat' is unseen and not the most similar: it becomes 'dog'
    hook = dict(type='TagValidationHook', seen=['sky'], top_k=1)
    assert run_test(tmp_path, [hook], 'unseen') == 100.0
    # 'cat' is seen: nothing is touched
    hook = dict(type='TagValidationHook', seen=['cat', 'sky'], top_k=1)
    assert run_test(tmp_path, [hook], 'seen') == pytest.approx(100 / 3, abs=0.01)
    # by default the config's vocabulary is what was seen: all three
    hook = dict(type='TagValidationHook', top_k=1)
    assert run_test(tmp_path, [hook], 'default') == pytest.approx(100 / 3, abs=0.01)


def test_vocabulary_follows_the_dataset(tmp_path):
    from toys import toy_model

    from mmseg_dcpclip.engine import VocabularyHook
    model = toy_model()

    class Loader:

        def __init__(self, words):
            self.dataset = nn.Module()
            self.dataset.vocabulary = Vocabulary(words)

    class FakeRunner:
        train_dataloader = Loader(['a', 'b'])
        val_dataloader = Loader(['c'])
        test_dataloader = Loader(['d', 'e', 'f'])

    runner, hook = FakeRunner(), VocabularyHook()
    runner.model = model
    hook.before_train(runner)
    assert model.vocabulary.names == ('a', 'b')
    hook.before_val(runner)
    assert model.vocabulary.names == ('c', )
    hook.after_val(runner)
    assert model.vocabulary.names == ('a', 'b')
    hook.before_test(runner)
    assert model.dataset_meta['classes'] == ('d', 'e', 'f')


def test_vocabulary_of_wrapped_datasets():
    dataset = TwoRegions()
    assert dataset_vocabulary(dataset).names == NAMES
    assert dataset_vocabulary(ConcatDataset([dataset, dataset])).names == NAMES
    assert dataset_vocabulary(dataset).palette == [[0, 0, 0], [9, 9, 9], [99, 99, 99]]
    assert pseudo_collate([dataset.prepare_data(0)])['inputs'][0].shape == (3, 8, 16)
