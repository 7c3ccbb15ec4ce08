"""What only a GPU can show; skipped where there is none."""

import contextlib
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import PERCEPTION, PLACES, ROOT

from deep_cnn.data import assemble
from deep_cnn.data.assemble import CopyStream, Pixels, open_copy_stream
from deep_cnn.data.augment.steps import parse_augment
from deep_cnn.data.feed import Feed, FeedSettings, Sampling
from deep_cnn.data.index import build_index
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.models import checkpoint
from deep_cnn.runtime import signals
from deep_cnn.runtime.device import autocast_for
from deep_cnn.tasks.make import new_task
from deep_cnn.training import loop
from deep_cnn.training.optim import optimizers
from deep_cnn.training.state import TrainingState

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

PRE = Preprocessing(72, 64)
CPU, GPU = torch.device("cpu"), torch.device("cuda")
PROBE = {"model": "resnet18", "weights": "none", "image_size": 64, "epochs": 2, "batch_size": 16, "device": "cuda"}


@pytest.fixture(autouse=True)
def determinism_ends_with_a_test():
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def index():
    return build_index(PLACES)


def make_feed(index, device, augment="none", copy_stream=None):
    samples = np.arange(len(index))
    pixels = Pixels(index, PRE, None)
    settings = FeedSettings(device, workers=2, copy_stream=copy_stream)
    return Feed(pixels, samples, torch.from_numpy(index.targets), settings, Sampling(parse_augment(augment)))


def resident_copy_stream(index):
    copy_stream = open_copy_stream(Pixels(index, PRE, None), np.arange(len(index)), GPU)
    assert copy_stream.residents is not None
    return copy_stream


def grey_levels(a, b):
    """Differences in grey levels of the original images."""
    return (a.cpu() - b.cpu()).abs() * 255 * torch.tensor(PRE.std).view(3, 1, 1)


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize(
    ("augment", "mean", "most"), [("none", 1e-4, 1e-3), ("basic", 0.2, 2.01), ("cifar", 1e-4, 1e-3)]
)
def test_device_feed_equals_host_feed(index, augment, mean, most, resident):
    host = make_feed(index, CPU, augment)
    device = make_feed(index, GPU, augment, resident_copy_stream(index) if resident else None)
    for epoch in (0, 1):
        pairs = list(zip(host.train_batches(epoch, 0, 16), device.train_batches(epoch, 0, 16), strict=True))
        assert len(pairs) == -(-len(index) // 16)
        for ours, theirs in pairs:
            difference = grey_levels(ours.images, theirs.images)
            assert difference.mean() <= mean and difference.flatten().quantile(0.999) <= most
            assert theirs.images.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(ours.targets, theirs.targets.cpu()) and np.array_equal(ours.indices, theirs.indices)


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("augment", ["none", "basic", "cifar_fast", "zoom,flip,erasing"])
def test_a_compiled_feed_equals_the_plain_one(index, augment, resident):
    plain, compiled = (
        make_feed(index, GPU, augment, resident_copy_stream(index) if resident else None) for _ in range(2)
    )
    compiled.compile()
    for epoch in (0, 1):
        batches = (plain.train_batches(epoch, 0, 16), compiled.train_batches(epoch, 0, 16))
        for ours, theirs in zip(*batches, strict=True):
            assert theirs.images.is_contiguous(memory_format=torch.channels_last)
            difference = grey_levels(ours.images, theirs.images)
            assert difference.mean() <= 0.01 and difference.flatten().quantile(0.999) <= 1.01


def test_evaluation_pads_and_counts_each_sample_once(index):
    feed = make_feed(index, GPU, copy_stream=resident_copy_stream(index))
    batches = list(feed.eval_batches(16))
    assert np.array_equal(np.concatenate([b.indices for b in batches]), np.arange(len(index)))
    assert all(len(b.images) == 16 for b in batches)
    assert torch.equal(batches[-1].images[-1], batches[-1].images[len(batches[-1].indices) - 1])


def test_resident_images_are_read_once_and_are_the_same(index, monkeypatch):
    copied, resident = make_feed(index, GPU, "basic"), make_feed(index, GPU, "basic", resident_copy_stream(index))
    list(resident.train_batches(0, 0, 16))
    expected = [batch.images for batch in copied.train_batches(1, 0, 16)]

    def fail(self, sample):
        raise AssertionError(f"sample {sample} was read again")

    monkeypatch.setattr(Pixels, "read", fail)
    found = [batch.images for batch in resident.train_batches(1, 0, 16)]
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_a_set_that_does_not_fit_is_copied_batch_by_batch(index, monkeypatch):
    monkeypatch.setattr(assemble, "RESIDENT_SHARE", 0.0)
    copy_stream = open_copy_stream(Pixels(index, PRE, None), np.arange(len(index)), GPU)
    assert isinstance(copy_stream, CopyStream) and copy_stream.residents is None
    assert open_copy_stream(Pixels(index, PRE, None), np.arange(len(index)), CPU) is None


def test_a_batch_is_whole_while_the_gpu_is_behind(index):
    """The host runs ahead: what a batch is made of must not be overwritten before the GPU has come to it."""
    feed, expected = make_feed(index, GPU, "basic"), []
    for batch in make_feed(index, GPU, "basic").train_batches(0, 0, 8):
        torch.cuda.synchronize()
        expected.append(batch.images.sum(dtype=torch.float64).item())
    sums = []
    for batch in feed.train_batches(0, 0, 8):
        torch.cuda._sleep(50_000_000)  # some 30 ms of nothing on the stream that trains
        sums.append(batch.images.sum(dtype=torch.float64))
        del batch
    assert torch.stack(sums).tolist() == expected


def test_no_step_waits_for_the_gpu(index):
    task = new_task("classification", index.classes)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 4), torch.nn.Flatten(), torch.nn.LazyLinear(task.outputs)).to(
        GPU
    )
    feed = make_feed(index, GPU, "basic", resident_copy_stream(index))
    with torch.no_grad():
        for batch in feed.train_batches(0, 0, 16):  # fills the device's memory, builds the lazy layer
            model(batch.images)
    groups = [{"params": list(model.parameters()), "part": "head", "base_lr": 1e-3, "lr": 1e-3}]
    optimizer = optimizers.make_optimizer("adamw", groups, momentum=0.9, nesterov=False)
    settings = loop.StepSettings(clip=1.0, autocast=autocast_for(GPU, "bf16"))
    scaler, sums = torch.amp.GradScaler("cuda", enabled=False), torch.zeros(2, dtype=torch.float64, device=GPU)
    state = TrainingState(model, optimizer, scaler, None, sums)
    steps = loop.train_one_epoch(model, feed.train_batches(1, 0, 16), task, state, settings)
    next(steps)  # the first one makes the optimizer's state
    torch.cuda.set_sync_debug_mode("error")
    try:
        count = sum(1 for _ in steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert count == -(-len(index) // 16) - 1
    assert sums[1].item() == len(index)


def train(run_cli, tmp_path, name, **flags):
    code, files = run_cli(**({"data_dir": PLACES, "root_dir": tmp_path, "run_name": name} | PROBE | flags))
    return code, files


def last_weights(files):
    return checkpoint.load(files.last)["weights"]


def stop_at(monkeypatch, steps: int):
    """Within it a run is asked to stop after so many steps."""
    asked = []

    def requested():
        asked.append(1)
        return "SIGTERM" if len(asked) == steps else None

    patch = monkeypatch.context()
    patch.__enter__().setattr(signals, "requested", requested)
    return patch


RESUMED = {
    "none": {"augment": "none"},
    "strong": {"augment": "strong"},
    "not cached": {"augment": "strong", "cache": "off"},
    "fp16": {"precision": "fp16"},
    "average": {"ema": 0.9, "mixup": 0.2},
    "muon": {"model": "cifar_fast", "image_size": 32, "optimizer": "muon", "ema": 0.9, "augment": "cifar_fast"},
}


@pytest.mark.parametrize("flags", RESUMED.values(), ids=RESUMED)
def test_a_stopped_deterministic_run_resumes_to_the_same_bits(run_cli, tmp_path, monkeypatch, flags):
    flags = {"deterministic": True, "precision": "bf16"} | flags
    _, whole = train(run_cli, tmp_path, "whole", **flags)
    with contextlib.ExitStack() as stack:
        stack.push(stop_at(monkeypatch, 3).__exit__)
        code, _ = train(run_cli, tmp_path, "parts", **flags)
        assert code == 75
    code, parts = train(run_cli, tmp_path, "parts", **flags)
    assert code == 0
    ours, theirs = last_weights(whole), last_weights(parts)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (whole.results / "metrics.csv").read_bytes() == (parts.results / "metrics.csv").read_bytes()


def test_a_compiled_run_goes_on_where_it_was(run_cli, tmp_path, monkeypatch):
    flags = {"compile": "on", "precision": "bf16", "augment": "basic"}
    with contextlib.ExitStack() as stack:
        stack.push(stop_at(monkeypatch, 3).__exit__)
        assert train(run_cli, tmp_path, "parts", **flags)[0] == 75
    assert train(run_cli, tmp_path, "parts", **flags)[0] == 0


def test_a_run_goes_from_the_gpu_to_the_cpu_and_back(run_cli, tmp_path, monkeypatch):
    for device in ("cuda", "cpu"):
        with contextlib.ExitStack() as stack:
            stack.push(stop_at(monkeypatch, 3).__exit__)
            assert train(run_cli, tmp_path, "moved", device=device, precision="fp32", epochs=3)[0] == 75
    code, files = train(run_cli, tmp_path, "moved", precision="fp32", epochs=3)
    assert code == 0 and len(checkpoint.load(files.last)["history"]) == 3


def test_verify_resume(run_cli, tmp_path):
    assert run_cli("verify_resume", data_dir=PLACES, root_dir=tmp_path, **PROBE)[0] == 0


def test_scores_are_trained_and_every_command_uses_the_network(run_cli, tmp_path):
    table = {"metadata": "meta", "study_id": "safety,wealthy"}
    code, files = train(run_cli, tmp_path, "scores", data_dir=PERCEPTION, **table)
    assert code == 0 and (files.results / "test.json").exists()
    gpu = {"root_dir": tmp_path, "run_name": "scores", "device": "cuda"}
    assert run_cli("evaluate", **gpu)[0] == 0
    assert run_cli("predict", **gpu, images=PLACES / "test", output=tmp_path / "p.csv")[0] == 0
    assert (tmp_path / "p.csv").read_text().count("\n") > 1
    if importlib.util.find_spec("captum"):
        assert run_cli("explain", **gpu, count=2)[0] == 0
    assert run_cli("export", root_dir=tmp_path, run_name="scores", output=tmp_path / "net.onnx", count=4)[0] == 0


def test_memory_that_runs_out_ends_in_one_line_and_the_next_run_has_all_of_it(run_cli, tmp_path, capsys):
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 2**28) / total)
    try:
        flags = {"image_size": 512, "batch_size": 32, "grad_accumulation": 1}
        assert train(run_cli, tmp_path, "large", **flags)[0] == 2
        printed = capsys.readouterr().err
        assert "GPU memory with --batch_size=32" in printed and "Traceback" not in printed
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert train(run_cli, tmp_path, "large", **flags)[0] == 0


def test_fp16_scales_the_gradients(run_cli, tmp_path):
    code, files = train(run_cli, tmp_path, "fp16", precision="fp16")
    state = checkpoint.load(files.last)
    assert code == 0 and state["scaler"]["scale"] > 0
    assert all(torch.isfinite(t).all() for t in state["weights"].values() if t.is_floating_point())


def test_compiled_steps_are_the_plain_ones_within_rounding(run_cli, tmp_path):
    losses = {}
    for compile in ("on", "off"):
        code, files = train(
            run_cli, tmp_path, f"compile_{compile}", compile=compile, augment="none", precision="fp32", lr=1e-4
        )
        assert code == 0
        losses[compile] = [row["train_loss"] for row in checkpoint.load(files.last)["history"]]
    assert losses["on"] == pytest.approx(losses["off"], rel=0.02)


def test_a_checkpoint_of_the_gpu_is_scored_alike_on_the_cpu(run_cli, tmp_path):
    assert train(run_cli, tmp_path, "both", precision="fp32", deterministic=True, epochs=1)[0] == 0
    code, _ = run_cli("evaluate", run_name="both", root_dir=tmp_path, device="cpu", data_dir=PLACES)
    assert code == 0


def test_profile_tells_waiting_from_steps(run_cli, tmp_path):
    code, files = train(run_cli, tmp_path, "profile", profile=True)
    seconds = json.loads((files.results / "profile.json").read_text())["seconds"]
    assert code == 0 and seconds["step"] > 0 and seconds["waiting"] >= 0


def test_frozen_features_on_the_gpu(run_cli, tmp_path):
    flags = {"recipe": "probe", "deterministic": True, "precision": "fp32", "epochs": 3}
    code, files = train(run_cli, tmp_path, "features", **flags)
    again, other = train(run_cli, tmp_path, "again", **flags, cache="off")
    assert code == again == 0
    ours, theirs = last_weights(files), last_weights(other)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_with_sync_batchnorm_train_what_one_trains(tmp_path):
    flags = [
        "-m",
        "deep_cnn",
        f"--data_dir={PLACES}",
        "--model=resnet18",
        "--weights=none",
        "--image_size=64",
        "--batch_size=16",
        "--epochs=2",
        "--precision=fp64",
        "--device=cuda",
        "--sync_batchnorm",
        "--cache=off",
    ]
    found = []
    for count in (1, 2):
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"] if count > 1 else []
        command = [sys.executable, *launch, *flags, f"--root_dir={tmp_path / str(count)}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        state = torch.load(tmp_path / str(count) / "outputs/models/default/last.pt", weights_only=True)
        found.append(state["weights"])
    for name, tensor in found[0].items():
        assert (tensor.double() - found[1][name].double()).norm() <= 1e-9 * tensor.double().norm().clamp(min=1e-12), (
            name
        )
