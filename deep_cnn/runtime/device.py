"""What this machine grants and how a run uses it. Every answer is a function of the machine and the flags, never a timing."""

import contextlib
import ctypes
import functools
import gc
import logging
import math
import os
import platform
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from deep_cnn.runtime.errors import ConfigError, MachineError
from deep_cnn.runtime.launch import this_rank, whole_number

log = logging.getLogger(__name__)

GIB = 2**30
COMPILATIONS = 64  # of one network in a process
REPLAYED_SHARE = 0.2  # of a GPU's memory: a step that is a CUDA graph keeps what it takes; a larger step is long anyway
MANY_STEPS = 2000  # optimizer steps of a run, from which on faster kernels make up for the time that finding them takes
T = TypeVar("T")
CHANNELS_LAST = torch.channels_last  # convolutions are 1.3 to 3 times faster on it, on CPUs and GPUs alike


_threads: int | None = None  # of --threads, of the run in this process


def set_asked_threads(count: int | None) -> None:
    """Have `granted_cores` go by --threads instead of OMP_NUM_THREADS; None: by the latter again."""
    global _threads
    _threads = count


def granted_cores() -> int:
    """Cores this process may use: the smallest of its affinity, its control group's quota, the scheduler's grant and
    OMP_NUM_THREADS, which --threads overrides; never all of the node.

    Processes that torchrun started on this machine share them (its own OMP_NUM_THREADS=1 would leave most idle).
    """
    counts = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    quota = _cgroup_numbers("cpu.max", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")
    if len(quota) == 2 and quota[0] > 0:
        counts.append(math.ceil(quota[0] / quota[1]))
    counts += [cores for name in ("NCPUS", "SLURM_CPUS_PER_TASK") if (cores := whole_number(os.environ.get(name, "")))]
    share = min(counts) // this_rank().local_world_size
    return max(1, min(share, _threads or _omp_threads() or share))


def workers_of(given: str) -> int:
    """Threads that read images: --workers, where auto is the cores of this process."""
    return granted_cores() if given == "auto" else max(1, int(given))


def _omp_threads() -> int | None:
    """OMP_NUM_THREADS, which counts the threads of one process; None where it says nothing."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]  # "4,2" is for nested loops
    # torchrun sets it to 1 for each of several processes, whatever they were granted
    torchruns = asked == "1" and (this_rank().world_size > 1 or "TORCHELASTIC_RUN_ID" in os.environ)
    return None if torchruns else whole_number(asked) or None


def total_memory() -> int:
    """Bytes this process may use: its share of the machine's, its control group's or its own limit; not what is free."""
    limits: list[float] = []
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    else:
        import psutil  # Windows

        limits.append(psutil.virtual_memory().total)
    limits += _cgroup_numbers("memory.max", "memory/memory.limit_in_bytes")
    limits = [limit // this_rank().local_world_size for limit in limits]
    with contextlib.suppress(ImportError):  # Windows has no such limits
        import resource

        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            if (soft := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY:
                limits.append(soft)
    return int(min(limits))


def _cgroup_numbers(version2: str, *version1: str) -> list[float]:
    """The numbers in a control group's file ("max" left out), of this process's own group where that can be found."""
    base = Path("/sys/fs/cgroup")
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return []
    own = next((path for _, controllers, path in groups if controllers == ""), "/").lstrip("/")
    found: list[float] = []
    for folder in (base / own, base):
        if (folder / version2).is_file():
            words = (folder / version2).read_text().split()
            return [float(word) for word in words] if "max" not in words else []
    for name in version1:
        if (base / name).is_file():
            found += [float(word) for word in (base / name).read_text().split()]
    return [number for number in found if number < 2**60]  # version 1 writes "none" as a number near 2**63


def pick_device(flag: str) -> torch.device:
    """The device of --device; MachineError within seconds, naming driver and build, when it cannot be used."""
    if flag == "auto":
        if not torch.cuda.is_available() and torch.backends.mps.is_available():
            log.info(
                "This Mac has a GPU; use it with --device=mps (faster, but results are not bit-identical to the CPU)"
            )
        flag = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(flag)
    except (RuntimeError, ValueError, OverflowError):
        raise ConfigError(f"--device={flag}: unknown; choose auto, cpu, cuda, cuda:1 or mps") from None
    if device.type not in ("cpu", "cuda", "mps") or (device.type != "cuda" and device.index):
        raise ConfigError(f"--device={flag}: unknown; choose auto, cpu, cuda, cuda:1 or mps")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise MachineError(
            f"--device={flag}: no usable GPU ({_driver()}; torch {torch.__version__} was built for CUDA "
            f"{torch.version.cuda or 'none: a CPU build'}); request a GPU from the scheduler, install a torch build for this "
            "driver (TORCH_INDEX of environment.sh), or use --device=cpu"
        )
    if device.type == "cuda" and device.index is None and this_rank().world_size > 1:
        device = torch.device("cuda", this_rank().local_rank)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise MachineError("--device=mps: this computer has no Apple GPU; use --device=cpu")
    return device


def _driver() -> str:
    path = Path("/proc/driver/nvidia/version")
    return path.read_text().splitlines()[0].strip() if path.is_file() else "no NVIDIA driver is loaded"


def pick_precision(flag: str, device: torch.device) -> str:
    """fp32, bf16, fp16 or fp64. auto: bf16 where the hardware multiplies it natively, fp16 on Turing and Volta GPUs."""
    if flag != "auto":
        if flag == "fp16" and device.type == "cpu":
            raise ConfigError("--precision=fp16: slow on a CPU, which emulates it; use bf16 or fp32")
        return flag
    if device.type == "cuda":
        # not torch.cuda.is_bf16_supported(): that counts emulation, which is slower than float32
        major = torch.cuda.get_device_capability(device)[0]
        return "bf16" if major >= 8 else "fp16" if major == 7 else "fp32"
    if device.type == "cpu" and _cpu_flags() & {"avx512_bf16", "amx_bf16"}:
        return "bf16"
    return "fp32"


def has_amx() -> bool:
    """Whether the processor multiplies bf16 matrices in tiles, as Intel's do from Sapphire Rapids on."""
    return "amx_bf16" in _cpu_flags()


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # macOS, Windows: float32
        return set()
    return set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())


def dtype_of(precision: str) -> torch.dtype:
    """The type of weights and images; reduced precision is opened by `autocast_for`, step by step."""
    return torch.float64 if precision == "fp64" else torch.float32


def autocast_for(device: torch.device, precision: str) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """Opens the reduced precision for a forward pass; does nothing for fp32 and fp64."""
    if precision in ("fp32", "fp64"):
        return contextlib.nullcontext
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return functools.partial(torch.autocast, device.type, dtype)


def compiles(flag: str, device: torch.device, steps: int, deterministic: bool) -> bool:
    """Whether torch.compile pays: about a minute of compiling, 10 to 30% of each step on a GPU; slower on the CPU."""
    if deterministic:
        return False
    return flag == "on" or (flag == "auto" and device.type == "cuda" and steps >= MANY_STEPS)


def search_kernels(device: torch.device, compiled: bool, steps: int, deterministic: bool) -> None:
    """Have cuDNN try all its kernels for each shape of a convolution, where that pays; its own choice is used otherwise.

    Each shape of a batch is searched anew: a full one, the last one, those of the evaluation.
    """
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = not deterministic and (compiled or steps >= MANY_STEPS)


@functools.cache  # once a process: the first compilation takes seconds
def compiler_works(device: torch.device) -> bool:
    """Whether torch.compile works here: it needs a C compiler, which many nodes of clusters lack. Says so if not."""
    try:
        torch.compile(lambda x: x + 1)(torch.ones(8, device=device))
    except Exception as error:  # torch._dynamo's, inductor's and triton's own kinds are many
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        log.warning(
            "torch.compile does not work here (%s); training continues without it, 10 to 30%% slower on a GPU. Load a C compiler "
            "(on clusters: module load gcc) to use it",
            reason[:160],
        )
        return False
    return True


def compile_shapes(model: torch.nn.Module) -> None:
    """Compile the network in place, once for each shape that comes.

    One set of kernels for any size of batch would be slower for all of them.
    """
    allow_compilations()
    model.compile(dynamic=False)


def replayed(model: torch.nn.Module) -> Callable[..., Any]:
    """A network's forward pass, compiled for each shape; it and the backward pass are CUDA graphs: one launch for all kernels.

    A step of resnet18 has 230 kernels, which Python launches no faster than an H200 computes them.
    """
    allow_compilations()
    return torch.compile(model.forward, dynamic=False, mode="reduce-overhead")


def allow_compilations() -> None:
    """Let a function be compiled for as many shapes as come.

    torch gives up after 8 compilations and goes on without them, in silence; parts of a batch, its last part, small first
    epochs, thawed stages and evaluation come to more.
    """
    from torch._dynamo import config

    config.recompile_limit = max(config.recompile_limit, COMPILATIONS)


def set_threads(count: int) -> None:
    """Compute threads of this thread's kernels: another number changes the last bits of a sum."""
    torch.set_num_threads(count)
    # Asking marks this thread as set up; otherwise a reading thread's set_num_threads(1) would reach it later
    torch.get_num_threads()


def keep_freed_memory() -> None:
    """Have freed memory used again by the next step instead of given back to the system (glibc; elsewhere nothing is done).

    By default glibc maps each block above 32 MB anew and unmaps it when it is freed, so that every activation of every
    step is made of fresh pages, which the system clears one by one: 1,400,000 page faults in 12 steps of resnet18 at batch
    32, a sixth of the processor time, and 46 images/s on two cores instead of 58.
    """
    _set_malloc(most_mapped=0, trim_threshold=GIB, top_pad=64 * 2**20)


def give_back_memory() -> None:
    """Free what a training has left in cycles of references, and give freed memory back to the system.

    Without it each of 10 trainings in a notebook adds 8 MB: what is freed lies between what is not. With glibc's defaults
    for what comes after; elsewhere only the cycles are freed.
    """
    gc.collect()
    if (libc := _set_malloc(most_mapped=65536, trim_threshold=2**17, top_pad=2**17)) is not None:
        libc.malloc_trim(0)


def _set_malloc(*, most_mapped: int, trim_threshold: int, top_pad: int) -> ctypes.CDLL | None:
    """Set M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD of malloc.h; the library, None where it is not glibc."""
    if platform.libc_ver()[0] != "glibc":
        return None
    libc = ctypes.CDLL(None)
    for name, value in ((-4, most_mapped), (-1, trim_threshold), (-2, top_pad)):
        libc.mallopt(name, value)
    return libc


def set_determinism(deterministic: bool, device: torch.device) -> None:
    """TF32 for float32 on GPUs; with --deterministic only kernels whose sums have a fixed order."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("highest" if deterministic else "high")
        torch.backends.cudnn.allow_tf32 = not deterministic
        torch.backends.cudnn.benchmark = False
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=False)
        # nothing reads memory before it is written, and to fill the buffers of each batch takes longer than to copy them
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed what dropout draws from on a device: torch.manual_seed asks for devices of every kind, 80 us at each step."""
    torch.random.default_generator.manual_seed(seed)
    if device.type == "cuda" and len(torch.cuda.default_generators):  # there are some when the first tensor is there
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def memory_for_training(device: torch.device) -> int:
    """Total bytes of the device that trains: a GPU's own, or this process's share of the machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return total_memory()


def upload(values: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """An array as a tensor on the device. From pinned memory, since a copy from ordinary memory waits for the GPU."""
    tensor = values if isinstance(values, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class HostCopy:
    """A tensor on its way to the host, for which nothing waits until `numpy` is called."""

    def __init__(self, tensor: torch.Tensor):
        self._tensor, self._arrived = tensor, None
        if tensor.is_cuda:
            self._tensor = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._tensor.copy_(tensor, non_blocking=True)
            self._arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            self._arrived.record(torch.cuda.current_stream(tensor.device))

    def numpy(self) -> np.ndarray:
        """The values, once they have arrived."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._tensor.cpu().numpy()


def one_behind(values: Iterable[T], device: torch.device) -> Iterator[T]:
    """The values in order; on a GPU each one only when the next has been asked for, so that the GPU always has work."""
    waiting: deque[T] = deque()
    for value in values:
        waiting.append(value)
        if len(waiting) > (device.type == "cuda"):
            yield waiting.popleft()
    yield from waiting


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that a new tensor can have: the driver's, and what torch keeps of tensors that are gone."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


@dataclass(frozen=True)
class ComputeSettings:
    """What `auto` came to on the machine where the run began; kept when it resumes on another."""

    device: str
    precision: str
    compile: bool
    threads: int
    pieces: int
    eval_batch: int
    lr: float | None = None  # that --lr=auto found
    processes: int = 1  # of torchrun; threads and pieces are those of each
