"""CLIP's image tower and its read-outs in plain float64, patch by patch.

Written from the published formulas on the keys of OpenAI's files; it knows nothing of
the package.
"""

import math

import numpy as np


def openai_state(width, depth, patch_size, side, joint, seed=0):
    """Random weights of an image tower under OpenAI's keys, half precision as there.

    Attention is peaked and the residual strong, so that patches stay apart.
    """
    generator = np.random.default_rng(seed)

    def draw(*shape, std=1.0):
        return (generator.standard_normal(shape, dtype=np.float32) * std).astype(
            np.float16)

    weights = {
        'attn.in_proj_weight': draw(3 * width, width, std=2 * width**-0.5),
        'attn.in_proj_bias': draw(3 * width, std=0.3),
        'attn.out_proj.weight': draw(width, width, std=0.2 * width**-0.5),
        'attn.out_proj.bias': draw(width, std=0.1),
        'ln_1.weight': 1 + draw(width, std=0.1), 'ln_1.bias': draw(width, std=0.1),
        'ln_2.weight': 1 + draw(width, std=0.1), 'ln_2.bias': draw(width, std=0.1),
        'mlp.c_fc.weight': draw(4 * width, width, std=width**-0.5),
        'mlp.c_fc.bias': draw(4 * width, std=0.1),
        'mlp.c_proj.weight': draw(width, 4 * width, std=0.1 * width**-0.5),
        'mlp.c_proj.bias': draw(width, std=0.1)}
    state = {
        'conv1.weight': draw(width, 3, patch_size, patch_size, std=0.5 / patch_size),
        'class_embedding': draw(width),
        'positional_embedding': draw(1 + side * side, width),
        'ln_pre.weight': 1 + draw(width, std=0.1), 'ln_pre.bias': draw(width, std=0.1),
        'ln_post.weight': 1 + draw(width, std=0.1),
        'ln_post.bias': draw(width, std=0.1),
        'proj': draw(width, joint, std=width**-0.5)}
    for i in range(depth):  # moved on, so that no two blocks are alike
        state.update({f'transformer.resblocks.{i}.{key}': np.roll(value, 17 * i)
                      for key, value in weights.items()})
    return state


class Reference:
    """A tower with its weights, and the read-outs on it; pictures one at a time."""

    def __init__(self, state, heads):
        self.state, self.heads = state, heads
        self.depth = 1 + max(int(key.split('.')[2]) for key in state
                             if key.startswith('transformer'))

    def get(self, name, block=None):
        prefix = '' if block is None else f'transformer.resblocks.{block - 1}.'
        return self.state[prefix + name].astype(np.float64)

    def norm(self, x, name, block=None):
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean)**2).mean(-1, keepdims=True)
        unit = (x - mean) / np.sqrt(variance + 1e-5)
        return (unit * self.get(f'{name}.weight', block)
                + self.get(f'{name}.bias', block))

    def qkv(self, x, block):
        """q, k and v of tokens, each a list with one [L, d] per head."""
        h = self.norm(x, 'ln_1', block)
        joined = (h @ self.get('attn.in_proj_weight', block).T
                  + self.get('attn.in_proj_bias', block))
        return [np.split(part, self.heads, 1) for part in np.split(joined, 3, 1)]

    def out(self, values, block):
        return (np.concatenate(values, 1) @ self.get('attn.out_proj.weight', block).T
                + self.get('attn.out_proj.bias', block))

    def add_mlp(self, y, block):
        h = (self.norm(y, 'ln_2', block) @ self.get('mlp.c_fc.weight', block).T
             + self.get('mlp.c_fc.bias', block))
        h = h / (1 + np.exp(-1.702 * h))  # QuickGELU
        return (y + h @ self.get('mlp.c_proj.weight', block).T
                + self.get('mlp.c_proj.bias', block))

    def run_block(self, x, block):
        """Tokens behind a block, and its attention averaged over heads."""
        q, k, v = self.qkv(x, block)
        weights = [softmax(a @ b.T / math.sqrt(a.shape[1])) for a, b in zip(q, k)]
        y = x + self.out([w @ c for w, c in zip(weights, v)], block)
        return self.add_mlp(y, block), sum(weights) / self.heads

    def tokens(self, image):
        """Tokens behind each block, the embedded picture first, and attentions."""
        kernel = self.get('conv1.weight')
        size = kernel.shape[-1]
        rows, columns = image.shape[1] // size, image.shape[2] // size
        patches = [kernel.reshape(len(kernel), -1) @ image[
            :, r * size:(r + 1) * size, c * size:(c + 1) * size].ravel()
            for r in range(rows) for c in range(columns)]
        x = np.stack([self.get('class_embedding'), *patches])
        x = self.norm(x + self.get('positional_embedding'), 'ln_pre')
        outputs, attentions = [x], []
        for block in range(1, self.depth + 1):
            x, attention = self.run_block(x, block)
            outputs.append(x)
            attentions.append(attention)
        return outputs, attentions

    def project(self, y):
        return self.norm(y, 'ln_post') @ self.get('proj')

    # The read-outs: tokens that enter the last block, those behind earlier ones (the
    # number of blocks they went through), rows and columns; what goes into P.

    def plain(self, x, outputs, grid):
        return self.run_block(x, self.depth)[0][1:]

    def value(self, x, outputs, grid):
        return self.out(self.qkv(x, self.depth)[2], self.depth)[1:]

    def catseg(self, x, outputs, grid):
        y = self.value(x, outputs, grid)
        return self.add_mlp(np.stack([row + x[0] for row in y]), self.depth)

    def qq(self, x, outputs, grid):
        q, _, v = self.qkv(x, self.depth)
        values = [softmax(a @ a.T / math.sqrt(a.shape[1])) @ c for a, c in zip(q, v)]
        return self.out(values, self.depth)[1:]

    def csa(self, x, outputs, grid):
        q, k, v = self.qkv(x, self.depth)
        root = math.sqrt(q[0].shape[1])
        values = [(softmax(a @ a.T / root) + softmax(b @ b.T / root)) @ c
                  for a, b, c in zip(q, k, v)]
        return self.add_mlp(x + self.out(values, self.depth), self.depth)[1:]

    def kk_weights(self, k, grid, sigma):
        columns = grid[1]
        weights = []
        for b in k:
            scores = b @ b.T / math.sqrt(b.shape[1])
            for i in range(1, len(b) if sigma else 0):
                for j in range(1, len(b)):
                    rows = (i - 1) // columns - (j - 1) // columns
                    steps = (i - 1) % columns - (j - 1) % columns
                    scores[i, j] += math.exp(-(rows**2 + steps**2) / (2 * sigma**2))
            weights.append(softmax(scores))
        return weights

    def kk_gauss(self, x, outputs, grid, sigma=5):
        _, k, v = self.qkv(x, self.depth)
        values = [w @ c for w, c in zip(self.kk_weights(k, grid, sigma), v)]
        return self.out(values, self.depth)[1:]

    def rcs(self, x, outputs, grid, sigma=5, blocks=None):
        _, k, v = self.qkv(x, self.depth)
        blocks = blocks or {12: (6, 7, 8, 9), 24: range(12, 19)}[self.depth]
        middle = [0] * self.heads
        for block in blocks:
            a, b, _ = self.qkv(outputs[block - 1], block)
            for head in range(self.heads):
                scores = a[head] @ b[head].T / math.sqrt(a[head].shape[1])
                middle[head] = middle[head] + softmax(scores) / len(blocks)
        values = [2 * (0.7 * w + 0.3 * m) @ c for w, m, c in zip(
            self.kk_weights(k, grid, sigma), middle, v)]
        return self.out(values, self.depth)[1:]

    def procrustes(self, x, outputs, grid):
        values = []
        for q, k, v in zip(*self.qkv(x, self.depth)):
            share = np.linalg.norm(q, axis=1)
            share[0] = 0
            share = share / share.sum()
            q_c, k_c = q - share @ q, k - share @ k
            u, sizes, vh = np.linalg.svd(k_c.T @ q_c)
            rotation = 0  # of the directions that the tokens have at all
            for i, size in enumerate(sizes):
                if size > 1e-5 * sizes[0]:
                    rotation = rotation + np.outer(u[:, i], vh[i])
            root = math.sqrt(q.shape[1])
            values.append(softmax(q @ (k @ rotation).T / root
                                  + 0.08 * k_c @ k_c.T / root) @ v)
        return self.out(values, self.depth)[1:]

    def self_calibrated(self, x, outputs, grid):
        middle, early, first, last, share = {12: (9, 4, 4, 10, 0.3),
                                             24: (17, 7, 9, 19, 0.1)}[self.depth]
        missing = outliers(x[1:])
        patches = fill(x[1:], missing, grid)
        similar = cosines(fill(outputs[middle][1:], missing, grid))
        patches = averaging(similar) @ patches
        smooth = averaging(cosines(outputs[early][1:]))
        scores = 3 * (similar - similar.mean())
        scores[scores < 0] = -np.inf
        shared = softmax(scores)

        def pooled(tokens, cls):
            _, k, v = self.qkv(tokens, self.depth)
            values = [(shared + softmax(b @ b.T / math.sqrt(b.shape[1]))) / 2 @ c
                      for b, c in zip(k, v)]
            return smooth @ (self.out(values, self.depth) + share * cls)

        levels = sum(outputs[block] for block in range(first, last + 1))
        return pooled(patches, x[0]) + pooled(levels[1:], levels[0])


def softmax(scores):
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def cosines(x):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit @ unit.T


def averaging(similar):
    kept = np.where(similar < 0.4, 0, similar)
    return kept / kept.sum(1, keepdims=True)


def outliers(x):
    """Places whose outlier factor is above the 95 % quantile."""
    number = min(30, len(x) - 1)
    nearest, density = [], []
    for i in range(len(x)):
        distance = ((x - x[i])**2).sum(1)
        order = [j for j in np.argsort(distance) if j != i][:number]
        reach = [max(distance[j], distance[order[-1]]) for j in order]
        nearest.append(order)
        density.append(number / np.mean(reach))
    factors = [np.mean([density[j] for j in nearest[i]]) / density[i]
               for i in range(len(x))]
    limit = np.quantile(factors, 0.95)
    return [i for i in range(len(x)) if factors[i] > limit * (1 + 1e-9)]  # no ties


def fill(x, missing, grid):
    """Each missing place gets the mean of those around it that are not missing."""
    filled = x.copy()
    rows, columns = grid
    for i in missing:
        around = [r * columns + c
                  for r in range(i // columns - 1, i // columns + 2)
                  for c in range(i % columns - 1, i % columns + 2)
                  if 0 <= r < rows and 0 <= c < columns]
        around = [j for j in around if j not in missing]
        if around:
            filled[i] = x[around].mean(0)
    return filled
