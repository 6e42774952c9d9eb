"""The small world as an mmseg dataset: pictures are drawn when asked for."""


import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, TRANSFORMS

from ..datasets.open_vocab import OpenVocabMixin
from .draw import SIDE, Difficulty
from .scenes import SceneDifficulty, drawing_of
from .splits import CATEGORIES
from .surfaces import NAMES

# The loaders of a pipeline and what takes their places.
DRAWN = {
    'LoadImageFromFile': 'DrawMiniWorldPicture',
    'LoadAnnotations': 'DrawMiniWorldLabel',
    'LoadWideAnnotations': 'DrawMiniWorldLabel',
}


@TRANSFORMS.register_module()
class DrawMiniWorldPicture(BaseTransform):
    """Draws what ``LoadImageFromFile`` would read.

    Required keys: mini_world (arguments of the drawing).

    Added keys: img (uint8 [H, W, 3] in BGR, as mmcv reads files), img_shape,
    ori_shape, mini_label.
    """

    def transform(self, results: dict) -> dict:
        world = results['mini_world']
        rng = np.random.default_rng(world['seed'])
        draw = drawing_of(world['scenes'])
        picture, label = draw(rng, world['pool'], world['side'], world['difficulty'])
        results['img'] = np.ascontiguousarray(picture[..., ::-1])
        results['img_shape'] = results['ori_shape'] = picture.shape[:2]
        results['mini_label'] = np.searchsorted(world['pool'], label)
        return results


@TRANSFORMS.register_module()
class DrawMiniWorldLabel(BaseTransform):
    """Adds the label map that belongs to the drawn picture.

    Added keys: gt_seg_map (int64 [H, W], places in the vocabulary), seg_fields.
    """

    def transform(self, results: dict) -> dict:
        results['gt_seg_map'] = results['mini_label']
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results


@DATASETS.register_module()
class MiniWorldDataset(OpenVocabMixin, BaseSegDataset):
    """Drawn pictures of some categories of the small world.

    The loaders of the pipeline (``LoadImageFromFile`` with ``PictureAsSeen``, and the
    label loaders) are replaced by drawing, so that one pipeline serves the dataset
    and picture files. Picture i is always the same.

    Args:
        categories: ``'mini-seen'`` (training), a benchmark (``'mini-20'`` to
            ``'mini-847'``) or ``'mini-all'``.
        scenes: Whether what is in a picture belongs together, see ``scenes.py``.
        num_pictures: Length of the dataset.
        first_seed: Seed of picture 0; picture i has ``first_seed + i``.
        side: Height and width in pixels.
        difficulty: Fields of ``Difficulty`` to change, of ``SceneDifficulty`` in
            scenes.
        pipeline: As in mmseg.
        kwargs: As in mmseg.

    Raises:
        ValueError: There is no such set of categories.
    """

    def __init__(self,
                 categories: str = 'mini-seen',
                 num_pictures: int = 1000,
                 first_seed: int = 0,
                 side: int = SIDE,
                 difficulty: dict | None = None,
                 pipeline: list[dict] | None = None,
                 scenes: bool = False,
                 **kwargs) -> None:
        if categories not in CATEGORIES:
            raise ValueError(f'no categories {categories!r}; known: '
                             f'{", ".join(CATEGORIES)}')
        self.pool = CATEGORIES[categories]
        self.num_pictures = num_pictures
        self.first_seed = first_seed
        self.side = side
        self.scenes = scenes
        self.difficulty: Difficulty | SceneDifficulty = (
            SceneDifficulty if scenes else Difficulty)(**(difficulty or {}))
        pipeline = [dict(t, type=DRAWN.get(t['type'], t['type']))
                    for t in pipeline or [] if t['type'] != 'PictureAsSeen']
        kwargs.setdefault('vocabulary', [NAMES[i] for i in self.pool])
        super().__init__(pipeline=pipeline, **kwargs)
        self._metainfo['dataset_name'] = (
            categories.replace('mini', 'scene', 1) if scenes else categories)

    def load_data_list(self) -> list[dict]:
        """One entry per picture; nothing is drawn yet."""
        name = 'scene' if self.scenes else 'mini'
        return [
            dict(img_path=f'{name}-{seed}.png', label_map=None, reduce_zero_label=False,
                 seg_fields=[], seed=seed)
            for seed in range(self.first_seed, self.first_seed + self.num_pictures)
        ]

    def get_data_info(self, idx: int) -> dict:
        """The entry with what its picture is drawn from."""
        info = super().get_data_info(idx)
        # Added here: stored, it would be pickled once for every picture.
        info['mini_world'] = dict(seed=info['seed'], pool=self.pool, side=self.side,
                                  difficulty=self.difficulty, scenes=self.scenes)
        return info
