"""Whether the data and weights are there that the runs of the real world start from."""

from collections.abc import Mapping

from ..models.clip import load_clip_weights
from ..preparation.recipes import check_dataset
from .plan import Plan
from .tables import WORLDS

# What the real world trains and tests on.
DATASETS = ('coco_stuff_171', *WORLDS['real'].benchmarks)


def check_data(data_root: Mapping[str, str]) -> tuple[list[str], bool]:
    """Look for the files of ``DATASETS``.

    Args:
        data_root: Where datasets lie that are not where their configs say.

    Returns:
        tuple[list[str], bool]: Lines about each, and whether nothing is missing.

    Raises:
        ValueError: A folder is given for a dataset that is none of them.
    """
    unknown = sorted(set(data_root) - set(DATASETS))
    if unknown:
        raise ValueError(f'no dataset named {", ".join(unknown)}; choose from '
                         f'{", ".join(DATASETS)}')
    lines, complete = [], True
    for name in DATASETS:
        reports, steps = check_dataset(name, data_root.get(name))
        for report in reports:
            lines += report.lines()
            complete = complete and not report.problems
        lines += [f'  NEXT: {step}' for step in steps]
    return lines, complete


def missing_weights(plan: Plan) -> list[str]:
    """Lines about the CLIP weights of a plan that cannot be loaded.

    Args:
        plan: With the jobs.
    """
    models = {(tower.model_name, tower.pretrained, tower.get('quick_gelu'))
              for job in plan.jobs
              for config in [plan.load(job.config, job.options)]
              for tower in (config.model.backbone, config.model.text_encoder)}
    lines = []
    for name, pretrained, quick_gelu in sorted(models, key=str):
        try:
            if pretrained is not None:
                load_clip_weights(name, pretrained, quick_gelu)
        except (ValueError, OSError, RuntimeError) as error:
            lines.append(f'CLIP {name}: {error}')
    return lines
