"""What the machine grants: cores, memory, precision, pieces; told by flags and totals, never by a timing."""

import os
from pathlib import Path

import pytest
import torch
import torchvision

from deep_cnn.models import memory
from deep_cnn.runtime import device
from deep_cnn.runtime.errors import ConfigError, MachineError
from deep_cnn.runtime.launch import Rank

CPU = torch.device("cpu")


def test_cores_are_those_granted_not_those_of_the_node(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 512)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(device, "_threads", None)  # what --threads said to a test before
    monkeypatch.setattr(device, "_cgroup_numbers", lambda *names: [])
    monkeypatch.delenv("NCPUS", raising=False)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert device.granted_cores() == 16
    monkeypatch.setattr(device, "_cgroup_numbers", lambda *names: [450_000.0, 100_000.0])
    assert device.granted_cores() == 5
    monkeypatch.setenv("NCPUS", "4")
    assert device.granted_cores() == 4
    for odd in ("\u00b2", "9" * 5000, "-1", "4.0"):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", odd)
        assert device.granted_cores() == 4, odd
    for asked, cores in {"3": 3, "8": 4, "2,1": 2, "0": 4, "many": 4, "": 4, "9" * 5000: 4, "\u00b2": 4}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert device.granted_cores() == cores, asked
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    try:
        for threads, cores in {3: 3, 64: 4}.items():  # --threads overrides OMP_NUM_THREADS, but not what was granted
            device.set_asked_threads(threads)
            assert device.granted_cores() == cores
    finally:
        device.set_asked_threads(None)
    assert device.granted_cores() == 1
    here = Rank(rank=1, world_size=2, local_rank=1, local_world_size=2)
    monkeypatch.setattr(device, "this_rank", lambda: here)
    assert device.granted_cores() == 2  # torchrun sets OMP_NUM_THREADS=1 by itself
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert device.granted_cores() == 2


def test_memory_is_that_of_the_group(monkeypatch):
    everything = device.total_memory()
    monkeypatch.setattr(device, "_cgroup_numbers", lambda *names: [1e9])
    assert device.total_memory() == 10**9 < everything


def test_pieces_make_a_batch_fit():
    # the hand-out's default command: resnet101, batch 128, float32, 133 MB an image, on a laptop with 8 GB
    pieces = memory.pieces_for(128, 133_000_000, 44_500_000, 8 * 2**30)
    assert 128 / pieces * 133e6 * 1.5 < 0.6 * 8 * 2**30 and pieces < 16
    assert memory.pieces_for(128, 133_000_000, 44_500_000, 140 * 2**30) == 1
    assert memory.pieces_for(4, 10**12, 10**6, 2**30) == 4


def test_saved_bytes_are_what_autograd_keeps():
    model = torchvision.models.resnet18(weights=None).train()
    kept = {}
    parameters = {p.data_ptr() for p in (*model.parameters(), *model.buffers())}

    def count(tensor):
        if tensor.untyped_storage().data_ptr() not in parameters:
            kept[tensor.untyped_storage().data_ptr()] = (tensor.untyped_storage().nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
        model(torch.rand(2, 3, 64, 64))
    real = sum(nbytes for nbytes, _ in kept.values()) / 2
    assert memory.saved_bytes_per_image(model, 64, "fp32") == pytest.approx(real, rel=0.05)
    assert memory.saved_bytes_per_image(model, 64, "bf16") * 2 == memory.saved_bytes_per_image(model, 64, "fp32")


def test_precision_by_the_processors_flags(monkeypatch):
    monkeypatch.setattr(device, "_cpu_flags", lambda: {"avx2"})
    assert device.pick_precision("auto", CPU) == "fp32"
    monkeypatch.setattr(device, "_cpu_flags", lambda: {"avx512_bf16"})
    assert device.pick_precision("auto", CPU) == "bf16"
    with pytest.raises(ConfigError, match="--precision=fp16"):
        device.pick_precision("fp16", CPU)


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")]
)
def test_precision_by_the_gpus_capability(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert device.pick_precision("auto", torch.device("cuda")) == expected


def test_an_unusable_gpu_is_told_at_once():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(MachineError, match=r"no usable GPU .*built for CUDA"):
        device.pick_device("cuda")
    with pytest.raises(ConfigError, match="--device=gpu: unknown"):
        device.pick_device("gpu")
    assert device.pick_device("auto").type in ("cpu", "mps")


def test_compilation_is_a_rule():
    gpu = torch.device("cuda")
    assert device.compiles("auto", gpu, 100_000, False) and not device.compiles("auto", gpu, 100, False)
    assert not device.compiles("auto", CPU, 100_000, False) and not device.compiles("on", gpu, 100_000, True)


def test_kernels_are_searched_for_where_that_pays(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    cases = [(False, 100, False), (True, 100, False), (False, 100_000, False), (True, 100_000, True)]
    found = []
    for case in cases:
        device.search_kernels(gpu, *case)
        found.append(torch.backends.cudnn.benchmark)
    assert found == [False, True, True, False]


def test_the_readings_threads_leave_the_compute_threads_alone():
    import threading

    device.set_threads(2)
    thread = threading.Thread(target=torch.set_num_threads, args=(1,))
    thread.start()
    thread.join()
    assert torch.get_num_threads() == 2


def test_cgroup_files_are_read(monkeypatch, tmp_path):
    if not Path("/proc/self/cgroup").exists():
        pytest.skip("no control groups on this system")
    real = Path

    def moved(path="."):
        return tmp_path if str(path) == "/sys/fs/cgroup" else real(path)

    monkeypatch.setattr(device, "Path", moved)
    (tmp_path / "memory.max").write_text("2000000\n")
    assert device._cgroup_numbers("memory.max") == [2e6]
    (tmp_path / "memory.max").write_text("max\n")
    assert device._cgroup_numbers("memory.max") == []


def test_without_a_c_compiler_training_continues_without_torch_compile(monkeypatch, caplog):
    """As on the nodes of many clusters; a run that began compiled elsewhere is told so, too."""

    def no_compiler(function):
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC environment variable")

    device.compiler_works.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "compile", no_compiler)
        assert not device.compiler_works(CPU)
    device.compiler_works.cache_clear()
    assert (
        len(caplog.messages) == 1 and "(Failed to find C compiler.)" in caplog.text and "module load gcc" in caplog.text
    )


def test_values_come_to_the_host_in_order_and_at_once_on_a_cpu():
    asked = []

    def outputs():
        for number in range(3):
            asked.append(number)
            yield number, device.HostCopy(torch.full((2,), float(number)))

    for number, copied in device.one_behind(outputs(), CPU):
        assert asked[-1] == number and copied.numpy().tolist() == [number, number]


def test_a_gpus_free_memory_counts_what_torch_keeps(monkeypatch):
    """A second run in one process finds room for its images again."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3_000, 80_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 50_000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20_000)
    assert device.free_memory(torch.device("cuda")) == 33_000


def test_a_network_is_compiled_for_every_size_of_batch(monkeypatch):
    from torch._dynamo import config
    from torch._dynamo.testing import CompileCounter

    counter, model = CompileCounter(), torch.nn.Linear(2, 2)
    compile_model = model.compile
    monkeypatch.setattr(model, "compile", lambda **options: compile_model(backend=counter, **options))
    with config.patch(recompile_limit=config.recompile_limit):
        device.compile_shapes(model)
        for size in range(2, 22):
            model(torch.zeros(size, 2))
    assert counter.frame_count == 20


def test_draws_of_a_step_are_those_of_torchs_own_seed():
    torch.manual_seed(2**63 + 5)
    expected = torch.rand(3)
    device.seed_generators(2**63 + 5, torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected)


def test_deterministic_runs_do_not_fill_their_buffers():
    """50 MB of each batch, where torch looks for reads of memory that nobody has written."""
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    try:
        device.set_determinism(True, torch.device("cpu"))
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.utils.deterministic.fill_uninitialized_memory = before[1]
