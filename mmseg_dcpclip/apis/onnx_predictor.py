"""Pictures and words in, label maps out, from an exported model.

Needs numpy, Pillow and onnxruntime; PyTorch and mmseg only where their own types are
given out.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from ..extras import require
from ..pictures import ImageLike, load_image
from ..vocabulary import Background, Queries, Vocabulary, Words, make_queries
from .onnx_maps import Decided, ViewsOf, decide, fit_picture, make_views
from .predicting import PredictMixin
from .word_files import WordEmbeddings, WordTable, read_words

ABOUT, WORDS = 'model.json', 'words.npz'
KEPT = 4  # vocabularies whose embeddings stay in memory


@dataclass
class Prediction:
    """What ``SegDataSample`` says of a prediction, without PyTorch.

    Attributes:
        pred_sem_seg: ``.data`` holds ids of the vocabulary, int64 [1, H, W].
        classes: The vocabulary's names.
        none_id: The id of pixels of no category, or None.
        selected_categories: Ids, ascending.
        word_scores: If asked for: names, ids, scores [K] and maps [K, H, W].
    """
    pred_sem_seg: SimpleNamespace
    classes: tuple[str, ...]
    none_id: int | None
    selected_categories: list[int]
    word_scores: Any = None

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or a default."""
        return getattr(self, name, default)


class OnnxPredictor(PredictMixin):
    """An exported model for single pictures, with the face of ``Predictor``.

    Args:
        folder: What ``dcpclip export`` wrote.
        words: Files of embeddings besides the folder's ``words.npz``, which ``dcpclip
            encode --npz`` writes.
        config: Of the model. With it words that are in no file are encoded by PyTorch.
        checkpoint: The weights for that; None: CLIP's own.
        providers: As onnxruntime takes them.
        threads: Of onnxruntime; 0: as many as there are cores.
        samples: Whether results are mmseg's ``SegDataSample`` with tensors, or
            ``Prediction`` with numpy arrays. None: the first where mmseg is installed.

    Raises:
        FileNotFoundError: The folder holds no exported model, or a file is missing.
        ValueError: A file of words belongs to another text encoder.
        ImportError: onnxruntime is missing.
    """

    def __init__(self, folder: str | Path, words: Sequence[str | Path] = (),
                 config: Any = None, checkpoint: str | Path | None = None,
                 providers: Sequence[str] = ('CPUExecutionProvider', ),
                 threads: int = 0, samples: bool | None = None) -> None:
        folder = Path(folder)
        self.about = _read_about(folder)
        runtime = require('onnxruntime', 'onnx')
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors: it warns of shapes that it infers
        self.session = runtime.InferenceSession(
            str(folder / self.about['graph']), options, providers=list(providers))
        self.vocabulary = Vocabulary(self.about['classes'])
        paths = [path for path in (folder / WORDS, ) if path.is_file()]
        paths += [Path(path) for path in words]
        encode = None if config is None else _encoder(config, checkpoint)
        self.words = WordTable({path: read_words(path) for path in paths},
                               self.about['text'], encode)
        self.samples = find_spec('mmseg') is not None if samples is None else samples
        self._kept: OrderedDict[str, WordEmbeddings] = OrderedDict()

    def predict_stream(self, images: Iterable[ImageLike],
                       vocabulary: Words | None = None, *, background: Any = None,
                       synonyms: str | None = None, return_scores: bool = False
                       ) -> Iterator[Any]:
        """Segment any number of pictures, one at a time.

        Args:
            images: Pictures as ``load_image`` takes them.
            vocabulary: As in ``predict``.
            background: As of ``Predictor.predict_stream``; None: as exported.
            synonyms: Likewise.
            return_scores: Whether to return ``word_scores``.

        Yields:
            As of ``predict``, in the order of the pictures.

        Raises:
            ValueError: The words or an option are refused, at once.
        """
        words = self.vocabulary if vocabulary is None else Vocabulary.of(vocabulary)
        asked = self.about['background'] if background is None else background
        rule = words.background if asked == 'auto' else Background.of(asked)
        kind = self.about['synonyms'] if synonyms is None else synonyms
        if kind not in ('mean', 'max'):
            raise ValueError(f"synonyms must be 'mean' or 'max', got {kind!r}")
        none_id = None if rule is None else rule.id_in(len(words),
                                                       self.about['ignore_index'])
        queries = make_queries(words, kind, rule, none_id)
        text = self.embeddings(queries)
        return (self._predict(load_image(image), words, queries, rule, none_id, text,
                              return_scores) for image in images)

    def draw(self, image: ImageLike, result: Any, vocabulary: Words | None = None
             ) -> Image.Image:
        """Draw a prediction, see ``draw_overlay``.

        Args:
            image: The picture.
            result: Its prediction.
            vocabulary: The words it was made with.
        """
        from .overlay import draw_overlay
        words = self.vocabulary if vocabulary is None else Vocabulary.of(vocabulary)
        return draw_overlay(load_image(image), np.asarray(result.pred_sem_seg.data)[0],
                            words, none_id=result.get('none_id'))

    def logits(self, pictures: np.ndarray, text: WordEmbeddings
               ) -> tuple[np.ndarray, np.ndarray]:
        """Run the graph.

        Args:
            pictures: Normalised RGB, float32 [B, 3, H, W].
            text: Embeddings of C categories.

        Returns:
            tuple: Logits [B, K, h, w] and ids [B, K], -1 where they fill up.
        """
        inputs = dict(pictures=pictures, mean=text.mean, first=text.first,
                      templates=text.templates)
        found = self.session.run(None, {k: inputs[k] for k in self.about['inputs']})
        return found[0], found[1]

    def embeddings(self, queries: Vocabulary | Queries) -> WordEmbeddings:
        """Embeddings of what is asked for; the latest ones are kept.

        Raises:
            ValueError: There is none of a word.
        """
        if queries.words_digest not in self._kept:
            self._kept[queries.words_digest] = self.words.find(queries.synonyms)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(queries.words_digest)
        return self._kept[queries.words_digest]

    def views_of(self, picture: np.ndarray) -> ViewsOf:
        """What the graph gets of a picture.

        Args:
            picture: RGB, uint8 [H, W, 3].

        Raises:
            ValueError: The graph holds for another size.
        """
        rules = self.about['pictures']
        seen = fit_picture(picture, rules['steps'])
        if rules['channels'] == 'BGR':
            seen = seen[..., ::-1]
        seen = seen.transpose(2, 0, 1).astype(np.float32)
        mean, std = (np.array(rules[k], np.float32)[:, None, None]
                     for k in ('mean', 'std'))
        views = make_views((seen - mean) / std, self.about['views'], rules['multiple'])
        size, own = rules['size'], views.pictures.shape[2:]
        if size is not None and tuple(size) != own:
            raise ValueError(
                f'the graph takes {size[0]} x {size[1]} pixels and gets {own[0]} x '
                f'{own[1]}: export it without --size, or give pictures of that size')
        return views

    def _predict(self, picture: np.ndarray, words: Vocabulary,
                 queries: Vocabulary | Queries, rule: Background | None,
                 none_id: int | None, text: WordEmbeddings, return_scores: bool) -> Any:
        views = self.views_of(picture)
        logits, ids = self.logits(views.pictures, text)
        there = ids[0] >= 0  # the same in all views
        found = decide(logits[:, there], views, picture.shape[:2],
                       self.about['activation'], return_scores)
        owners = ids[0][there]
        if isinstance(queries, Queries):
            owners = queries.owners[owners]
        seg_map = owners[found.best]
        if rule is not None and rule.threshold is not None:
            seg_map = np.where(found.probability < rule.threshold, none_id, seg_map)
        scores = _scores(found, owners, words.names) if return_scores else None
        result = Prediction(SimpleNamespace(data=seg_map[None]), words.names, none_id,
                            np.unique(owners).tolist(), scores)
        return _as_sample(result) if self.samples else result


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    if not path.is_file():
        raise FileNotFoundError(f'no exported model in {folder}: it has no {ABOUT}, '
                                'which `dcpclip export` writes')
    about = json.loads(path.read_text(encoding='utf-8'))
    if not about['graph'].endswith('.onnx'):
        raise ValueError(f'{folder} holds {about["graph"]}, which torch.export.load '
                         'reads: OnnxPredictor needs an export with --format onnx')
    return about


def _scores(found: Decided, owners: np.ndarray, names: Sequence[str]
            ) -> SimpleNamespace:
    """Names, ids, scores and maps of the selected categories."""
    assert found.maps is not None
    ids = [i for i in np.unique(owners).tolist() if 0 <= i < len(names)]
    maps = np.stack([found.maps[owners == i].max(0) for i in ids]) if ids else (
        found.maps[:0])
    return SimpleNamespace(names=[names[i] for i in ids], ids=np.array(ids, np.int64),
                           scores=maps.max((1, 2)) if ids else np.zeros(0, np.float32),
                           maps=maps)


def _as_sample(result: Prediction) -> Any:
    """The same as mmseg has it."""
    import torch
    from mmengine.structures import InstanceData, PixelData
    from mmseg.structures import SegDataSample
    sample = SegDataSample(metainfo=dict(
        classes=result.classes, none_id=result.none_id,
        selected_categories=result.selected_categories))
    sample.pred_sem_seg = PixelData(data=torch.from_numpy(result.pred_sem_seg.data))
    if result.word_scores is not None:
        found = vars(result.word_scores)
        sample.word_scores = InstanceData(**{
            k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v
            for k, v in found.items()})
    return sample


def _encoder(config: Any, checkpoint: str | Path | None
             ) -> Callable[[Sequence[Sequence[str]]], WordEmbeddings]:
    """What encodes words by PyTorch."""
    from mmengine import Config

    from ..models.text_encoders import TextBank
    from ..shipped import find_config
    from .encoding import build_text_encoder, word_embeddings
    if not isinstance(config, Config):
        config = Config.fromfile(find_config(config))
    weights = None if checkpoint is None else str(checkpoint)
    encoder = build_text_encoder(config, weights)
    bank = TextBank(**(config.model.get('text_bank') or {}))

    def encode(entries: Sequence[Sequence[str]]) -> WordEmbeddings:
        queries = Queries(tuple(tuple(entry) for entry in entries),
                          tuple(range(len(entries))))
        return word_embeddings(bank, encoder, queries, templates=True)
    return encode
