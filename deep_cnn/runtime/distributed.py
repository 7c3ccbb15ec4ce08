"""The processes that torchrun started as one training: which rank this is, collectives, and work that rank 0 does for all.

The state is this module's own, as in torch.distributed: `process_group` sets it. Outside of it, without torchrun, and within
a function that only rank 0 runs (`main_process`), the world has one process and every call here costs nothing.

DistributedDataParallel, not FSDP: networks of this kind (at most some hundred million weights) fit on every device many
times over, and FSDP would pay for sharding them with a gather of all weights in each pass.
"""

import contextlib
import datetime
import functools
import logging
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist

from deep_cnn.runtime import console, signals
from deep_cnn.runtime.errors import ConfigError, DeepCNNError, LostPeer, MachineError
from deep_cnn.runtime.launch import Rank, this_rank
from deep_cnn.runtime.signals import Stopped

log = logging.getLogger(__name__)

POLL = 0.05  # seconds between two looks whether another process has come so far
PEER_TIMEOUT = 300.0  # seconds: a save to a file server that stalls takes a minute or two
GRACE = 8.0  # seconds from a signal until a process that waits for another one gives up
ADDRESS_SECONDS = 20.0  # a name server that is away for a moment, or a host that is just starting

P = ParamSpec("P")
T = TypeVar("T")


class _Group:
    """The processes that are connected. store: kept by torchrun, reachable from all; tasks: numbered alike on all ranks."""

    def __init__(self, here: Rank, store: dist.Store | None = None):
        self.here, self.store, self.tasks = here, store, 0

    def next_task(self) -> str:
        self.tasks += 1
        return f"task {self.tasks}"


_ALONE = _Group(Rank())
_group = _ALONE


def rank() -> int:
    """This process's number among all, from 0."""
    return _group.here.rank


def world_size() -> int:
    """How many processes share the work."""
    return _group.here.world_size


def is_main() -> bool:
    """Whether this is rank 0, which alone writes files."""
    return rank() == 0


# ---- collectives: within a step or between two steps, to be called by all ranks alike --------------------------------
#
# A process that dies or cannot be reached is LostPeer for the others: at once on the same machine, after the timeout when a
# cable was cut.


def all_reduce_max(number: int) -> int:
    """The largest of all ranks' numbers."""
    if world_size() == 1:
        return number
    tensor = torch.tensor([number])
    with _lost_peers_named():
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return int(tensor)


def all_reduce(tensor: torch.Tensor) -> torch.Tensor:
    """The sum over all ranks, in place; the same bits on each."""
    if world_size() > 1:
        with _lost_peers_named():
            dist.all_reduce(tensor)
    return tensor


def broadcast(value: Any) -> Any:
    """Rank 0's value, on all ranks."""
    if world_size() == 1:
        return value
    box = [value if is_main() else None]
    with _lost_peers_named():
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def broadcast_tensor(tensor: torch.Tensor) -> None:
    """Rank 0's tensor, on all ranks, in place."""
    if world_size() > 1:
        with _lost_peers_named():
            dist.broadcast(tensor, src=0)


def gather(value: Any) -> list[Any] | None:
    """Every rank's value in the order of the ranks, on rank 0; None on the others."""
    if world_size() == 1:
        return [value]
    box = [None] * world_size() if is_main() else None
    with _lost_peers_named():
        dist.gather_object(value, box, dst=0)
    return box


def barrier() -> None:
    """Wait for all ranks, however long the others work."""
    if world_size() == 1:
        return
    task = _group.next_task()
    _store().set(f"{task} of {rank()}", "")
    for other in range(world_size()):
        _await(f"{task} of {other}")


def stop_if_requested() -> None:
    """Before the first step of the run: raise Stopped on all ranks when any of them has received a signal."""
    name = signals.requested()
    if number := all_reduce_max(int(signal.Signals[name]) if name else 0):
        raise signals.before_the_first_step(signal.Signals(number).name)


# ---- work of one rank, for which the others wait however long it takes -------------------------------------------------


def main_process(function: Callable[P, T]) -> Callable[P, T]:
    """A decorator: rank 0 runs the function; its result, or the mistake that it raised, reaches every rank.

    Example:
        >>> @main_process
        ... def read_settings(path):
        ...     return path.read_text()
    """

    @functools.wraps(function)
    def on_main(*args: P.args, **kwargs: P.kwargs) -> T:
        if world_size() == 1:
            return function(*args, **kwargs)
        done = _group.next_task()
        if not is_main():
            _await(done)
            result: T
            result, mistake = broadcast(None)
            if mistake is not None:
                mistake.heard = True  # rank 0 says it
                raise mistake
            return result
        try:
            with _alone():
                result = function(*args, **kwargs)
        except (DeepCNNError, Stopped) as error:
            _store().set(done, "")
            with contextlib.suppress(LostPeer):
                broadcast((None, error))  # the signal that stopped this process may have ended others already
            raise
        _store().set(done, "")
        broadcast((result, None))
        return result

    return on_main


@contextlib.contextmanager
def main_process_first() -> Iterator[None]:
    """Each rank does the same work and has its own result; a cache that rank 0 fills, the others find full.

    The order is rank 0, then the first rank of each other machine, then the rest of each machine. The work may not call
    collectives: the ranks are not at the same place.
    """
    if world_size() == 1:
        yield
        return
    here, task = _group.here, _group.next_task()
    done = [f"{task} on machine {machine}" for machine in (0, here.machine)]
    if here.rank == 0:
        yield
    else:
        _await(done[0 if here.local_rank == 0 else 1])
        with console.silence():  # it would say what rank 0 has said
            yield
    if here.local_rank == 0:
        _store().set(done[1], "")


@contextlib.contextmanager
def entered_by_main(context: contextlib.AbstractContextManager[T]) -> Iterator[T | None]:
    """Rank 0 alone enters the context, and holds it while all are within; its mistake reaches every rank.

    Yields:
        What the context yields; None on the other ranks.
    """
    entered: list[T] = []
    with contextlib.ExitStack() as stack:

        @main_process
        def enter() -> None:
            entered.append(stack.enter_context(context))

        enter()
        yield entered[0] if is_main() else None


@contextlib.contextmanager
def stopped_together() -> Iterator[None]:
    """Each rank does work of its own, however long; Stopped on all ranks when one of them was."""
    stop = None
    try:
        yield
    except Stopped as stopped:
        stop = stopped
    barrier()
    stopped_ranks = all_reduce_max(int(stop is not None))
    if stop is not None:
        raise stop
    if stopped_ranks:
        raise Stopped("another process was stopped; everything is saved; run the same command to continue")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Within it the world has one process: the others wait, and would not answer."""
    global _group
    before, _group = _group, _ALONE
    try:
        yield
    finally:
        _group = before


def _store() -> dist.Store:
    assert _group.store is not None
    return _group.store


def _await(key: str) -> None:
    """Until another process has set the key. Asks again and again, so that a signal ends it and no time limit does."""
    asked = None
    while True:
        with _lost_peers_named():
            if _store().check([key]):
                return
        if signals.requested() and asked is None:
            asked = time.monotonic()
        if asked is not None and time.monotonic() - asked > GRACE:
            raise LostPeer("stopping, but another process does not respond")
        time.sleep(POLL)


@contextlib.contextmanager
def _lost_peers_named() -> Iterator[None]:
    """What torch raises when another process is gone, as LostPeer; as Stopped before the first step, if all were to stop."""
    try:
        yield
    except RuntimeError as fault:
        signals.raise_if_requested()
        raise LostPeer(str(fault).strip().splitlines()[0][:160]) from fault


# ---- beginning and end -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def process_group(device: str = "cpu", timeout: float = PEER_TIMEOUT) -> Iterator[None]:
    """Connect all processes that torchrun has started; nothing without torchrun or with one process of it.

    Args:
        device: as --device: what is exchanged. timeout: seconds without an answer from another process after which it is lost.
    """
    global _group
    here = this_rank()
    if here.world_size == 1:
        yield
        return
    if device == "mps" or ":" in device:
        raise ConfigError(f"--device={device}: each process needs its own device; use auto, cpu or cuda")
    if here.rank:
        console.warnings_only(here.rank)
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu and here.local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"torchrun: {here.local_world_size} processes on {socket.gethostname()}, but {torch.cuda.device_count()} GPUs; "
            "set --nproc-per-node to the number of GPUs"
        )
    _wait_for_address()
    _choose_interface()
    limit = datetime.timedelta(seconds=timeout)
    with _lost_peers_named():
        store, _, _ = next(dist.rendezvous("env://", here.rank, here.world_size, timeout=limit))
        if on_gpu:
            torch.cuda.set_device(here.local_rank)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=dist.PrefixStore("torch", store),
            rank=here.rank,
            world_size=here.world_size,
            timeout=limit,
        )
    _group = _Group(here, dist.PrefixStore("deep_cnn", store))
    try:
        yield
    except Stopped:
        _group = _ALONE
        dist.destroy_process_group()
        raise
    # after a fault nothing is taken down in order: that would wait for processes that are gone
    _group = _ALONE
    dist.destroy_process_group()


def _wait_for_address() -> None:
    """MachineError where nothing knows the first process's host: torch would go on asking, deaf to signals."""
    host, end = os.environ["MASTER_ADDR"], time.monotonic() + ADDRESS_SECONDS
    while True:
        signals.raise_if_requested()
        try:
            socket.getaddrinfo(host, None)
            return
        except (OSError, UnicodeError) as error:
            if time.monotonic() > end:
                raise MachineError(
                    f"MASTER_ADDR={host}: no such host ({error}); give torchrun's --rdzv-endpoint an address that this machine knows"
                ) from None
        time.sleep(0.5)


def _choose_interface() -> None:
    """Have gloo talk over the interface that leads to the first process.

    Left alone it takes the address of this host's name, which on many systems is 127.0.1.1, where no other host hears it.
    """
    if "GLOO_SOCKET_IFNAME" in os.environ or sys.platform != "linux":
        return
    import fcntl

    get_address = 0x8915  # SIOCGIFADDR of netdevice(7)
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((os.environ["MASTER_ADDR"], 9))  # sends nothing: it only asks for the route
        ours = probe.getsockname()[0]
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # one without an address
                found = fcntl.ioctl(probe, get_address, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(found[20:24]) == ours:
                    os.environ["GLOO_SOCKET_IFNAME"] = name
