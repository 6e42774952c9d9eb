#!/usr/bin/env python
"""Measure where a model loses mIoU on a config's test set: selection, names or masks.

Each row repairs one thing with the help of the ground truth and leaves the rest as the
model predicted it:

    true selection  pixels of categories that were not selected become right
    true masks      each true region takes the category that most of its pixels got
    true names      each predicted region takes the category that most of its pixels
                    have

A region is all pixels of one category in one picture. The model runs once per picture.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmseg.registry import METRICS
from rich.console import Console
from rich.table import Table

from mmseg_dcpclip.apis.predictor import labelled_pictures, open_test_set
from mmseg_dcpclip.datasets.labels import write_json
from mmseg_dcpclip.evaluation.scores import count_pixels, summarize
from mmseg_dcpclip.vocabulary import match_names

SCORES = ('mIoU', 'seen_mIoU', 'unseen_mIoU')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path)
    parser.add_argument('checkpoint', help="weights, or 'none' for CLIP's own")
    parser.add_argument('--pictures', type=int, help='no more than these')
    parser.add_argument('--json', type=Path, help='write the rows there, too')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args(argv)


def rename_regions(regions: torch.Tensor, names: torch.Tensor, counted: torch.Tensor
                   ) -> torch.Tensor:
    """Give each region the most frequent name of its counted pixels.

    Args:
        regions: int64 [H, W]; pixels of one value are a region.
        names: int64 [H, W].
        counted: bool [H, W].

    Returns:
        Tensor: int64 [H, W]. A region without counted pixels keeps its value.
    """
    renamed = regions.clone()
    for region in regions[counted].unique():
        inside = regions == region
        renamed[inside] = names[inside & counted].mode().values
    return renamed


def repaired(pred: torch.Tensor, label: torch.Tensor, selected: torch.Tensor,
             ignore_index: int) -> dict[str, torch.Tensor]:
    """The prediction and its repaired forms.

    Args:
        pred: int64 [H, W].
        label: int64 [H, W].
        selected: Ids of the selected categories, int64 [C_s].
        ignore_index: Label that is no category.

    Returns:
        dict: Maps int64 [H, W] by the names of the rows.
    """
    counted = label != ignore_index
    missed = counted & ~torch.isin(label, selected)
    return {
        'as predicted': pred,
        'true selection': torch.where(missed, label, pred),
        'true masks': rename_regions(label, pred, counted),
        'true names': rename_regions(pred, label, counted)}


@torch.no_grad()
def measure(model: torch.nn.Module, loader: torch.utils.data.DataLoader,
            seen: np.ndarray | None, pictures: int | None) -> list[dict]:
    """Scores in percent of each row."""
    num_classes, ignore_index = len(model.vocabulary), loader.dataset.ignore_index
    pixels: dict[str, torch.Tensor] = {}
    count = 0
    for image, sample, label in labelled_pictures(model, loader, pictures):
        count += 1
        result = model.predict(image, [sample])[0]
        selected = label.new_tensor(result.selected_categories)
        maps = repaired(result.pred_sem_seg.data[0], label, selected, ignore_index)
        for name, own in maps.items():
            counts = count_pixels(own, label, num_classes, ignore_index)
            pixels[name] = pixels.get(name, 0) + counts
    rows = []
    for name, counts in pixels.items():
        scores = summarize(counts.numpy(), seen)
        rows.append(dict(repaired=name, pictures=count, **{
            key: 100 * scores[key] for key in SCORES if key in scores}))
    return rows


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options)
    model, loader = open_test_set(config, args.checkpoint, args.device)
    metric = METRICS.build(config.test_evaluator)
    names = model.vocabulary.names
    seen = match_names(names, metric.seen.names, metric.match) if metric.seen else None
    rows = measure(model, loader, seen, args.pictures)

    columns = [key for key in SCORES if key in rows[0]]
    table = Table('repaired', *columns, title=f'{rows[0]["pictures"]} pictures, '
                  f'{len(names)} categories')
    for row in rows:
        table.add_row(row['repaired'], *(f'{row[key]:.2f}' for key in columns))
    Console().print(table)
    if args.json:
        write_json(args.json, rows)


if __name__ == '__main__':
    main()
