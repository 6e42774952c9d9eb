"""Where a model is to run, checked before anything is computed."""

import torch


def check_device(device: str | torch.device) -> torch.device:
    """The device of a name.

    Args:
        device: As in torch: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ``'mps'``.

    Raises:
        ValueError: There is no such device here.
    """
    number = torch.cuda.device_count()
    usable = ', '.join(['cpu', *(f'cuda:{i}' for i in range(number))])
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition('\n')[0].partition(': ')[0]
        raise ValueError(f'device {str(device)!r} cannot be used here ({reason}); '
                         f'there are: {usable}') from error
    if found.type == 'meta':
        raise ValueError(f"device 'meta' holds no values; there are: {usable}")
    return found
