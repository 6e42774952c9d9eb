"""CLIP's text encoder: words to embeddings."""

import warnings
from collections.abc import Sequence

import open_clip
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.utils import track_iter_progress
from torch import Tensor

from ...registry import MODELS
from ...vocabulary import Vocabulary
from ..clip.layers import freeze_all_but, load_tower, set_quick_gelu, split_attention
from ..clip.loading import CLIPWeights, build_tower, load_clip_weights, wants_quick_gelu
from .templates import get_templates

PROGRESS_FROM = 2000  # prompts; fewer are done before one looks


@MODELS.register_module()
class CLIPTextEncoder(BaseModule):
    """The text tower of any CLIP ViT of open_clip, with prompt templates.

    Args:
        model_name: As the backbone's.
        pretrained: As the backbone's.
        templates: Set name or sentences, see
            :func:`~mmseg_dcpclip.models.text_encoders.templates.get_templates`.
        trainable: ``'none'`` (embeddings are computed once), ``'qv'``,
            ``'attention'`` or ``'all'`` (embeddings are computed in every step, with
            one template picked at random).
        chunk_size: Prompts encoded at once.
        quick_gelu: Overrules what is known of the weights' activation.
        init_cfg: As in mmengine.
    """

    def __init__(self,
                 model_name: str = 'ViT-B-16',
                 pretrained: str | None = None,
                 templates: str | Sequence[str] = 'imagenet',
                 trainable: str = 'none',
                 chunk_size: int = 512,
                 quick_gelu: bool | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.model_name = model_name
        self.pretrained = pretrained
        self.templates = get_templates(templates)
        self.trainable = trainable
        self.chunk_size = chunk_size
        self.quick_gelu_option = quick_gelu

        gelu = wants_quick_gelu(model_name) if quick_gelu is None else quick_gelu
        self.text = build_tower(model_name, 'text', gelu)
        split_attention(self.text.transformer)
        # In the state dict, so that a checkpoint restores both.
        self.register_buffer('quick_gelu', torch.tensor(gelu))
        self.register_buffer('logit_scale', torch.tensor(100.0))
        # open_clip's tokenizer reads a file of its own package: no network.
        self.tokenizer = open_clip.tokenizer.SimpleTokenizer(
            context_length=self.text.context_length)
        freeze_all_but(self, self.text.transformer, trainable)

    def init_weights(self) -> None:
        """Read the pretrained weights, if any."""
        super().init_weights()
        if self.pretrained is not None:
            self.load_clip(load_clip_weights(self.model_name, self.pretrained,
                                             self.quick_gelu_option))

    def load_clip(self, weights: CLIPWeights) -> None:
        """Take the text tower of loaded weights.

        Raises:
            ValueError: They belong to another architecture.
        """
        load_tower(self.text, weights.text, f'{weights.source!r} for {self.model_name}')
        self.quick_gelu.fill_(weights.quick_gelu)
        set_quick_gelu(self.text.transformer, weights.quick_gelu)
        self.logit_scale.fill_(weights.logit_scale)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args,
                              **kwargs) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        set_quick_gelu(self.text.transformer, bool(self.quick_gelu))

    def weights_version(self) -> tuple[tuple[int, int], ...]:
        """A value that changes when a weight is written or moved (in this process)."""
        return tuple((p.data_ptr(), p._version) for p in self.parameters())

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids, [T, context length]; a longer text is cut with a warning."""
        tokens = self.tokenizer(list(texts))
        limit = self.text.context_length - 2
        # A full row is the only sign of a cut: look closer at those.
        for text in (t for t, row in zip(texts, tokens) if row[-1] != 0):
            length = len(self.tokenizer.encode(text))
            if length > limit:
                warnings.warn(f'a prompt of {length} tokens is cut to {limit}: '
                              f'{text[:60]!r}...', stacklevel=2)
        return tokens

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode token ids.

        The causal mask lets the padding be cut off without changing a result.

        Args:
            tokens: [T, L]; zeros behind [EOT].

        Returns:
            Tensor: Unit embeddings in the joint space, [T, D].
        """
        length = int((tokens != 0).sum(1).max())
        tokens = tokens[:, :length]
        text = self.text
        x = text.token_embedding(tokens) + text.positional_embedding[:length]
        x = text.transformer(x, attn_mask=text.attn_mask[:length, :length].to(x.dtype))
        # [EOT] has the highest id of all tokens.
        x = text.ln_final(x[torch.arange(len(x), device=x.device), tokens.argmax(1)])
        projection = text.text_projection
        x = projection(x) if isinstance(projection, torch.nn.Module) else x @ projection
        return F.normalize(x.float(), dim=-1)

    def encode(self, vocabulary: Vocabulary,
               templates: Sequence[str] | None = None) -> Tensor:
        """Embed every category with every template.

        The embeddings of a category's synonyms are averaged. Prompts are sorted by
        length, so that each chunk is cut to its own longest.

        Args:
            vocabulary: C categories.
            templates: P sentences; the encoder's own by default.

        Returns:
            Tensor: Unit embeddings, float32 [C, P, D].
        """
        templates = self.templates if templates is None else templates
        words = [word for entry in vocabulary.synonyms for word in entry]
        tokens = self.tokenize([t.format(word) for word in words for t in templates])
        order = (tokens != 0).sum(1).argsort()
        chunks: Sequence[Tensor] = order.split(self.chunk_size)
        if len(order) >= PROGRESS_FROM:
            print_log(f'encoding {len(words)} words x {len(templates)} templates',
                      'current')
            chunks = track_iter_progress(list(chunks))
        device = self.logit_scale.device
        done: list[Tensor] = [self(tokens[chunk].to(device)) for chunk in chunks]
        prompts = torch.cat(done)[order.argsort().to(device)]
        prompts = prompts.view(len(words), len(templates), -1)

        owner = torch.tensor([i for i, entry in enumerate(vocabulary.synonyms)
                              for _ in entry], device=device)
        mean = prompts.new_zeros(len(vocabulary), *prompts.shape[1:])
        return F.normalize(mean.index_add(0, owner, prompts), dim=-1)
