"""What the image encoder hands to selection, neck and decoder."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class CLIPFeatures:
    """CLIP's view of a batch of images of one size.

    Attributes:
        cls: [CLS] tokens in the joint space, [B, D].
        patch: Patch tokens in the joint space, [B, N, D], row by row.
        grid: Rows and columns of patches; their product is N.
        shallow: Token maps of earlier blocks, each [B, W, rows, columns].
        attention: The last block's patch-to-patch attention averaged over heads,
            [B, N, N] (query, key), or None where it was not asked for.
    """
    cls: Tensor
    patch: Tensor
    grid: tuple[int, int]
    shallow: tuple[Tensor, ...] = ()
    attention: Tensor | None = None

    def __getitem__(self, images: slice) -> 'CLIPFeatures':
        """The features of some images."""
        return CLIPFeatures(
            self.cls[images], self.patch[images], self.grid,
            tuple(x[images] for x in self.shallow),
            None if self.attention is None else self.attention[images])

    @property
    def patch_map(self) -> Tensor:
        """Patch tokens as a map, [B, D, rows, columns]."""
        return self.patch.transpose(1, 2).unflatten(2, self.grid)
