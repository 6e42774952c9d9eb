"""What the parts hand to each other: features, words, pairs and their maps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .coarse import CoarseWords


@dataclass
class CLIPFeatures:
    """An image encoder's view of a batch of images of one size.

    Attributes:
        cls: [CLS] tokens in the joint space (F_cls), [B, D].
        patch: Patch tokens in the joint space (F_patch), [B, N, D], row by row.
        grid: Rows and columns of patches; their product is N.
        shallow: Maps of earlier blocks (F_v), each [B, W, rows, columns].
        attention: The last block's patch-to-patch attention averaged over heads
            (A_CLIP), [B, N, N] (query, key), or None where it was not asked for.
        mean_attention: The same averaged over all blocks but the last, without
            gradients, [B, N, N]; rows sum to less than 1, since [CLS] takes a share.
            None where it was not asked for.
    """
    cls: Tensor
    patch: Tensor
    grid: tuple[int, int]
    shallow: tuple[Tensor, ...] = ()
    attention: Tensor | None = None
    mean_attention: Tensor | None = None

    @classmethod
    def cat(cls, parts: Sequence['CLIPFeatures']) -> 'CLIPFeatures':
        """The features of several batches of one size as one batch."""
        def joined(name: str) -> Any:
            own = [getattr(part, name) for part in parts]
            return None if own[0] is None else torch.cat(own)

        return cls(joined('cls'), joined('patch'), parts[0].grid,
                   tuple(map(torch.cat, zip(*(part.shallow for part in parts)))),
                   joined('attention'), joined('mean_attention'))

    def __getitem__(self, images: slice) -> 'CLIPFeatures':
        """The features of some images."""
        return self._each(lambda x: x[images])

    def clone(self) -> 'CLIPFeatures':
        """The same in memory of its own."""
        return self._each(Tensor.clone)

    def _each(self, change: Callable[[Tensor], Tensor]) -> 'CLIPFeatures':
        """The same with every tensor changed."""
        return CLIPFeatures(
            change(self.cls), change(self.patch), self.grid,
            tuple(map(change, self.shallow)),
            *(None if x is None else change(x)
              for x in (self.attention, self.mean_attention)))

    @property
    def patch_map(self) -> Tensor:
        """Patch tokens as a map, [B, D, rows, columns]."""
        return self.patch.transpose(1, 2).unflatten(2, self.grid)


@dataclass
class TextEmbeddings:
    """Embeddings of one vocabulary.

    Attributes:
        templates: Unit embeddings of each template, [C, P, D]; perhaps in half
            precision, on the CPU and mapped from a file, see ``rows``.
        mean: Unit embeddings averaged over the templates (E_t), [C, D], on the
            encoder's device.
        first: What ``first_equal`` found, int64 [C].
        coarse: What ``coarse_words`` found.
    """
    templates: Tensor
    mean: Tensor
    first: Tensor | None = None
    coarse: CoarseWords | None = None

    @classmethod
    def from_templates(cls, templates: Tensor) -> 'TextEmbeddings':
        return cls(templates, F.normalize(templates.mean(1), dim=-1))

    def rows(self, ids: Tensor) -> Tensor:
        """Embeddings of some categories; of a mapped file only these are read.

        Args:
            ids: M categories, int64 [M].

        Returns:
            Tensor: float32 [M, P, D] on the device of ``ids``.
        """
        rows = self.templates[ids.to(self.templates.device)]
        return rows.to(ids.device).float()

    def first_equal(self) -> Tensor:
        """``first_equal`` of the mean embeddings, computed once."""
        if self.first is None:
            self.first = first_equal(self.mean)
        return self.first

    def coarse_words(self) -> CoarseWords:
        """``CoarseWords`` of the mean embeddings, computed once."""
        if self.coarse is None:
            self.coarse = CoarseWords.of(self.mean)
        return self.coarse


def first_equal(rows: Tensor, max_elements: int = 2**20) -> Tensor:
    """For each row the first one that is equal to it, bit by bit.

    Equal words get scores that differ in their last bit wherever a matrix product
    splits its work, so which one wins would depend on the processor. Rows are compared
    by a sum of integers, which is the same in any order, and then themselves.

    Args:
        rows: [C, D].
        max_elements: Elements looked at at once.

    Returns:
        Tensor: Row numbers, int64 [C]; a row that repeats none has its own.
    """
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[rows.element_size()]
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(-2**62, 2**62, (rows.shape[1], ), generator=generator)
    factors = factors.to(rows.device)
    keys = torch.cat([(part.contiguous().view(bits).long() * factors).sum(1)
                      for part in rows.detach().split(
                          max(1, max_elements // rows.shape[1]))])
    own = torch.arange(len(rows), device=rows.device)
    _, group = keys.unique(return_inverse=True)
    first = torch.full_like(own, len(rows)).scatter_reduce(0, group, own, 'amin')[group]
    repeats = (first != own).nonzero().squeeze(1)
    equal = (rows[repeats] == rows[first[repeats]]).all(1)
    own[repeats[equal]] = first[repeats[equal]]
    return own


@dataclass
class Pairs:
    """The selected categories of a batch, flat: one entry per (image, category).

    Attributes:
        image: Which image of the batch, int64 [M], ascending.
        category: Which category of the vocabulary, int64 [M], ascending per image.
        counts: Entries of each image (C_s); empty where ``valid`` is there.
        valid: Where every image has the same number K of entries: which of them are
            pairs, bool [B, K]; the others fill up. None: each image has its own number.
    """
    image: Tensor
    category: Tensor
    counts: list[int]
    valid: Tensor | None = None

    @classmethod
    def from_mask(cls, selected: Tensor) -> 'Pairs':
        """From bool [B, C]; the host waits for the device once."""
        mask = selected.cpu()
        image, category = (x.to(selected.device) for x in mask.nonzero(as_tuple=True))
        return cls(image, category, mask.sum(1).tolist())

    @classmethod
    def filled_up(cls, category: Tensor, valid: Tensor) -> 'Pairs':
        """K entries of each image.

        Args:
            category: int64 [B, K]; of what fills up any that is there.
            valid: bool [B, K], at least one of each image.
        """
        image = torch.arange(category.shape[0], device=category.device)
        return cls(image[:, None].expand_as(category).flatten(), category.flatten(), [],
                   valid)

    def __len__(self) -> int:
        return len(self.image)

    def split(self, most: int, mixed: bool = True
              ) -> Iterator[tuple[slice, 'Pairs']]:
        """Cut into parts of whole images, or of one image that has too many.

        Args:
            most: Pairs in a part, at least 1.
            mixed: Whether a part may hold several images.

        Yields:
            tuple: The images of a part, and its pairs, whose images count from 0.
        """
        ends = list(accumulate(self.counts))
        first = start = 0
        while start < len(self):
            while ends[first] <= start:
                first += 1
            last, stop = first, min(ends[first], start + most)
            while (mixed and stop == ends[last] and last + 1 < len(ends)
                   and ends[last + 1] - start <= most):
                last += 1
                stop = ends[last]
            images = slice(first, last + 1)
            counts = [min(end, stop) - max(end - count, start)
                      for end, count in zip(ends[images], self.counts[images])]
            image = self.image[start:stop]
            yield images, Pairs(image - first if first else image,
                                self.category[start:stop], counts)
            start = stop


@dataclass
class AlignedFeatures:
    """Maps of the pairs of a batch, as a neck hands them to a head.

    Attributes:
        similarity: Cosine averaged over templates (F_sim), [M, 1, h, w].
        cost: Cost volume features F_cv (Eq. 6), [M, D_c, h, w].
        refined: F_cv_ref, F_cv after alignment (behind Eq. 12), [M, D_c, h, w].
    """
    similarity: Tensor
    cost: Tensor
    refined: Tensor


def per_pair(x: Tensor, image: Tensor) -> Tensor:
    """What belongs to each pair's image: x [B, ...] to [M, ...].

    Args:
        x: Values of B images.
        image: Image of each pair, [M].

    Returns:
        Tensor: A view where there is one image.
    """
    if x.shape[0] == 1:
        return x.expand(image.shape[0], *x.shape[1:])
    # index_select: its backward is far faster than that of indexing
    return x.index_select(0, image)


def take_images(prepared: Any, images: slice) -> Any:
    """The part of something prepared per image that belongs to some of them.

    Args:
        prepared: None, something that a slice of images indexes (a tensor [B, ...],
            ``CLIPFeatures``), or lists and tuples of such.
        images: Which images.

    Returns:
        The same kind of thing.
    """
    if prepared is None:
        return None
    if isinstance(prepared, (list, tuple)):
        return type(prepared)(take_images(x, images) for x in prepared)
    return prepared[images]
