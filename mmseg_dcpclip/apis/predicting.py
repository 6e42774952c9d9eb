"""Pictures at once, by what predicts them one after the other; without PyTorch."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..pictures import ImageLike, load_image
from ..vocabulary import Words


class PredictMixin:
    """``predict`` of a class with ``predict_stream``."""
    predict_stream: Callable[..., Iterator[Any]]

    def predict(self, images: ImageLike | Sequence[ImageLike],
                vocabulary: Words | None = None, **options: Any) -> Any:
        """Segment pictures; many of them rather by ``predict_stream``.

        Args:
            images: A picture as ``load_image`` takes it, or a list of
                these, sizes mixed. Arrays are in RGB.
            vocabulary: The words of this call: a ``Vocabulary``, a name or path
                for ``Vocabulary.load``, or a list of names. None: the model's own.
            options: ``background``, ``synonyms`` and ``return_scores``, see
                ``predict_stream``.

        Returns:
            A ``SegDataSample``, or a ``Prediction`` with the same attributes, or a list
            of them, as given: ``pred_sem_seg.data`` holds ids of the vocabulary, int64
            [1, H, W]; ``classes`` its names. ``none_id`` is the id of pixels of no
            category, None without a background. ``word_scores`` if asked for: names,
            ids, scores [K] and maps [K, H, W] of selected words.

        Raises:
            ValueError: A picture cannot be read, the vocabulary is empty, or there is
                no embedding of a word.
            FileNotFoundError: There is no such picture.
            TypeError: A picture is something else; all before anything is computed.
        """
        several = list(images) if isinstance(images, (list, tuple)) else None
        pictures = [load_image(image)  # type: ignore[arg-type]
                    for image in ([images] if several is None else several)]
        results = list(self.predict_stream(pictures, vocabulary, **options))
        return results[0] if several is None else results
