"""The processes that torchrun started as one training: who is first, what all agree on, how gradients are summed.

A program without torchrun, or with one process of it, is `ALONE`: the same calls, at no cost.

DistributedDataParallel, not FSDP: networks of this kind (at most some hundred million weights) fit on every device many
times over, and FSDP would pay for sharding them with a gather of all weights in each pass.
"""

import contextlib
import datetime
import logging
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist

from deep_cnn.runtime import console, signals
from deep_cnn.runtime.errors import ConfigError, DeepCNNError, LostPeer
from deep_cnn.runtime.launch import Place, place
from deep_cnn.runtime.signals import Stopped

log = logging.getLogger(__name__)

POLL = 0.05  # seconds between two looks whether another process has come so far
PEER_TIMEOUT = 300.0  # seconds: a save to a file server that stalls takes a minute or two
GRACE = 8.0  # seconds from a signal until a process that waits for another one gives up


class Processes:
    """All processes of a run, as one of them sees them. Every method but `in_turn`'s work is to be called by all alike.

    A process that dies or cannot be reached is LostPeer for the others: at once on the same machine, after the timeout
    when a cable was cut.
    """

    def __init__(self, here: Place | None = None, store: dist.Store | None = None):
        """store: kept by torchrun, reachable from all."""
        self.here = here or Place()
        self.count, self.first = self.here.count, self.here.first
        self._store, self._works = store, 0

    # ---- small things, at once: within a step, between two steps ----------------------------------------------------

    def largest(self, number: int) -> int:
        """The largest of all processes' numbers."""
        if self.count == 1:
            return number
        tensor = torch.tensor([number])
        with _told():
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return int(tensor)

    def summed(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in place; the same bits on each."""
        if self.count > 1:
            with _told():
                dist.all_reduce(tensor)
        return tensor

    def share(self, value: Any) -> Any:
        """The first process's value, on all."""
        if self.count == 1:
            return value
        box = [value if self.first else None]
        with _told():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def gathered(self, value: Any) -> list[Any] | None:
        """Everybody's value in the order of the processes, on the first one; None on the others."""
        if self.count == 1:
            return [value]
        box = [None] * self.count if self.first else None
        with _told():
            dist.gather_object(value, box, dst=0)
        return box

    def spread(self, tensor: torch.Tensor) -> None:
        """The first process's tensor, on all, in place."""
        if self.count > 1:
            with _told():
                dist.broadcast(tensor, src=0)

    def stop_if_requested(self) -> None:
        """Before the first step of the run: Stopped on all when any of them has a signal."""
        name = signals.requested()
        if number := self.largest(int(signal.Signals[name]) if name else 0):
            raise signals.before_the_first_step(signal.Signals(number).name)

    # ---- work of one, for which the others wait however long it takes ------------------------------------------------

    def first_does(self, work: Callable[[], Any]) -> Any:
        """The first process works; all get its result, or raise the mistake (or the stop) that it raised."""
        if self.count == 1:
            return work()
        self._works += 1
        done = f"work {self._works}"
        if not self.first:
            self._await(done)
            result, mistake = self.share(None)
            if mistake is not None:
                mistake.heard = True  # the first process says it
                raise mistake
            return result
        result = mistake = None
        try:
            result = work()
        except (DeepCNNError, Stopped) as error:
            mistake = error
        self._store.set(done, "")
        with contextlib.suppress(LostPeer) if mistake is not None else contextlib.nullcontext():
            self.share((result, mistake))  # the signal that stopped this process may have ended others already
        if mistake is not None:
            raise mistake
        return result

    @contextlib.contextmanager
    def first_holds(self, context: Callable[[], contextlib.AbstractContextManager]) -> Iterator[Any]:
        """What the first process holds while all are within; None to the others."""
        held = []
        with contextlib.ExitStack() as stack:
            self.first_does(lambda: held.append(stack.enter_context(context())))
            yield held[0] if self.first else None

    def all_arrive(self) -> None:
        """Wait for everybody, however long the others work."""
        if self.count == 1:
            return
        self._works += 1
        self._store.set(f"work {self._works} of {self.here.rank}", "")
        for rank in range(self.count):
            self._await(f"work {self._works} of {rank}")

    def together(self, work: Callable[[], Any]) -> Any:
        """Each does work of its own, however long; Stopped on all when one of them was."""
        result = stop = None
        try:
            result = work()
        except Stopped as stopped:
            stop = stopped
        self.all_arrive()
        stopped = self.largest(int(stop is not None))
        if stop is not None:
            raise stop
        if stopped:
            raise Stopped("another process was stopped; everything is saved, the same command goes on")
        return result

    def in_turn(self, work: Callable[[], Any]) -> Any:
        """Each does the same work and has its own result; a cache that the first one fills, the others find full.

        The first process, then the first of each other machine, then the rest of each machine.
        """
        if self.count == 1:
            return work()
        self._works += 1
        done = [f"work {self._works} on machine {machine}" for machine in (0, self.here.machine)]
        if self.first:
            result = work()
        else:
            self._await(done[0 if self.here.local_rank == 0 else 1])
            with console.silence():  # it would say what the first one has said
                result = work()
        if self.here.local_rank == 0:
            self._store.set(done[1], "")
        return result

    def _await(self, key: str) -> None:
        """Until another process has set the key. Asks again and again, so that a signal ends it and no time limit does."""
        asked = None
        while True:
            with _told():
                if self._store.check([key]):
                    return
            if signals.requested() and asked is None:
                asked = time.monotonic()
            if asked is not None and time.monotonic() - asked > GRACE:
                raise LostPeer("asked to stop, and the process that was waited for does not answer")
            time.sleep(POLL)


ALONE = Processes()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What torch raises when another process is gone, as LostPeer; as Stopped before the first step, if all were to stop."""
    try:
        yield
    except RuntimeError as fault:
        signals.raise_if_requested()
        raise LostPeer(str(fault).strip().splitlines()[0][:160]) from fault


@contextlib.contextmanager
def joined(device: str = "cpu", timeout: float = PEER_TIMEOUT) -> Iterator[Processes]:
    """All processes that torchrun has started, connected; `ALONE` without torchrun or with one process of it.

    Args:
        device: as --device: what is exchanged. timeout: seconds without a word from another process after which it is lost.
    """
    here = place()
    if here.count == 1:
        yield ALONE
        return
    if device == "mps" or ":" in device:
        raise ConfigError(f"--device={device}: each process takes a device of its own; use auto, cpu or cuda")
    if not here.first:
        console.warnings_only(here.rank)
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu and here.local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"torchrun: {here.local_count} processes on {socket.gethostname()} and {torch.cuda.device_count()} GPUs; "
            "--nproc-per-node is the number of GPUs"
        )
    _choose_interface()
    limit = datetime.timedelta(seconds=timeout)
    with _told():
        store, _, _ = next(dist.rendezvous("env://", here.rank, here.count, timeout=limit))
        if on_gpu:
            torch.cuda.set_device(here.local_rank)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=dist.PrefixStore("torch", store),
            rank=here.rank,
            world_size=here.count,
            timeout=limit,
        )
    try:
        yield Processes(here, dist.PrefixStore("deep_cnn", store))
    except Stopped:
        dist.destroy_process_group()
        raise
    # after a fault nothing is taken down in order: that would wait for processes that are gone
    dist.destroy_process_group()


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
