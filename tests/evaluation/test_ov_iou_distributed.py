"""The metric in two processes, in a module that a new process imports quickly."""

import json

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmseg_dcpclip.evaluation import OVIoUMetric

NAMES = tuple(f'class {i}' for i in range(300))


def make_samples(count=5):
    """Five small images: uneven over two processes."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(count):
        label = torch.randint(0, 300, (1, 9, 11), generator=generator)
        pred = label.where(torch.rand(label.shape, generator=generator) < 0.7, 299)
        samples.append(dict(
            img_path='a.jpg', pred_sem_seg=dict(data=pred),
            gt_sem_seg=dict(data=label)))
    return samples


def score(samples, size, **kwargs):
    metric = OVIoUMetric(65535, seen=NAMES[:100], **kwargs)
    metric.dataset_meta = dict(classes=NAMES)
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(size)


def one_process(rank, folder):
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2)
    samples = make_samples()
    # As mmengine's DefaultSampler deals them out: padded to the same number.
    samples = (samples + samples[:1])[rank::2]
    result = score(samples, 5, out_json=f'{folder}/scores.json')
    with open(f'{folder}/{rank}.json', 'w') as file:
        json.dump(result, file)
    dist.destroy_process_group()


def test_two_processes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # mmengine meets in a folder here
    mp.spawn(one_process, args=(str(tmp_path), ), nprocs=2)
    expected = score(make_samples(), 5)
    for rank in range(2):
        assert json.loads((tmp_path / f'{rank}.json').read_text()) == expected
    assert json.loads((tmp_path / 'scores.json').read_text())['images'] == 5
