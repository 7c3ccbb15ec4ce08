"""Faults of the machine that one line can explain: memory that ran out, a GPU that is gone, a disk that is full."""

import contextlib
from collections.abc import Iterator

import torch

from deep_cnn.runtime.atomic import FULL
from deep_cnn.runtime.errors import LostPeer, MachineError

KEPT = "the last checkpoint is intact; run the same command to resume from it"


@contextlib.contextmanager
def explained(batch_size: int, pieces: int) -> Iterator[None]:
    """Turn such a fault into MachineError. batch_size: --batch_size, computed in so many pieces."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as fault:
        if (reason := lost_peer(fault)) is not None:
            raise LostPeer(reason) from fault
        text = out_of_memory(fault, batch_size, pieces) or lost_gpu(fault) or full_disk(fault)
        if text is None:
            raise
        raise MachineError(text) from fault


def out_of_memory(fault: BaseException, batch_size: int, pieces: int) -> str | None:
    """What to say when memory ran out, with the flag that helps; None for another fault."""
    said = str(fault)
    # NumPy's and Python's; torch's allocator on Linux; on Windows
    on_host = isinstance(fault, MemoryError) or "can't allocate memory" in said or "not enough memory" in said
    # the caching allocator's; cuBLAS' and cuDNN's; the driver's, which pinned memory and a graph's capture raise
    on_gpu = (
        isinstance(fault, torch.OutOfMemoryError)
        or "_STATUS_ALLOC_FAILED" in said
        or ("CUDA" in said and "out of memory" in said)
    )
    if not (on_host or on_gpu):
        return None
    more = min(batch_size, 2 * pieces)
    return (
        f"out of {'memory' if on_host else 'GPU memory'} with --batch_size={batch_size} in {pieces} "
        f"piece{'s' if pieces > 1 else ''} ({_first_line(fault)}); try --grad_accumulation={more}, which splits the "
        "same batch into more pieces, a smaller --batch_size or --image_size, or request more memory"
    )


def lost_gpu(fault: BaseException) -> str | None:
    """What to say when the GPU stopped answering in mid-run."""
    said = str(fault)
    if not (isinstance(fault, torch.AcceleratorError) or "CUDA error" in said or "cuDNN error" in said):
        return None
    return (
        f"the GPU failed ({_first_line(fault)}); {KEPT}. If this happens again, check `nvidia-smi`, report the node to the "
        "administrators, and request another node"
    )


def lost_peer(fault: BaseException) -> str | None:
    """What the exchange of gradients says when another process is gone."""
    said = str(fault)
    return _first_line(fault) if isinstance(fault, torch.distributed.DistError) or "/gloo/" in said else None


def full_disk(fault: BaseException) -> str | None:
    """What to say when a disk or a quota is full; None for another fault."""
    if not isinstance(fault, OSError) or fault.errno not in FULL:
        return None
    where = f" at {fault.filename}" if fault.filename else ""
    return (
        f"no disk space left to write{where} ({fault.strerror}); free some space (check quotas with `quota -s`); {KEPT}"
    )


def _first_line(fault: BaseException) -> str:
    lines = str(fault).strip().splitlines()
    return lines[0][:160] if lines else type(fault).__name__
