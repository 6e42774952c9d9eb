"""Draws what the number of words costs."""

from collections.abc import Sequence
from pathlib import Path

LABELS = dict(san='SAN')


def plot(rows: Sequence[dict], path: Path) -> None:
    """Draw the forward pass's ratio against the number of words.

    Args:
        rows: As ``measure`` returns them.
        path: The picture.
    """
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row['phase'] == 'forward' and row['classes'] and 'not_run' not in row:
            lines.setdefault(_label(row), []).append(
                (row['classes'], row['time_ratio']))
    figure, axes = plt.subplots(figsize=(6, 4))
    for name, points in lines.items():
        axes.plot(*zip(*sorted(points)), marker='o', label=name)
    axes.axhline(1, color='0.3', linestyle='--', label='bare CLIP encoder')
    axes.set(xscale='log', xlabel='words', ylabel='time / time of the encoder')
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _label(row: dict) -> str:
    """The line that a row belongs to."""
    if row['model'] != 'dcpclip':
        return LABELS.get(row['model'], row['model'])
    if row['selection'] == 'auto':
        return 'DCP-CLIP, what random features select'
    return f'DCP-CLIP, {row["selected_asked"]} selected'
