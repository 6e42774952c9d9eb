"""The metric of the open-vocabulary benchmarks."""

import os.path as osp
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from prettytable import PrettyTable

from ..datasets.labels import (
    check_ignore_index,
    check_label_ids,
    needs_16_bits,
    write_label,
)
from ..files import write_json
from ..vocabulary import Vocabulary, Words, digest_of, match_names
from .boundaries import count_boundary_pixels
from .scores import class_scores, count_pixels, summarize
from .words import check_predictions


@METRICS.register_module()
class OVIoUMetric(IoUMetric):
    """IoU by both rules in use, over all, seen and unseen classes.

    Results, in percent: ``mIoU``, ``seen_mIoU``, ``unseen_mIoU`` and ``hIoU`` (their
    harmonic mean) by the GT-present rule; the same with ``_union`` by the rule of
    mmseg's IoUMetric; ``aAcc`` and ``mAcc``. See
    ``mmseg_dcpclip.evaluation.scores``. Pixels are counted in integers, one small
    table per image, so the result does not depend on the batch size or the number of
    processes.

    Where all samples carry ``selected_categories``, as those of ``DCPCLIP`` do, also
    ``selection_recall``, the share in 0..1 of the images' categories that were
    selected, and ``selection_count``, the number selected per image.

    With ``boundary`` also ``boundary_mIoU``, the mean boundary IoU of the classes with
    ground truth, see ``mmseg_dcpclip.evaluation.boundaries``.

    Args:
        ignore_index: Label value of the pixels not scored.
        seen: The vocabulary trained on: a name or file for ``Vocabulary.load``, or a
            list of names. None leaves the seen and unseen scores out.
        match: How class names are compared with it: ``'name'`` or ``'concept'``, see
            ``mmseg_dcpclip.vocabulary.match_names``.
        boundary: Width of the boundaries as a share of an image's diagonal, 0.02 as
            published; None does not score them.
        out_json: File for the scores, the counts of each class and the digest of the
            vocabulary.
        output_dir: Folder for the predictions as PNG: 8 bits up to 255 classes, else
            16.
        format_only: Only write the predictions; needs no labels.
        collect_device: ``'cpu'`` or ``'gpu'``, where processes meet.
        prefix: Put before the names of the results.

    Attributes:
        seen: The vocabulary trained on, or None.
        match: As given.
        boundary: As given.
        out_json: As given.

    Raises:
        ValueError: ``boundary`` is not positive. The ignore index is a class id, an
            image has no label, a label does not fit the prediction or the vocabulary,
            or a prediction was made with other words than the dataset's.
    """

    def __init__(self,
                 ignore_index: int = 255,
                 seen: Words | None = 'coco_stuff_171',
                 match: str = 'name',
                 boundary: float | None = None,
                 out_json: str | None = None,
                 output_dir: str | None = None,
                 format_only: bool = False,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(
            ignore_index=ignore_index,
            output_dir=output_dir,
            format_only=format_only,
            collect_device=collect_device,
            prefix=prefix)
        self.seen = None if seen is None else Vocabulary.of(seen)
        self.match = match
        if boundary is not None and boundary <= 0:
            raise ValueError(f'boundary must be positive or None, got {boundary}')
        self.boundary = boundary
        self.out_json = out_json

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count one batch.

        Args:
            data_batch: A batch of data, not used.
            data_samples: Outputs of the model, each with ``pred_sem_seg`` and
                ``gt_sem_seg``, [1, H, W] each.
        """
        num_classes = len(self.dataset_meta['classes'])
        check_ignore_index(self.ignore_index, num_classes)
        check_predictions(data_samples, self.dataset_meta['classes'], self.seen)
        for sample in data_samples:
            # Kept as integers: a cast to uint8 would fold ids above 255.
            pred = sample['pred_sem_seg']['data'].squeeze(0).long()
            if not self.format_only:
                label = self._label_of(sample, pred, num_classes)
                common = pred, label, num_classes, self.ignore_index
                counts = count_pixels(*common)
                if self.boundary is not None:
                    counts = torch.cat(
                        [counts, count_boundary_pixels(*common, self.boundary)])
                if 'selected_categories' in sample:
                    selected = torch.zeros_like(counts[:1])
                    # a none class may be among them
                    selected[0, [i for i in sample['selected_categories']
                                 if 0 <= i < num_classes]] = 1
                    counts = torch.cat([counts, selected])
                classes = torch.nonzero(counts.sum(0)).squeeze(1)
                # Row 0 holds the class ids of the columns.
                self.results.append(
                    torch.cat([classes[None], counts[:, classes]]).numpy())
            if self.output_dir is not None:
                self._save(sample, pred, num_classes)

    def _label_of(self, sample: dict, pred: torch.Tensor,
                  num_classes: int) -> torch.Tensor:
        path = sample.get('seg_map_path') or sample.get('img_path', 'the image')
        if 'gt_sem_seg' not in sample:
            raise ValueError(f'{path} has no label to score against; add the label, '
                             'or set format_only=True to write predictions only')
        label = sample['gt_sem_seg']['data'].squeeze(0).long()
        if label.shape != pred.shape:
            raise ValueError(
                f'the label of {path} is {tuple(label.shape)}, the prediction '
                f'{tuple(pred.shape)} (rows, columns); image and label must have '
                'the same size, and the label must not be resized in the test '
                'pipeline')
        check_label_ids(label.cpu().numpy(), num_classes, self.ignore_index, path)
        return label.to(pred.device)

    def _save(self, sample: dict, pred: torch.Tensor, num_classes: int) -> None:
        name = osp.splitext(osp.basename(sample['img_path']))[0]
        # Back to the values of the labels on disk, as IoUMetric does.
        shift = int(bool(sample.get('reduce_zero_label', False)))
        none_id = sample.get('none_id')
        written = pred.cpu().numpy() + shift
        if shift and none_id == self.ignore_index:
            written[written == none_id + shift] = 0  # what such labels ignore
            none_id = None
        write_label(
            osp.join(self.output_dir, f'{name}.png'), written,
            wide=needs_16_bits(num_classes,
                               None if none_id is None else none_id + shift))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Add up the images and score.

        Args:
            results: One int64 array [4, n] per image, with further rows for the
                boundaries (3) and the selection (1).

        Returns:
            dict: See the class; percent, rounded to 0.01.
        """
        logger = MMLogger.get_current_instance()
        if self.format_only:
            logger.info(f'predictions are saved to {self.output_dir}')
            return {}
        names = self.dataset_meta['classes']
        rows = 3 if self.boundary is None else 6
        counts = np.zeros((rows, len(names)), dtype=np.int64)
        for table in results:
            counts[:, table[0]] += table[1:rows + 1]
        counts, at_boundary = counts[:3], counts[3:]
        seen = None if self.seen is None else match_names(
            names, self.seen.names, self.match)
        summary = {
            key: 100 * value
            for key, value in summarize(counts, seen).items()
        }
        if self.boundary is not None:
            summary['boundary_mIoU'] = 100 * summarize(at_boundary)['mIoU']
        self._print_classes(names, counts, logger)
        selection = selection_scores(results, rows + 1)
        if self.out_json:
            report = self._report(
                names, counts, seen, summary | selection, len(results))
            write_json(self.out_json, report, ensure_ascii=False)
            logger.info(f'scores of each class are saved to {self.out_json}')
        rounded = {key: round(value, 2) for key, value in summary.items()}
        return rounded | {key: round(value, 4) for key, value in selection.items()}

    def _print_classes(self, names: Sequence[str], counts: np.ndarray,
                       logger: MMLogger) -> None:
        table = PrettyTable()
        table.add_column('Class', list(names))
        for key, values in class_scores(counts).items():
            table.add_column(key, np.round(100 * values, 2).tolist())
        print_log(f'per class results:\n{table.get_string()}', logger)
        present = int((counts[2] > 0).sum())
        both = int((counts[1:].sum(0) > 0).sum())
        print_log(
            f'mIoU: {present} of {len(names)} classes, those with ground truth; '
            f'mIoU_union: {both} classes, those with ground truth or predictions',
            logger)

    def _report(self, names: Sequence[str], counts: np.ndarray,
                seen: np.ndarray | None, summary: dict, num_images: int) -> dict:
        """Everything behind the scores, in plain types; undefined is None."""
        meta = self.dataset_meta
        digest = meta.get('vocabulary_digest') or digest_of([[n] for n in names])
        defined = {
            key: None if np.isnan(value) else value
            for key, value in summary.items()
        }
        scores = class_scores(counts)
        classes = []
        for i, name in enumerate(names):
            right, predicted, truth = (int(count) for count in counts[:, i])
            iou, acc = (None if np.isnan(scores[key][i]) else 100 * scores[key][i]
                        for key in ('IoU', 'Acc'))
            classes.append(
                dict(
                    id=i, name=name, seen=None if seen is None else bool(seen[i]),
                    IoU=iou, Acc=acc, right=right, predicted=predicted,
                    ground_truth=truth))
        return dict(
            vocabulary_digest=digest,
            images=num_images,
            ignore_index=self.ignore_index,
            seen_from=None if self.seen is None else self.seen.origin,
            seen_match=self.match,
            rules=dict(
                mIoU='mean over the classes with ground-truth pixels',
                mIoU_union='mean over the classes with ground-truth pixels or '
                'with predictions on labelled pixels'),
            scores=defined,
            classes=classes)


def selection_scores(results: Sequence[np.ndarray], row: int = 4) -> dict[str, float]:
    """How the dynamic category selection did, from integers.

    Args:
        results: One table per image, as ``OVIoUMetric.compute_metrics`` takes
            them.
        row: Of the tables, where the selection stands.

    Returns:
        dict: ``selection_recall`` in 0..1 (nan without any label) and
        ``selection_count``; empty where an image has no record of its selection.
    """
    if not results or any(len(table) <= row for table in results):
        return {}
    found = sum(int(((table[3] > 0) & (table[row] > 0)).sum()) for table in results)
    present = sum(int((table[3] > 0).sum()) for table in results)
    selected = sum(int(table[row].sum()) for table in results)
    return dict(selection_recall=found / present if present else float('nan'),
                selection_count=selected / len(results))
