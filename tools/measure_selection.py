#!/usr/bin/env python
"""Measure the dynamic category selection on a config's test set.

For every threshold and both forms: recall of the categories that are in the picture
(mean over pictures) and how many are selected. CLIP runs once per picture.
"""

import argparse
from pathlib import Path

import torch
from mmengine.config import DictAction
from rich.console import Console
from rich.table import Table

from mmseg_dcpclip.apis.predictor import labelled_pictures, open_test_set
from mmseg_dcpclip.datasets.labels import write_json
from mmseg_dcpclip.models.selection import categories_in, select_categories


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path)
    parser.add_argument('checkpoint', help="weights, or 'none' for CLIP's own")
    parser.add_argument('--theta', type=float, nargs='+',
                        default=[0.9, 0.8, 0.5, 0.2, 0.05, 0.0])
    parser.add_argument('--pictures', type=int, help='no more than these')
    parser.add_argument('--json', type=Path, help='write the rows there, too')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args(argv)


@torch.no_grad()
def measure(model: torch.nn.Module, loader: torch.utils.data.DataLoader,
            thetas: list[float], pictures: int | None) -> list[dict]:
    """Mean recall and number of selected categories per theta and form."""
    text, tau = model.text_embeddings().mean, float(model.text_encoder.logit_scale)
    sums = {(theta, form): torch.zeros(2) for theta in thetas
            for form in ('paper', 'union')}
    count = 0
    for image, _, label in labelled_pictures(model, loader, pictures):
        count += 1
        present = categories_in(label[None], len(text), loader.dataset.ignore_index)[0]
        features = model.backbone(image)
        for (theta, form), total in sums.items():
            selected = select_categories(
                features.patch, features.cls, text, logit_scale=tau, theta=theta,
                form=form).selected[0]
            recall = (selected & present).sum() / present.sum()
            total += torch.stack([recall, selected.sum().float()]).cpu()
    return [dict(theta=theta, form=form, recall=float(total[0] / count),
                 selected=float(total[1] / count), pictures=count)
            for (theta, form), total in sums.items()]


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    model, loader = open_test_set(args.config, args.checkpoint, args.device,
                                  args.cfg_options)
    rows = measure(model, loader, args.theta, args.pictures)

    table = Table('theta', 'form', 'recall', 'selected',
                  title=f'{rows[0]["pictures"]} pictures, '
                  f'{len(model.vocabulary)} categories')
    for row in rows:
        table.add_row(f'{row["theta"]:g}', row['form'], f'{row["recall"]:.3f}',
                      f'{row["selected"]:.1f}')
    Console().print(table)
    if args.json:
        write_json(args.json, rows)


if __name__ == '__main__':
    main()
