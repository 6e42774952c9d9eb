"""Random words, weights and selections of a fixed size in place of real ones."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...models import DCPCLIP, CLIPFeatures, TextEmbeddings

NOISE_ROWS = 64  # different template patterns of the random words


class RandomWords(TextEmbeddings):
    """Embeddings of words that nobody said.

    Rows of templates are made on demand: of 100,000 words they would take 8 GB.

    Args:
        count: C, words.
        dims: D, width of the joint space.
        templates: P, prompts per word.
        device: Where they lie.
        dtype: Of the mean embeddings.

    Attributes:
        mean: Unit embeddings, [C, D].
        templates: Deviations from them that the words share, [rows, P, D].
    """

    def __init__(self, count: int, dims: int, templates: int, device: str,
                 dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(0)
        mean = torch.randn(count, dims, generator=generator)
        noise = torch.randn(NOISE_ROWS, templates, dims, generator=generator)
        super().__init__((0.5 * F.normalize(noise, dim=-1)).to(device),
                         F.normalize(mean, dim=-1).to(device, dtype))

    def rows(self, ids: Tensor) -> Tensor:
        """Unit embeddings of words [M] with each template, float32 [M, P, D]."""
        noise = self.templates[ids % len(self.templates)]
        return F.normalize(self.mean[ids].float()[:, None] + noise, dim=-1)

    @property
    def nbytes(self) -> int:
        """int: Bytes of the mean embeddings."""
        return self.mean.numel() * self.mean.element_size()


class FixedSelection(nn.Module):
    """Runs a selection and returns a fixed number of categories instead.

    The first call decides for all images: those with the highest image scores.

    Args:
        selection: The model's own.
        count: Categories per image.

    Attributes:
        mask: What was decided, bool [C]; None before the first call.
    """

    def __init__(self, selection: nn.Module, count: int) -> None:
        super().__init__()
        self.selection = selection
        self.count = count
        self.mask: Tensor | None = None

    @property
    def with_mean_attention(self) -> bool:
        """bool: Whether the selection needs it."""
        return getattr(self.selection, 'with_mean_attention', False)

    @torch.no_grad()
    def forward(self, features: CLIPFeatures, text: TextEmbeddings, logit_scale: float
                ) -> Tensor:
        """As the selection.

        Args:
            features: The encoder's view of B images.
            text: Embeddings of C categories.
            logit_scale: tau.

        Returns:
            Tensor: bool [B, C].
        """
        selected = self.selection(features, text, logit_scale)
        if self.mask is None:
            cls = features.cls.float()
            logits = [cls @ part.float().T for part in text.mean.split(4096)]
            best = torch.cat(logits, 1).mean(0).topk(self.count).indices
            self.mask = torch.zeros_like(selected[0]).index_fill_(0, best, True)
        return self.mask.expand_as(selected)


def random_model(config: Config, device: str) -> DCPCLIP:
    """Build a config's DCPCLIP with random weights; the config stays as it is."""
    settings = deepcopy(config.model)
    for tower in (settings.backbone, settings.text_encoder):
        tower.pretrained = None
    return MODELS.build(settings).to(device).eval()


def random_words(model: DCPCLIP, count: int, device: str) -> RandomWords:
    """Words that fit a model."""
    dtype = getattr(torch, model.text_bank.precision['mean'])
    return RandomWords(count, model.backbone.joint_dims,
                       len(model.text_encoder.templates), device, dtype)


class RandomBank:
    """A text bank that knows random words only.

    Args:
        model: They fit it.
        count: How many.
        device: Where they lie.
    """

    def __init__(self, model: DCPCLIP, count: int, device: str) -> None:
        self.words = random_words(model, count, device)

    def get(self, encoder: object, words: object) -> RandomWords:
        """The random words, whatever is asked for."""
        return self.words
