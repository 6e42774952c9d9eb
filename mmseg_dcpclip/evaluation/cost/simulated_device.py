"""A GPU that is not there: mistakes of device are found and launches are counted.

Tensors stay on the CPU and say that they are on ``cuda:0``. The real code runs on
them, and an operation that mixes them with tensors of the CPU fails as it would on a
GPU. What a GPU would do is counted: kernels launched, and times the host has to wait.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device('cuda:0')
# They take index tensors of the CPU as well.
INDEXING = ('index', 'index_put', 'index_put_', '_index_put_impl_', '_unsafe_index')
# Their result's size or value has to be known to the host.
SYNCHRONISING = ('_local_scalar_dense', 'nonzero', 'masked_select', '_unique2',
                 'unique_dim', 'unique_consecutive', 'bincount', 'equal', 'is_nonzero')
# No work for the device.
FREE = ('empty', 'empty_strided', 'empty_like', 'new_empty', 'new_empty_strided',
        'detach', 'alias', 'lift_fresh', '_unsafe_view', '_reshape_alias')


class DeviceError(RuntimeError):
    """Tensors of two devices met in one operation."""


class SimulatedTensor(Tensor):
    """A tensor that says that it is on a GPU.

    To autograd and autocast it is one of the CPU, which is what computes.

    Args:
        data: What it holds, on the CPU.
    """
    __torch_function__: Any = torch._C._disabled_torch_function_impl
    held: Tensor
    counter: 'SimulatedDevice'

    @staticmethod
    def __new__(cls, data: Tensor, counter: 'SimulatedDevice') -> 'SimulatedTensor':
        tensor: Any = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, data.shape, strides=data.stride(), dtype=data.dtype,
            device=torch.device('cpu'))
        tensor.held = data
        tensor.counter = counter
        return tensor

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f'SimulatedTensor({self.held!r})'

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
            cls, func: Any, types: Iterable[type], args: tuple = (),
            kwargs: dict | None = None) -> Any:
        flat = tree_flatten((args, kwargs or {}))[0]
        own = [x for x in flat if isinstance(x, SimulatedTensor)]
        _refuse_mixture(func, args, flat)
        counter = own[0].counter
        result = func(*tree_map(held, args), **tree_map(held, kwargs or {}))
        counter.count(func, flat)
        if func._schema.name[-1] == '_' and own[0] is args[0]:
            return args[0]  # changed in place
        return tree_map(counter.wrap, result)


def held(x: Any) -> Any:
    """What a simulated tensor holds; anything else as it is."""
    return x.held if isinstance(x, SimulatedTensor) else x


def _refuse_mixture(func: Any, args: tuple, flat: list) -> None:
    """Raise where a GPU would.

    Raises:
        DeviceError: Names the operation and the shape of the CPU's tensor.
    """
    name = _name_of(func)
    if name in ('copy_', '_to_copy'):
        return
    plain = [x for x in flat if isinstance(x, Tensor)
             and not isinstance(x, SimulatedTensor) and x.ndim]
    if name in INDEXING and isinstance(args[0], SimulatedTensor):
        index = {id(x) for x in tree_flatten(args[1])[0]}
        plain = [x for x in plain if id(x) not in index]
    if plain:
        raise DeviceError(
            f'{name}: a tensor {tuple(plain[0].shape)} of the CPU among tensors of '
            f'{DEVICE}')


def _name_of(func: Any) -> str:
    """``'index'`` of ``aten::index.Tensor``."""
    return func._schema.name.partition('::')[2]


class SimulatedDevice(TorchFunctionMode):
    """Inside it, ``cuda:0`` is simulated.

    Attributes:
        kernels: Operations that a GPU would launch, by name. One operation counts as
            one, though some need several kernels.
        synchronisations: Operations that the host would wait for, by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.synchronisations: Counter[str] = Counter()

    def wrap(self, x: Any) -> Any:
        """A tensor of the CPU onto the device; anything else as it is."""
        if isinstance(x, Tensor) and not isinstance(x, SimulatedTensor):
            return SimulatedTensor(x, self)
        return x

    def __enter__(self) -> 'SimulatedDevice':
        # Module.to puts new parameters in place of old ones: a parameter of the CPU
        # cannot become a simulated one.
        self.overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.__future__.set_overwrite_module_params_on_conversion(self.overwrite)

    def count(self, func: Any, flat: list) -> None:
        """Count an operation.

        Args:
            func: Of aten.
            flat: Its arguments, containers unpacked.
        """
        name = _name_of(func)
        returns = func._schema.returns
        views = bool(returns) and all(
            r.alias_info is not None and not r.alias_info.is_write for r in returns)
        if views or name in FREE:
            return
        self.kernels[name] += 1
        masks = any(isinstance(x, SimulatedTensor) and x.dtype in (
            torch.bool, torch.uint8) for x in flat[1:])
        if name in SYNCHRONISING or name in INDEXING and masks:
            self.synchronisations[name] += 1

    def __torch_function__(self, func: Any, types: Iterable[type], args: tuple = (),
                           kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        first: Any = args[0] if args else None
        simulated = isinstance(first, SimulatedTensor)
        name = getattr(func, '__name__', '')
        if name == '__get__' and simulated:
            attribute = getattr(func.__self__, '__name__', '')
            answers = dict(device=DEVICE, is_cuda=True, is_cpu=False)
            if attribute in answers:
                return answers[attribute]
        if simulated and func in (Tensor.__repr__, Tensor.__format__):
            return func(first.held, *args[1:], **kwargs)  # they read memory
        if simulated and func in (Tensor.numpy, Tensor.__array__):
            raise DeviceError('numpy() of a tensor of cuda:0: move it to the CPU first')
        if simulated and func is Tensor.tolist:
            self.synchronisations['tolist'] += 1
            return first.held.tolist()
        if func in (Tensor.cpu, Tensor.cuda):
            return self._to(first, torch.device(name))
        if func is Tensor.to:
            return self._moved(args, kwargs)
        return self._made(func, args, kwargs)

    def _moved(self, args: tuple, kwargs: dict) -> Any:
        """``Tensor.to`` in all its forms."""
        first, *rest = args
        if rest and isinstance(rest[0], Tensor):  # like another tensor
            like = rest[0]
            place = DEVICE if isinstance(like, SimulatedTensor) else like.device
            rest[0:1] = [place, like.dtype]
        target = kwargs.pop('device', None)
        if target is None and rest and isinstance(rest[0], (str, torch.device)):
            target = rest.pop(0)
        if target is None:
            return Tensor.to(first, *rest, **kwargs)
        dtype = kwargs.get('dtype') or next(
            (x for x in rest if isinstance(x, torch.dtype)), None)
        if dtype is not None:
            first = Tensor.to(first, dtype)
        return self._to(first, torch.device(target))

    def _to(self, x: Tensor, target: torch.device) -> Any:
        """A tensor on another device."""
        simulated = isinstance(x, SimulatedTensor)
        if target.type == 'cuda':
            return x if simulated else _Upload.apply(x, self)
        if target.type == 'cpu' and simulated:
            self.synchronisations['cpu'] += 1
            return _Download.apply(x)
        return x if target.type == 'cpu' else Tensor.to(x, target)

    def _made(self, func: Any, args: tuple, kwargs: dict) -> Any:
        """Anything else; what is made on ``cuda`` is made here."""
        target = kwargs.get('device')
        if target is None or torch.device(target).type != 'cuda':
            return func(*args, **kwargs)
        kwargs['device'] = 'cpu'
        result = func(*args, **kwargs)
        self.kernels[getattr(func, '__name__', 'factory')] += 1
        return tree_map(self.wrap, result)


class _Upload(torch.autograd.Function):
    """From the CPU to the device."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, device: SimulatedDevice) -> Tensor:
        return SimulatedTensor(x.detach(), device)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        return held(grads[0]), None


class _Download(torch.autograd.Function):
    """From the device to the CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.device = x.counter  # type: ignore[attr-defined]
        return x.held.detach()  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Tensor:
        return ctx.device.wrap(grads[0])
