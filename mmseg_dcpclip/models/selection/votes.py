"""Selection by the patches' votes (ERR-Seg, arXiv 2501.17642)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..coarse import CoarseWords
from ..structures import first_equal
from .pruning import pruned_top
from .scores import BLOCK, MAX_SCORES, chunk_of, mark_top, top_of_patches

VOTES = (100, 10, 1)  # in hundredths: whole numbers add up the same in any order


def select_by_votes(patch: Tensor, text: Tensor, *, num_kept: int,
                    first: Tensor | None = None, votes: Sequence[int] = VOTES,
                    coarse: CoarseWords | None = None,
                    max_scores: int = MAX_SCORES, block: int = BLOCK) -> Tensor:
    """Select a fixed number of words by votes (ERR-Seg, arXiv 2501.17642).

    The three most similar words of each patch get 1, 0.1 and 0.01 votes of it, and the
    words with most votes stay. There is no image score and no threshold. Of equal words
    only the first takes part, and of words with as many votes the lowest ids stay.

    Args:
        patch: F_patch, [B, N, D]; need not have unit length.
        text: E_t averaged over templates, [C, D].
        num_kept: K, at least 1.
        first: What ``first_equal`` gives for ``text``; None: it is looked for here.
        votes: What a patch gives its most similar words, best first.
        coarse: Of ``text``, where words are to be ruled out, see ``prunable``; changes
            no result.
        max_scores: Scores of patches and categories held at once; changes no result.
        block: Categories whose maximum is taken at once; changes no result.

    Returns:
        Tensor: bool [B, C], min(K, C) of each image.

    Raises:
        ValueError: K below 1.
    """
    if num_kept < 1:
        raise ValueError(f'num_kept must be at least 1, got {num_kept}')
    count = text.shape[0]
    own = torch.arange(count, device=text.device)
    repeated = (first_equal(text) if first is None else first) != own
    patch = F.normalize(patch.float(), dim=-1)
    found = None
    if coarse is not None:
        found = pruned_top(patch, text, repeated, len(votes), coarse)
    best, there = found or top_of_patches(
        patch, text, repeated, len(votes), chunk_of(patch, text, max_scores, block),
        block)
    given = torch.tensor(votes, device=text.device) * there
    counts = given.new_zeros(patch.shape[0], count)
    counts.scatter_add_(1, best.flatten(1), given.flatten(1))
    # No two keys are equal, so topk has no choice; repeats come last.
    keys = (counts + 1).masked_fill(repeated, 0) * count - own
    return mark_top(keys, num_kept)
