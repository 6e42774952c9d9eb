"""One function for many files, on all cores and with a progress bar."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar('Item')
Result = TypeVar('Result')


def map_files(function: Callable[[Item], Result], items: Sequence[Item],
              workers: int | None = None, title: str = '',
              done: int = 0) -> list[Result]:
    """Call a function for each item.

    Args:
        function: Picklable if there are several processes.
        items: What it is called with.
        workers: Number of processes. None: one per core.
        title: Shown beside the progress bar.
        done: Where the progress bar starts: number of items finished before.

    Returns:
        list[Result]: What the function returned, in the order of the items.
    """
    workers = min(workers or os.cpu_count() or 1, max(1, len(items)))
    bar = partial(tqdm, total=done + len(items), initial=done, desc=title, unit='img')
    if workers == 1:
        return list(bar(map(function, items)))
    # Small chunks keep the bar moving and all cores busy to the end.
    chunk = max(1, min(32, len(items) // (workers * 4)))
    executor = ProcessPoolExecutor(workers)
    try:
        return list(bar(executor.map(function, items, chunksize=chunk)))
    finally:
        executor.shutdown(cancel_futures=True)
