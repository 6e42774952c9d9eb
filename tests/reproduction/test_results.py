"""Tables of what finished runs have left."""

import json

from mmseg_dcpclip.reproduction.plan import Plan
from mmseg_dcpclip.reproduction.results import (
    efficiency_figures,
    gather_records,
    write_tables,
)
from mmseg_dcpclip.reproduction.settings import Settings


def finish(plan, name, miou):
    """Write what the run of a configuration leaves."""
    job = next(job for job in plan.jobs if name in job.tests)
    folder = job.folder / f'test-{name}'
    folder.mkdir(parents=True)
    (job.folder / 'train').mkdir()
    (job.folder / 'train' / f'iter_{job.iters}.pth').touch()
    rows = [dict(name='mini-847', scores={}, images=0),
            dict(name='mini-150', scores=dict(mIoU=miou), images=2)]
    for path, content in (
            (job.folder / 'record.json', dict(
                digest=job.digest, seconds=120.0, GiB=1.5, memory='toys', jobs=3)),
            (folder / 'record.json', dict(digest=job.tests[name])),
            (folder / 'benchmarks.json', dict(benchmarks=rows)),
            (folder / 'cost.json', dict(tests=[dict(seconds_per_image=0.25)]))):
        path.write_text(json.dumps(content))


def test_costs_belong_to_the_benchmarks_that_were_tested(tmp_path):
    plan = Plan(Settings([7], seeds=[5], work_dir=tmp_path))
    assert gather_records(plan) == {}
    finish(plan, 'full', 30.0)
    record = gather_records(plan)['full'][5]
    assert record['tests'] == {'mini-150': dict(
        scores=dict(mIoU=30.0), images=2, seconds_per_image=0.25)}
    (_, content), = write_tables(plan)
    assert content['notes'] == [
        'Memory: peak of toys. Recall and selected: of the first benchmark. Runs at '
        'once while timed: 3.']
    assert (plan.settings.out / 'table7.json').is_file()
    assert content['notes'][0] in (plan.settings.out / 'table7.md').read_text()


def test_efficiency_takes_training_time_and_miou_from_the_runs(tmp_path):
    plan = Plan(Settings([2, 4], seeds=[0], work_dir=tmp_path))
    finish(plan, 'full', 30.0)
    (plan.settings.out / 'efficiency.json').write_text(json.dumps(dict(efficiency=[dict(
        model='dcpclip_mini_paper', learnable_paper_m=1.0, total_m=2.0, gflops=3.0,
        seconds=dict(median=0.5))])))
    assert efficiency_figures(plan, gather_records(plan)) == dict(full=dict(
        learnable=1.0, total=2.0, gflops=3.0, seconds=0.5, train_minutes=2.0,
        mIoU=30.0))
