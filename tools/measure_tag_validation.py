#!/usr/bin/env python
"""Measure tag validation (Eq. 17) for several k on a config's test set.

For every k: how many of the regions that were given to an unseen category are renamed,
how many of these were right before and are right after, and mIoU by the GT-present
rule. A region is right if most of its labelled pixels are of its category. The model
runs once per picture.
"""

import argparse
from pathlib import Path

import torch
from mmengine.config import DictAction
from rich.console import Console
from rich.table import Table

from mmseg_dcpclip.apis.predictor import labelled_pictures, open_test_set
from mmseg_dcpclip.datasets.labels import write_json
from mmseg_dcpclip.evaluation.scores import count_pixels, summarize
from mmseg_dcpclip.models.tag_validation import TagValidation, seen_mask, validate_tags

COUNTS = ('renamed', 'right_before', 'right_after')  # of regions


class Recorder:
    """Stands in for a :class:`TagValidation`: keeps what it is given."""

    def __call__(self, seg_map: torch.Tensor, *context: object) -> torch.Tensor:
        self.context = context
        return seg_map


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path)
    parser.add_argument('checkpoint', help="weights, or 'none' for CLIP's own")
    parser.add_argument('--top-k', type=int, nargs='+', default=[1, 2, 3, 5, 10, 20])
    parser.add_argument('--pictures', type=int, help='no more than these')
    parser.add_argument('--json', type=Path, help='write the rows there, too')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args(argv)


def region_rights(old: torch.Tensor, new: torch.Tensor, label: torch.Tensor,
                  categories: list[int], ignore_index: int) -> torch.Tensor:
    """Renamed regions of one picture: their number, right before, right after.

    Args:
        old: Map before, int64 [H, W].
        new: Map after, int64 [H, W].
        label: Ground truth, int64 [H, W].
        categories: Those whose regions may be renamed.
        ignore_index: Label that is no category.

    Returns:
        Tensor: int64 [3]; a region without labelled pixels is never right.
    """
    counts = torch.zeros(3, dtype=torch.long)
    for category in categories:
        region = old == category
        name = int(new[region][0])
        if name == category:
            continue
        inside = label[region & (label != ignore_index)]
        truth = int(inside.mode().values) if len(inside) else None
        counts += torch.tensor([1, truth == category, truth == name])
    return counts


@torch.no_grad()
def measure(model: torch.nn.Module, validation: TagValidation,
            loader: torch.utils.data.DataLoader, top_ks: list[int],
            pictures: int | None) -> list[dict]:
    """Regions and scores for each k; the first row, k None, is without validation."""
    words, ignore_index = model.vocabulary, loader.dataset.ignore_index
    seen = seen_mask(words, validation.seen, validation.match).to(
        next(model.parameters()).device)
    recorder = model.tag_validation = Recorder()
    pixels = {k: torch.zeros(3, len(words), dtype=torch.long) for k in (None, *top_ks)}
    renamed = {k: torch.zeros(3, dtype=torch.long) for k in pixels}
    count = regions = 0
    for image, sample, label in labelled_pictures(model, loader, pictures):
        count += 1
        old = model.predict(image, [sample])[0].pred_sem_seg.data[0]
        feats, text, _ = recorder.context
        categories = [c for c in old.unique().tolist() if not seen[c]]
        regions += len(categories)
        for k in pixels:
            new = old if k is None else validate_tags(old, feats, text, seen, top_k=k)
            pixels[k] += count_pixels(new, label, len(words), ignore_index)
            renamed[k] += region_rights(old, new, label, categories, ignore_index)
    rows = []
    for k, counts in pixels.items():
        scores = summarize(counts.numpy(), seen.cpu().numpy())
        rows.append(dict(
            top_k=k, pictures=count, regions=regions,
            **dict(zip(COUNTS, renamed[k].tolist())),
            **{name: 100 * scores[name] for name in ('mIoU', 'unseen_mIoU')}))
    return rows


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    model, loader = open_test_set(args.config, args.checkpoint, args.device,
                                  args.cfg_options)
    validation = model.tag_validation
    if validation is None:
        raise SystemExit(f'{args.config} has no TagValidationHook in its custom_hooks, '
                         'so the seen categories are not known')
    rows = measure(model, validation, loader, args.top_k, args.pictures)

    table = Table('k', 'renamed', 'right before', 'right after', 'mIoU', 'unseen mIoU',
                  title=f'{rows[0]["pictures"]} pictures, {len(model.vocabulary)} '
                  f'categories, {rows[0]["regions"]} regions of unseen categories')
    for row in rows:
        off = row['top_k'] is None
        table.add_row('off' if off else str(row['top_k']), *(
            '' if off else str(row[name]) for name in COUNTS),
            f'{row["mIoU"]:.2f}', f'{row["unseen_mIoU"]:.2f}')
    Console().print(table)
    if args.json:
        write_json(args.json, rows)


if __name__ == '__main__':
    main()
