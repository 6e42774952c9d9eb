import json

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample
from PIL import Image

import mmseg_dcpclip.evaluation  # noqa: F401  registers the metric
from mmseg_dcpclip.evaluation import (
    OVIoUMetric,
    class_scores,
    count_pixels,
    harmonic_mean,
    summarize,
)
from mmseg_dcpclip.vocabulary import Vocabulary

# Four classes, ignore 255: the worked example of the two rules.
LABEL = torch.tensor([[0, 0, 0, 0, 255], [1, 1, 1, 1, 255]])
PRED = torch.tensor([[0, 0, 0, 2, 3], [1, 1, 1, 1, 1]])


def sample(pred, label=None, img_path='a.jpg', **meta):
    out = SegDataSample(metainfo=dict(img_path=img_path, **meta))
    out.pred_sem_seg = PixelData(data=torch.as_tensor(pred)[None])
    if label is not None:
        out.gt_sem_seg = PixelData(data=torch.as_tensor(label)[None])
    return out.to_dict()


def evaluate(metric, names, samples, batch_size=1, **meta):
    metric.dataset_meta = dict(classes=names, **meta)
    for start in range(0, len(samples), batch_size):
        metric.process({}, samples[start:start + batch_size])
    return metric.evaluate(len(samples))


def numpy_reference(preds, labels, num_classes, ignore):
    """Both rules by a confusion matrix, written independently."""
    matrix = np.zeros((num_classes, num_classes), dtype=object)
    for pred, label in zip(preds, labels, strict=True):
        for p, t in zip(pred.ravel().tolist(), label.ravel().tolist(), strict=True):
            if t != ignore:
                matrix[t, p] += 1
    present, union = [], []
    for c in range(num_classes):
        truth, predicted = matrix[c].sum(), matrix[:, c].sum()
        if truth + predicted:
            iou = matrix[c, c] / (truth + predicted - matrix[c, c])
            union.append(iou)
            if truth:
                present.append(iou)
    return 100 * np.mean(present), 100 * np.mean(union)


def random_maps(num_classes, ignore, count=6, shape=(17, 23), seed=0):
    rng = np.random.default_rng(seed)
    # Labels use half of the classes, predictions are right half of the time.
    labels = rng.integers(0, max(1, num_classes // 2), (count, *shape))
    wrong = rng.integers(0, num_classes, labels.shape)
    preds = np.where(rng.random(labels.shape) < 0.5, labels, wrong)
    labels[rng.random(labels.shape) < 0.1] = ignore
    return preds, labels


def test_worked_example():
    result = evaluate(
        OVIoUMetric(seen=None), ('a', 'b', 'c', 'd'), [sample(PRED, LABEL)])
    assert result['mIoU'] == 87.5
    assert result['mIoU_union'] == 58.33
    assert result['aAcc'] == 87.5 and result['mAcc'] == 87.5
    assert set(result) == {'mIoU', 'mIoU_union', 'aAcc', 'mAcc'}


@pytest.mark.parametrize('num_classes, ignore', [
    (5, 255), (150, 255), (459, 65535), (847, 65535)])
def test_equals_references(num_classes, ignore):
    preds, labels = random_maps(num_classes, ignore)
    names = tuple(f'class {i}' for i in range(num_classes))
    samples = [sample(p, t) for p, t in zip(preds, labels, strict=True)]
    result = evaluate(OVIoUMetric(ignore, seen=None), names, samples)
    present, union = numpy_reference(preds, labels, num_classes, ignore)
    assert result['mIoU'] == pytest.approx(present, abs=0.006)
    assert result['mIoU_union'] == pytest.approx(union, abs=0.006)
    assert abs(present - union) > 1  # the maps do tell the rules apart
    stock = evaluate(IoUMetric(ignore_index=ignore), names, samples)
    assert result['mIoU_union'] == pytest.approx(stock['mIoU'], abs=0.011)
    assert result['aAcc'] == pytest.approx(stock['aAcc'], abs=0.011)
    assert result['mAcc'] == pytest.approx(stock['mAcc'], abs=0.011)


def test_ids_above_255_are_kept():
    values = torch.tensor([[255, 256, 458, 846, 65535, 0, 254, 202]])
    names = tuple(f'class {i}' for i in range(847))
    metric = OVIoUMetric(65535, seen=None)
    exact = evaluate(metric, names, [sample(values.clamp(max=846), values)])
    assert exact['mIoU'] == exact['mIoU_union'] == exact['aAcc'] == 100.0
    # An 8-bit prediction (458 as 202, 256 as 0) misses 5 of 7 classes: 255, 256,
    # 458 and 846 are lost, and 0, 202 and 254 share their pixels.
    folded = evaluate(metric, names, [sample(values % 256, values)])
    # 255, 254 right; 0: 1 of 2; 202: 1 of 2; 256, 458 and 846 wrong.
    assert folded['mIoU'] == pytest.approx(100 * (1 + 1 + .5 + .5) / 7, abs=0.006)


def test_counts_are_exact_integers(tmp_path):
    # In float32, 2 ** 24 + 1 is 2 ** 24: single pixels would be lost.
    path = tmp_path / 'scores.json'
    metric = OVIoUMetric(seen=None, out_json=str(path))
    metric.dataset_meta = dict(classes=('a', 'b'))
    huge = np.array([[0], [2**24], [2**24], [2**24]])
    single = np.array([[0], [1], [1], [1]])
    metric.compute_metrics([huge, single, single, single])
    assert json.loads(path.read_text())['classes'][0]['right'] == 2**24 + 3
    counts = np.array([[2**24], [2**24], [2**24 + 1]])
    assert class_scores(counts)['IoU'][0] == 2**24 / (2**24 + 1)
    assert summarize(counts)['aAcc'] < 1


def test_counts_of_one_image():
    counts = count_pixels(PRED, LABEL, 4, 255)
    assert counts.dtype == torch.int64
    assert counts.tolist() == [[3, 4, 0, 0], [3, 4, 1, 0], [4, 4, 0, 0]]
    # Predictions of no class at all only miss.
    counts = count_pixels(torch.tensor([[-1, 255, 0, 4]]), torch.zeros(1, 4).long(),
                          4, 255)
    assert counts.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [4, 0, 0, 0]]


def test_seen_and_unseen():
    names = ('Cat', 'dog', 'lamp', 'moon')
    metric = OVIoUMetric(seen=['cat', 'lamp'])
    label = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]])
    pred = torch.tensor([[0, 0, 2, 2, 1, 1, 1, 0]])
    result = evaluate(metric, names, [sample(pred, label)])
    # cat 2 / 5, dog 3 / 4, lamp 0 (predicted only), moon takes no part.
    assert result['seen_mIoU'] == 40.0 and result['unseen_mIoU'] == 75.0
    assert result['hIoU'] == pytest.approx(2 * 40 * 75 / 115, abs=0.006)
    assert result['seen_mIoU_union'] == 20.0
    assert result['unseen_mIoU_union'] == 75.0
    assert result['hIoU_union'] == pytest.approx(2 * 20 * 75 / 95, abs=0.006)


def test_seen_by_label_set_and_file(tmp_path):
    file = tmp_path / 'trained.txt'
    file.write_text('sofa\nkeyboard\n')
    names = Vocabulary.load('pascal_voc_20').names
    label = torch.arange(20)[None]
    for kwargs, hits in ((dict(), 14), (dict(match='concept'), 20),
                         (dict(seen=str(file)), 1)):
        metric = OVIoUMetric(**kwargs)
        pred = label.clone()
        result = evaluate(metric, names, [sample(pred, label)])
        assert result['seen_mIoU'] == 100.0
        assert np.isnan(result['unseen_mIoU']) == (hits == 20)
    assert 'couch' not in names  # so that concept matching had something to do


def test_harmonic_mean():
    assert harmonic_mean(0.0, 0.0) == 0.0
    assert harmonic_mean(0.5, 0.0) == 0.0
    assert np.isnan(harmonic_mean(float('nan'), 0.5))


@pytest.mark.parametrize('batch_size', [1, 2, 5])
def test_batch_size_does_not_matter(batch_size):
    preds, labels = random_maps(30, 255, count=5)
    names = tuple(f'class {i}' for i in range(30))
    samples = [sample(p, t) for p, t in zip(preds, labels, strict=True)]
    one = evaluate(OVIoUMetric(seen=names[:9]), names, samples)
    assert evaluate(OVIoUMetric(seen=names[:9]), names, samples, batch_size) == one


def test_collected_results_are_small():
    names = tuple(f'class {i}' for i in range(847))
    metric = OVIoUMetric(65535)
    metric.dataset_meta = dict(classes=names)
    metric.process({}, [sample(PRED, LABEL.where(LABEL != 255, 65535))])
    # Class ids and three counts for the three classes that occur.
    assert metric.results[0].shape == (4, 3)


def test_json_report(tmp_path):
    path = tmp_path / 'new' / 'scores.json'
    metric = OVIoUMetric(seen=['b', 'c'], out_json=str(path))
    evaluate(metric, ('a', 'b', 'c', 'd'), [sample(PRED, LABEL)],
             vocabulary_digest='abc')
    report = json.loads(path.read_text())
    assert report['vocabulary_digest'] == 'abc' and report['images'] == 1
    assert report['scores']['mIoU'] == 87.5
    assert report['scores']['mIoU_union'] == pytest.approx(175 / 3)
    assert report['classes'][0] == dict(
        id=0, name='a', seen=False, IoU=75.0, Acc=75.0, right=3, predicted=3,
        ground_truth=4)
    assert report['classes'][3]['IoU'] is None
    assert [c['seen'] for c in report['classes']] == [False, True, True, False]
    # Without a digest of the dataset the one of the names is written.
    evaluate(metric, ('a', 'b', 'c', 'd'), [sample(PRED, LABEL)])
    digest = json.loads(path.read_text())['vocabulary_digest']
    assert digest == Vocabulary(['a', 'b', 'c', 'd']).digest


@pytest.mark.parametrize('num_classes, reduce_zero, mode, expected', [
    (20, False, 'L', [0, 19]),
    (20, True, 'L', [1, 20]),
    (255, True, 'L', [1, 255]),
    (847, False, 'I;16', [0, 846]),
    (459, True, 'I;16', [1, 459]),
])
def test_predictions_as_png(tmp_path, num_classes, reduce_zero, mode, expected):
    metric = OVIoUMetric(65535, output_dir=str(tmp_path), format_only=True)
    names = tuple(f'class {i}' for i in range(num_classes))
    pred = torch.tensor([[0, num_classes - 1]])
    result = evaluate(metric, names, [
        sample(pred, img_path='x/b.jpg', reduce_zero_label=reduce_zero)])
    assert result == {}
    image = Image.open(tmp_path / 'b.png')
    assert image.mode == mode
    assert np.array(image).tolist() == [expected]


def test_a_none_class_that_a_shift_brings_beyond_8_bits(tmp_path):
    metric = OVIoUMetric(65535, seen=None, output_dir=str(tmp_path), format_only=True)
    evaluate(metric, tuple(f'class {i}' for i in range(255)), [
        sample([[0, 255]], img_path='b.jpg', reduce_zero_label=True, none_id=255)])
    assert np.array(Image.open(tmp_path / 'b.png')).tolist() == [[1, 256]]


@pytest.mark.parametrize('ignore, num_classes, sample_args, message', [
    (255, 256, (PRED, LABEL), 'ignore_index=255 is a class id .*=65535'),
    (255, 4, (PRED, None), 'a.jpg has no label'),
    (255, 4, (PRED, LABEL[:1]), r'label of a.jpg is \(1, 5\)'),
    (65535, 4, (PRED, LABEL), 'label id 255 in a.jpg .* ignore index 65535'),
    (255, 1, (PRED, LABEL), 'label id 1 in a.jpg is outside .* 1 classes'),
])
def test_bad_input(ignore, num_classes, sample_args, message):
    metric = OVIoUMetric(ignore, seen=None)
    names = tuple(f'class {i}' for i in range(num_classes))
    with pytest.raises(ValueError, match=message):
        evaluate(metric, names, [sample(*sample_args)])


def test_registered():
    metric = METRICS.build(dict(type='OVIoUMetric', ignore_index=65535))
    assert isinstance(metric, OVIoUMetric) and isinstance(metric, IoUMetric)
    assert len(metric.seen) == 171
    with pytest.raises(TypeError, match='ignored_index'):
        METRICS.build(dict(type='OVIoUMetric', ignored_index=1))


def test_selection_of_the_model(tmp_path):
    names = ('a', 'b', 'c', 'd')
    samples = [sample(PRED, LABEL, selected_categories=[0, 3]),
               sample(PRED, LABEL, selected_categories=[0, 1, 2]),
               sample(PRED, LABEL.new_full(LABEL.shape, 255), selected_categories=[2])]
    path = tmp_path / 'scores.json'
    metric = OVIoUMetric(seen=None, out_json=str(path))
    for batch_size in (1, 2, 3):
        result = evaluate(metric, names, samples, batch_size)
        # 0 and 1 are there, twice: 1 of 2 and 2 of 2 are selected
        assert result['selection_recall'] == 0.75
        assert result['selection_count'] == 2.0
        assert result['mIoU'] == 87.5  # the scores are as without
    assert json.loads(path.read_text())['scores']['selection_recall'] == 0.75
    # one picture without the record: no half-known figure
    mixed = evaluate(metric, names, [*samples, sample(PRED, LABEL)])
    assert 'selection_recall' not in mixed and mixed['mIoU'] == 87.5


def test_predictions_with_the_words_of_the_dataset_pass():
    # mmseg's own names may have blanks, and names need not be unique
    names = ('bag', 'bed ', 'bag', 'left  hand')
    digest = Vocabulary(['bag', 'bed', 'bag|purse', 'left hand']).names_digest
    samples = [sample(PRED, LABEL, names_digest=digest), sample(PRED, LABEL)]
    for batch_size in (1, 2):
        result = evaluate(OVIoUMetric(seen=None), names, samples, batch_size)
        assert result['mIoU'] == 87.5


@pytest.mark.parametrize('words, message', [
    (Vocabulary.load('pascal_voc_20'),
     r'3 of its 4 classes are unknown to the model \(a, b, c\); 19 of the 20 words of '
     r'the model \(pascal_voc_20\) are no class there \(aeroplane, .*, \.\.\.\)\. '
     r"Keep default_hooks\.vocabulary=dict\(type='VocabularyHook'\)"),
    (Vocabulary(['cat', 'c', 'b', 'a']), 'the same in another order'),
    (Vocabulary(['some', 'word']), r'4 classes \(a, b, c, cat\), and the model')])
@pytest.mark.parametrize('format_only', [False, True])
def test_predictions_with_other_words_are_refused(tmp_path, words, message,
                                                  format_only):
    metric = OVIoUMetric(seen=['cat', 'c', 'b', 'a'], format_only=format_only,
                         output_dir=str(tmp_path))
    own = sample(PRED, LABEL, names_digest=Vocabulary(['a', 'b', 'c', 'cat']
                                                      ).names_digest)
    other = sample(PRED, LABEL, 'b.jpg', names_digest=words.names_digest)
    with pytest.raises(ValueError, match=message) as caught:
        evaluate(metric, ('a', 'b', 'c', 'cat'), [own, other], batch_size=2)
    assert 'the prediction of b.jpg was made with other words' in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_words_are_digested_once_per_list_of_classes(monkeypatch):
    digested = []
    monkeypatch.setattr('mmseg_dcpclip.evaluation.words.clean_names', lambda names: (
        digested.append(names) or list(names)))
    names = ('once', 'upon', 'a', 'time')
    samples = [sample(PRED, LABEL, names_digest=Vocabulary(names).names_digest)] * 3
    evaluate(OVIoUMetric(seen=None), names, samples)
    assert digested == [names]
