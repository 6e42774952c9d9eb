"""CLIP's text encoder: words to embeddings."""

import warnings
from collections.abc import Iterator, Sequence

import open_clip
import torch
import torch.nn.functional as F
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.utils import ProgressBar
from torch import Tensor

from ...registry import MODELS
from ...vocabulary import Queries, Vocabulary
from ..clip.loading import CLIPWeights
from ..clip.tower import CLIPTower
from ..structures import TextEmbeddings
from .templates import get_templates

PROGRESS_FROM = 2000  # prompts; fewer are done before one looks
BLOCK = 40_000  # prompts held at once; as float32 [40000, 512] they take 82 MB


@MODELS.register_module()
class CLIPTextEncoder(CLIPTower):
    """The text tower of any CLIP ViT of open_clip, with prompt templates.

    Args:
        model_name: As the backbone's.
        pretrained: As the backbone's.
        templates: Set name or sentences, see
            ``get_templates``.
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
        super().__init__('text', model_name, pretrained, trainable, quick_gelu,
                         init_cfg)
        self.templates = get_templates(templates)
        self.chunk_size = chunk_size
        self.register_buffer('logit_scale', torch.tensor(100.0))
        # open_clip's tokenizer reads a file of its own package: no network.
        self.tokenizer = open_clip.tokenizer.SimpleTokenizer(
            context_length=self.text.context_length)

    def load_clip(self, weights: CLIPWeights) -> None:
        """Take the text tower of loaded weights.

        Raises:
            ValueError: They belong to another architecture.
        """
        super().load_clip(weights)
        self.logit_scale.fill_(weights.logit_scale)

    def weights_version(self) -> tuple[tuple, ...]:
        """A value that changes when a weight is written or moved (in this process).

        A write through ``.data``, as an EMA hook makes it, leaves no trace in a
        parameter's version: of what is trained the sums are looked at, too.
        """
        weights = (*self.parameters(), self.quick_gelu)
        version = tuple((w.data_ptr(), w._version) for w in weights)
        tuned = [p.detach().sum(dtype=torch.float64) for p in self.parameters()
                 if p.requires_grad]
        return (*version, tuple(torch.stack(tuned).tolist())) if tuned else version

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

    def encode(self, vocabulary: Vocabulary | Queries,
               templates: Sequence[str] | None = None) -> Tensor:
        """Embed every category with every template, see ``encode_blocks``.

        Returns:
            Tensor: Unit embeddings, float32 [C, P, D].
        """
        return torch.cat(list(self.encode_blocks(vocabulary, templates)))

    def sample_embeddings(self, vocabulary: Vocabulary | Queries) -> TextEmbeddings:
        """Embeddings with gradients, of one template picked at random for all.

        One template a step keeps the text tower's graph small.
        """
        pick = int(torch.randint(len(self.templates), ()))
        text = self.encode(vocabulary, [self.templates[pick]])
        return TextEmbeddings(text.expand(-1, len(self.templates), -1), text[:, 0])

    def encode_blocks(self, vocabulary: Vocabulary | Queries,
                      templates: Sequence[str] | None = None,
                      block: int = BLOCK) -> Iterator[Tensor]:
        """Embed every category with every template, some categories at a time.

        The embeddings of a category's synonyms are averaged. Inside a block prompts
        are sorted by length, so that each chunk is cut to its own longest.

        Args:
            vocabulary: C categories.
            templates: P sentences; the encoder's own by default.
            block: Prompts encoded before a block is handed out; a block holds at
                least one category.

        Yields:
            Tensor: Unit embeddings of the next c categories, float32 [c, P, D].
        """
        templates = self.templates if templates is None else templates
        blocks: list[list[Sequence[str]]] = [[]]
        room = block
        for entry in vocabulary.synonyms:
            size = len(entry) * len(templates)
            if blocks[-1] and size > room:
                blocks.append([])
                room = block
            blocks[-1].append(entry)
            room -= size

        words = sum(map(len, vocabulary.synonyms))
        bar = None
        if words * len(templates) >= PROGRESS_FROM and is_main_process():
            print_log(f'encoding {words} words x {len(templates)} templates', 'current')
            bar = ProgressBar(words * len(templates))
        for entries in blocks:
            yield self._encode_block(entries, templates, bar)
        if bar is not None:
            bar.file.write('\n')

    def _encode_block(self, entries: Sequence[Sequence[str]], templates: Sequence[str],
                      bar: ProgressBar | None) -> Tensor:
        """Embed c categories given by their synonyms, [c, P, D]."""
        words = [word for entry in entries for word in entry]
        tokens = self.tokenize([t.format(word) for word in words for t in templates])
        order = (tokens != 0).sum(1).argsort()
        device = self.logit_scale.device
        done: list[Tensor] = []
        for chunk in order.split(self.chunk_size):
            done.append(self(tokens[chunk].to(device)))
            if bar is not None:
                bar.update(len(chunk))
        prompts = torch.cat(done)[order.argsort().to(device)]
        prompts = prompts.view(len(words), len(templates), -1)

        owner = torch.tensor([i for i, entry in enumerate(entries) for _ in entry],
                             device=device)
        mean = prompts.new_zeros(len(entries), *prompts.shape[1:])
        return F.normalize(mean.index_add(0, owner, prompts), dim=-1)
