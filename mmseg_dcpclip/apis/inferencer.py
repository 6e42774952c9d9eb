"""mmseg's inferencer with words of one's own and label maps of any number of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmseg.apis import MMSegInferencer
from mmseg.registry import INFERENCERS
from mmseg.utils import get_classes, get_palette

from ..datasets.labels import needs_16_bits, write_label
from ..vocabulary import LABEL_SETS, Vocabulary, Words


@INFERENCERS.register_module()
class OVSegInferencer(MMSegInferencer):
    """``MMSegInferencer`` for a ``DCPCLIP``.

    mmseg's own takes ``classes`` and ``dataset_name`` for names to draw, while the
    model keeps its words, and writes label maps in 8 bits. Here they are the words, and
    label maps of more than 255 categories have 16 bits.

    Args:
        model: Path of a config.
        weights: A checkpoint.
        classes: The words: a ``Vocabulary``, a name or path for ``Vocabulary.load``, or
            a list of names. None: those of ``dataset_name``, or else of the config.
        palette: One [r, g, b] per word.
        dataset_name: A label set of this package, or a dataset of mmseg by its alias.
        kwargs: As in mmseg, such as ``device``.

    Raises:
        ValueError: The words are refused, or the model takes none.
    """

    def __init__(self, model: str, weights: str | None = None,
                 classes: Words | None = None,
                 palette: Sequence[Sequence[int]] | None = None,
                 dataset_name: str | None = None, **kwargs: Any) -> None:
        super().__init__(model, weights, **kwargs)
        if not hasattr(self.model, 'set_vocabulary'):
            raise ValueError(f'{type(self.model).__name__} takes no words of one\'s '
                             'own; use MMSegInferencer for it')
        words = _words_of(classes, palette, dataset_name)
        if words is not None:
            self.model.set_vocabulary(words)
        self.visualizer.set_dataset_meta(**self.model.dataset_meta)

    def postprocess(self, preds: list, visualization: list,
                    return_datasample: bool = False, pred_out_dir: str = '') -> Any:
        """As in mmseg; label maps keep their ids.

        Args:
            preds: Predictions.
            visualization: Pictures of them.
            return_datasample: Whether to return the predictions as they are.
            pred_out_dir: Folder for label maps; empty: none are written.
        """
        first = self.num_pred_imgs
        results = super().postprocess(preds, visualization, return_datasample)
        if pred_out_dir and not return_datasample:
            folder = Path(pred_out_dir)
            folder.mkdir(parents=True, exist_ok=True)
            for i, pred in enumerate(preds, first):
                write_label(folder / f'{i:08d}_pred.png',
                            pred.pred_sem_seg.data[0].cpu().numpy(),
                            wide=needs_16_bits(len(self.model.vocabulary),
                                               pred.get('none_id')))
        return results


def _words_of(classes: Words | None, palette: Sequence[Sequence[int]] | None,
              dataset_name: str | None) -> Vocabulary | None:
    """The words that the arguments mean; None for the config's."""
    if classes is None and dataset_name is None:
        return None
    if classes is None:
        if dataset_name in LABEL_SETS:
            return Vocabulary.load(dataset_name)
        classes, palette = get_classes(dataset_name), palette or get_palette(
            dataset_name)
    if isinstance(classes, (Vocabulary, str, Path)) or palette is None:
        return Vocabulary.of(classes)
    return Vocabulary(classes, palette=palette)
