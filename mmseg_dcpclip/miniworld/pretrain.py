"""Pretrains the mini CLIP on drawn pictures and their captions.

Three contrasts on pictures of the captioned categories only:

- [CLS] against the caption of the picture (CLIP, arXiv 2103.00020);
- [CLS] against one-phrase captions, a softmax over all captioned phrases;
- patches against phrases: the image side of a phrase is the mean of the patch
  features weighted by their own similarity to it (PACL, arXiv 2212.04994).

A phrase that is in the picture is never a negative of another one there.

Without the third contrast nothing asks the last block for patch features that mean
something, as in CLIP itself.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ..models.clip.layers import resize_position_embedding
from . import MINI_CLIP_CONFIG
from .captions import TEMPLATES, caption
from .draw import Difficulty, draw_picture
from .splits import CAPTIONED, NEVER_CAPTIONED
from .surfaces import NAMES

MEAN = torch.tensor([122.77, 116.75, 104.09])
STD = torch.tensor([68.50, 66.63, 70.32])
PATCH_TEMPERATURE = 10.0
MIN_PIXELS = 30  # a category with fewer visible pixels is not worth a word

# (share of the pictures, side, batch, difficulty): few large things first.
# All with less grain and clutter than segmentation meets.
STAGES = (
    (0.62, 48, 192, Difficulty(fields=(1, 2), things=(1, 2), radius=(0.15, 0.30),
                               grain=13.0, clutter=(1, 4))),
    (0.23, 64, 128, Difficulty(fields=(1, 2), things=(1, 3), radius=(0.11, 0.25),
                               grain=13.0, clutter=(2, 6))),
    (0.15, 96, 64, Difficulty(grain=13.0, clutter=(3, 9))),
)


def build_clip() -> open_clip.CLIP:
    """The mini CLIP in open_clip's own architecture, random weights."""
    open_clip.add_model_config(MINI_CLIP_CONFIG)
    return open_clip.create_model(MINI_CLIP_CONFIG.stem)


def draw_batch(rng: np.random.Generator, size: int, side: int, difficulty: Difficulty
               ) -> tuple[Tensor, Tensor, list[str]]:
    """Draw pictures with the captions of what can be seen in them.

    Returns:
        tuple: normalised pictures [size, 3, side, side], presence of each captioned
        category, bool [size, 800], and one caption per picture.
    """
    pictures, captions = [], []
    present = torch.zeros(size, len(CAPTIONED), dtype=torch.bool)
    column = {category: i for i, category in enumerate(CAPTIONED)}
    for i in range(size):
        picture, label = draw_picture(rng, CAPTIONED, side, difficulty)
        ids, counts = np.unique(label, return_counts=True)
        seen = [int(c) for c, n in zip(ids, counts) if n >= MIN_PIXELS]
        present[i, [column[c] for c in seen]] = True
        pictures.append(picture)
        captions.append(caption(rng, seen))
    batch = torch.from_numpy(np.stack(pictures)).float()
    return ((batch - MEAN) / STD).permute(0, 3, 1, 2), present, captions


@dataclass(frozen=True)
class DrawnBatch:
    """A batch to learn from.

    Attributes:
        share: Of the training, before it, in 0..1.
        pictures: Normalised, [B, 3, side, side].
        present: Presence of each captioned category, bool [B, 800].
        captions: One per picture.
        frame: The template of its phrases.
    """
    share: float
    pictures: Tensor
    present: Tensor
    captions: list[str]
    frame: str


class DrawnBatches(Dataset):
    """All batches of a training; each is drawn from a seed of its own.

    Args:
        pictures: How many pictures to draw.
        seed: Of all.
    """

    def __init__(self, pictures: int, seed: int) -> None:
        self.seed = seed
        self.plan = list(_plan(pictures))

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, step: int) -> DrawnBatch:
        share, side, size, difficulty = self.plan[step]
        rng = np.random.default_rng([self.seed + 1000, step])
        batch = draw_batch(rng, size, side, difficulty)
        return DrawnBatch(share, *batch, TEMPLATES[rng.integers(len(TEMPLATES))])


def _plan(pictures: int) -> Iterator[tuple[float, int, int, Difficulty]]:
    """Share, side, size and difficulty of each batch."""
    drawn, ends = 0, np.cumsum([stage[0] for stage in STAGES])
    while (share := drawn / pictures) < 1:
        stage = min(int(np.searchsorted(ends, share, 'right')), len(STAGES) - 1)
        _, side, size, difficulty = STAGES[stage]
        yield share, side, size, difficulty
        drawn += size


def image_features(clip: open_clip.CLIP, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Unit [CLS] [B, D] and patch features [B, N, D] at any picture size."""
    visual = clip.visual
    x = visual.conv1(pictures)
    grid = x.shape[-2:]
    table = resize_position_embedding(visual.positional_embedding, grid)
    first = visual.class_embedding.expand(len(x), 1, -1)
    x = torch.cat([first, x.flatten(2).transpose(1, 2)], 1) + table
    x = visual.transformer(visual.ln_pre(x))
    x = F.normalize((visual.ln_post(x) @ visual.proj).float(), dim=-1)
    return x[:, 0], x[:, 1:]


def text_features(clip: open_clip.CLIP, tokens: Tensor) -> Tensor:
    """Unit text features [T, D]; tokens are cut to the longest text."""
    length = int((tokens != 0).sum(1).max())
    tokens = tokens[:, :length]
    x = clip.token_embedding(tokens) + clip.positional_embedding[:length]
    x = clip.transformer(x, attn_mask=clip.attn_mask[:length, :length])
    x = clip.ln_final(x[torch.arange(len(x)), tokens.argmax(1)])
    return F.normalize((x @ clip.text_projection).float(), dim=-1)


def phrase_loss(scores: Tensor, present: Tensor) -> Tensor:
    """Contrast each phrase of a picture with the phrases that are not in it.

    Args:
        scores: Logits [B, K].
        present: Which phrases are in which picture, bool [B, K].

    Returns:
        Tensor: mean cross-entropy over the pairs that are present.
    """
    others = scores.masked_fill(present, -1e4).logsumexp(1, keepdim=True)
    return F.softplus(others - scores)[present].mean()


def contrast(clip: open_clip.CLIP, pictures: Tensor, present: Tensor,
             caption_tokens: Tensor, phrase_tokens: Tensor, with_patches: bool = True
             ) -> Tensor:
    """The sum of the three contrasts of this module, or of the first two."""
    cls, patches = image_features(clip, pictures)
    captions = text_features(clip, caption_tokens)
    phrases = text_features(clip, phrase_tokens)
    scale = clip.logit_scale.exp()

    target = torch.arange(len(cls), device=cls.device)
    logits = scale * cls @ captions.T
    caption_loss = (F.cross_entropy(logits, target) +
                    F.cross_entropy(logits.T, target)) / 2
    cls_loss = phrase_loss(scale * cls @ phrases.T, present)
    if not with_patches:
        return 0.5 * caption_loss + cls_loss

    similarity = patches @ phrases.T  # [B, N, K]
    weight = (PATCH_TEMPERATURE * similarity).softmax(1)
    pooled = scale * (weight * similarity).sum(1)  # [B, K]
    patch_loss = phrase_loss(pooled, present) + phrase_loss(pooled.T, present.T)
    return 0.5 * caption_loss + cls_loss + patch_loss


class UsedTokens:
    """Trains the token table for used rows only; the rest keeps its first values."""

    def __init__(self, clip: open_clip.CLIP, tokens: Tensor) -> None:
        self.table = clip.token_embedding.weight.detach().clone()
        self.rows = tokens.unique()
        self.index = torch.zeros(len(self.table), dtype=torch.long)
        self.index[self.rows] = torch.arange(len(self.rows))
        clip.token_embedding = nn.Embedding.from_pretrained(
            self.table[self.rows], freeze=False)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Row numbers in the small table; [SOT] and [EOT] keep their order."""
        return self.index[tokens]

    def full_table(self, rows: Tensor) -> Tensor:
        table = self.table.clone()
        table[self.rows] = rows
        return table


@torch.no_grad()
def patch_accuracy(clip: open_clip.CLIP, phrase_tokens: Tensor, pool: Sequence[int],
                   pictures: int = 100, side: int = 96) -> dict:
    """Share of right patches and of pictures whose [CLS] names something present."""
    rng = np.random.default_rng(5)
    text = text_features(clip, phrase_tokens)
    right = total = top = 0
    for _ in range(pictures):
        picture, label = draw_picture(rng, pool, side)
        x = ((torch.from_numpy(picture).float() - MEAN) / STD).permute(2, 0, 1)[None]
        cls, patches = image_features(clip, x.to(text.device))
        grid = side // 8
        cells = label.reshape(grid, 8, grid, 8).transpose(0, 2, 1, 3).reshape(-1, 64)
        truth = np.array([np.bincount(c).argmax() for c in cells])
        guess = (patches[0] @ text.T).argmax(-1).cpu().numpy()
        right += (guess == truth).sum()
        total += len(truth)
        top += int((cls @ text.T).argmax()) in label
    return dict(patches=float(right / total), cls=top / pictures)


def pretrain(pictures: int, out: Path, seed: int = 0, lr: float = 1.5e-3, *,
             with_patches: bool = True, device: str = 'cpu', workers: int = 0,
             say: Callable[[str], None] = print) -> None:
    """Train on a number of pictures and write open_clip weights in half precision.

    Args:
        pictures: How many pictures to draw.
        out: A ``.safetensors`` path.
        seed: Seed of weights and pictures.
        lr: Highest learning rate (linear warm-up, cosine to zero).
        with_patches: Whether patches are contrasted with phrases, too.
        device: Where it is trained, as in torch.
        workers: Processes that draw beside; the pictures are the same.
        say: Told how it goes.
    """
    from safetensors.torch import save_file
    torch.manual_seed(seed)
    clip = build_clip()
    tokenize = open_clip.get_tokenizer(MINI_CLIP_CONFIG.stem)
    phrases = {t: tokenize([t.format(NAMES[c]) for c in CAPTIONED]) for t in TEMPLATES}
    never = [NAMES[c] for c in NEVER_CAPTIONED]
    used = UsedTokens(clip, torch.cat([*phrases.values(), tokenize([', and']),
                                       tokenize(never)]))

    def tokens_of(tokens: Tensor) -> Tensor:
        return used(tokens).to(device)

    everything = tokens_of(tokenize(NAMES))
    clip.to(device)

    decay = [p for p in clip.parameters() if p.ndim > 1]
    rest = [p for p in clip.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([dict(params=decay, weight_decay=0.05),
                                   dict(params=rest, weight_decay=0.0)], lr=lr,
                                  betas=(0.9, 0.98))
    average = torch.optim.swa_utils.AveragedModel(
        clip, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998))

    start, drawn, loss_sum, told = time.time(), 0, 0.0, time.time()
    batches = DataLoader(DrawnBatches(pictures, seed), batch_size=None,
                         num_workers=workers)
    for step, batch in enumerate(batches, 1):
        warm_up = min(1, step / 200)
        rate = lr * warm_up * 0.5 * (1 + math.cos(math.pi * batch.share))
        for group in optimizer.param_groups:
            group['lr'] = rate
        loss = contrast(clip, batch.pictures.to(device), batch.present.to(device),
                        tokens_of(tokenize(batch.captions)),
                        tokens_of(phrases[batch.frame]), with_patches)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            clip.logit_scale.clamp_(max=math.log(100))
        average.update_parameters(clip)
        drawn, loss_sum = drawn + len(batch.pictures), loss_sum + loss.item()
        if step % 100 == 0:
            rates = patch_accuracy(average.module, everything, range(len(NAMES)), 20)
            speed = 100 * len(batch.pictures) / (time.time() - told)
            say(f'{(time.time() - start) / 60:5.1f} min  step {step}  {drawn} '
                f'pictures ({speed:.0f}/s)  loss {loss_sum / 100:.3f}  scale '
                f'{clip.logit_scale.exp():.1f}  patches right {rates["patches"]:.3f}  '
                f'[CLS] {rates["cls"]:.2f}')
            loss_sum, told = 0.0, time.time()

    state = {k: v.detach().cpu() for k, v in average.module.state_dict().items()}
    state['token_embedding.weight'] = used.full_table(state['token_embedding.weight'])
    save_file({k: v.half().contiguous() for k, v in state.items()}, out)
    rates = patch_accuracy(average.module, everything, range(len(NAMES)), 300)
    hidden = patch_accuracy(average.module, everything, NEVER_CAPTIONED, 100)
    say(f'{drawn} pictures, wrote {out} ({out.stat().st_size / 1e6:.1f} MB): patches '
        f'right {rates["patches"]:.3f}, never captioned {hidden["patches"]:.3f}, '
        f'[CLS] names something present {rates["cls"]:.2f}')
