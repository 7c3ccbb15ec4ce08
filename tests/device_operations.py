"""A GPU that computes nothing: tensors on "cuda" that are fake, and what is asked of it counted, on any machine.

Streams, events and pinned memory are stand-ins; a backward pass gives every parameter a gradient of its shape and is not counted,
since autograd has no queue for a device that is not there.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from unittest import mock

import torch
from torch._subclasses import FakeTensorMode
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU = torch.device("cuda", 0)
# without a kernel: memory without contents, another view of it, questions
NO_KERNEL = frozenset(
    ("empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view", "detach", "alias", "lift_fresh", "device")
)
READS = frozenset(
    ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "unique", "masked_select")
)  # the host waits


@dataclass
class Counts:
    """What a device was asked: kernels by name; copies to it and from it; those of them for which the host waits."""

    kernels: Counter[str] = field(default_factory=Counter)
    copies: int = 0
    blocking: list[str] = field(default_factory=list)

    @property
    def operations(self) -> int:
        return sum(self.kernels.values())


class _Recorder(TorchDispatchMode):
    def __init__(self, pinned: set[int]):
        super().__init__()
        self.counts, self.pinned = Counts(), pinned

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        name = function.overloadpacket.__name__
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        outputs = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        if name in ("_to_copy", "copy_"):
            source, target = (args[1], args[0]) if name == "copy_" else (args[0], out)
            if source.device.type != target.device.type:
                self._copied(name, source, target, kwargs.get("non_blocking", len(args) > 2 and args[2]))
                return out
        if any(tensor.is_cuda for tensor in (*inputs, *outputs)):
            if name in READS:
                self.counts.blocking.append(name)
            if not function.is_view and name not in NO_KERNEL:
                self.counts.kernels[name] += 1
        return out

    def _copied(self, name: str, source: torch.Tensor, target: torch.Tensor, non_blocking: bool) -> None:
        host = source if target.is_cuda else target
        if host.ndim == 0 and host is source:
            return  # a number, which goes along as a kernel's argument
        self.counts.copies += 1
        if not (non_blocking and storage_of(host) in self.pinned):
            self.counts.blocking.append(f"{name} of {tuple(source.shape)} {source.dtype} to {target.device.type}")


def storage_of(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


class Stream:
    """torch.cuda.Stream and torch.cuda.Event."""

    def __init__(self, *args, **kwargs):
        pass

    def wait_stream(self, other) -> None:
        pass

    def record(self, stream=None) -> None:
        pass

    def synchronize(self) -> None:
        pass


class FakeGpu:
    """`gpu.counted()` counts what is done within it."""

    def __init__(self) -> None:
        self.pinned: set[int] = set()
        self.alive: list[torch.Tensor] = []  # a storage's address must not be used again

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        self.pinned.add(storage_of(tensor))
        self.alive.append(tensor)
        return tensor

    @contextlib.contextmanager
    def counted(self) -> Iterator[Counts]:
        with _Recorder(self.pinned) as recorder:
            yield recorder.counts


@contextlib.contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """Within it, device "cuda" exists."""
    gpu, empty = FakeGpu(), torch.empty
    _device_constructors()  # a list that torch keeps, made before torch.empty is another function

    def empty_or_pinned(*args, pin_memory=False, **kwargs):
        tensor = empty(*args, **kwargs)
        if pin_memory:
            gpu.pinned.add(storage_of(tensor))
            gpu.alive.append(tensor)
        return tensor

    with contextlib.ExitStack() as stack:
        for name, stand_in in {
            "torch.cuda.Stream": Stream,
            "torch.cuda.Event": Stream,
            "torch.cuda.stream": lambda stream: contextlib.nullcontext(),
            "torch.cuda.current_stream": Stream,
            "torch.empty": empty_or_pinned,
        }.items():
            stack.enter_context(mock.patch(name, stand_in))
        stack.enter_context(mock.patch.object(torch.Tensor, "pin_memory", lambda tensor, *_: gpu.pin(tensor)))
        stack.enter_context(mock.patch.object(torch.Tensor, "record_stream", lambda tensor, stream: None))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield gpu
