"""Several processes train what one trains: the same gradient, weights, metrics; stopped, killed and resumed together."""

import contextlib
import csv
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import several
import torch
from conftest import PERCEPTION, PLACES, ROOT
from crashes import TRAINING
from PIL import Image
from several import BATCHNORM, EXACT

from deep_cnn.data.feed import BatchShard, ShardSpec
from deep_cnn.models.build import ModelSpec, build_model
from deep_cnn.runtime import distributed
from deep_cnn.runtime.errors import MachineError
from deep_cnn.runtime.launch import Rank, this_rank
from deep_cnn.tasks.make import new_task
from deep_cnn.training.mixup import Mixer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks processes, and reads /proc")

CASES = {
    "plain": [],
    "mixed": ["--mixup=0.5", "--cutmix=1", "--ema=0.9", "--clip=0.5", "--grad_accumulation=2", "--l1=1e-4"],
    "weighted": ["--class_weights", "--oversample", "--label_smoothing=0.1", "--schedule=plateau"],
    "scores": [
        f"--data_dir={PERCEPTION}",
        "--metadata=meta",
        "--study_id=safety,wealthy",
        "--mixup=0.4",
    ],
    "muon": ["--optimizer=muon", "--small_epochs=2", "--image_size=48"],
    "frozen": ["--model=shufflenet_v2_x0_5", "--freeze=backbone"],
}


def metrics(files) -> list[dict]:
    with open(files.results / "metrics.csv", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("case", "counts", "steps"),
    [
        *((case, (2,), 6) for case in ("plain", "scores")),
        *(pytest.param(case, (2,), 30, marks=pytest.mark.slow) for case in CASES),
        ("mixed", (4,), 6),
        pytest.param("plain", (3, 4), 30, marks=pytest.mark.slow),
    ],
)
def test_several_train_what_one_trains(server, tmp_path, case, counts, steps):
    """In float64 the weights agree within 1e-9, and so do the metrics of each epoch."""
    flags = [*EXACT, f"--epochs={math.ceil(steps / 3)}", *CASES[case]]  # 3 or 4 steps an epoch
    one, _ = several.finish(server, flags, tmp_path / "1", 1)
    for count in counts:
        more, words = several.finish(server, flags, tmp_path / str(count), count)
        ours, theirs = several.last(one), several.last(more)
        assert ours["progress"]["global_step"] == theirs["progress"]["global_step"] >= steps
        for part in ("weights", "average"):
            if ours[part]:
                assert several.apart(ours[part], theirs[part]) < 1e-9, (part, count)
        for row, other in zip(metrics(one), metrics(more), strict=True):
            for name in row:  # the training loss is added up in float32
                assert float(other[name]) == pytest.approx(float(row[name]), rel=1e-5 if name == "train_loss" else 1e-8)
        assert [len(said) for said in words[1:]] == [0] * (count - 1), words  # the first one alone speaks


@pytest.mark.slow
def test_the_fast_recipe_in_two_processes(server, tmp_path):
    """cifar_fast over the epoch in which fewer gradients are left to be summed."""
    flags = [
        f"--data_dir={PLACES}",
        "--recipe=cifar_fast",
        "--batch_size=16",
        "--lr=0.1",
        "--precision=fp32",
        "--epochs=4",
    ]
    one, _ = several.finish(server, flags, tmp_path / "1", 1)
    two, _ = several.finish(server, flags, tmp_path / "2", 2)
    ours, theirs = several.last(one)["weights"], several.last(two)["weights"]
    assert torch.equal(ours["whiten.weight"], theirs["whiten.weight"]) and theirs["whiten.bias"].any()
    assert ours["fc.weight"].shape == theirs["fc.weight"].shape and torch.isfinite(theirs["fc.weight"]).all()


def test_a_share_of_another_size_would_be_seen(server, tmp_path):
    """The planted bug: another batch gives another training, by far more than 1e-9."""
    one, _ = several.finish(server, [*EXACT, "--epochs=1"], tmp_path / "1", 1)
    other, _ = several.finish(server, [*EXACT, "--epochs=1", "--batch_size=10"], tmp_path / "2", 2)
    assert several.apart(several.last(one)["weights"], several.last(other)["weights"]) > 1e-6


def test_the_first_gradient_in_float32(server, tmp_path):
    """One step of plain gradient descent at rate 1: the way that the weights went is the gradient."""
    flags = [
        *EXACT,
        "--precision=fp32",
        "--batch_size=64",
        "--epochs=1",
        "--optimizer=sgd",
        "--momentum=0",
        "--lr=1",
        "--weight_decay=0",
        "--warmup=0",
        "--schedule=constant",
    ]
    one, _ = several.finish(server, flags, tmp_path / "1", 1)
    two, _ = several.finish(server, flags, tmp_path / "2", 2)
    ours, theirs = several.last(one), several.last(two)
    assert ours["progress"]["global_step"] == theirs["progress"]["global_step"] == 1
    spec = ModelSpec(**ours["model"])
    origin = build_model(spec, 0).state_dict()
    assert several.apart(ours["weights"], theirs["weights"], origin) < 1e-5


def test_features_of_a_frozen_backbone_are_computed_together(server, tmp_path):
    flags = [*BATCHNORM[:-1], "--recipe=probe", "--precision=fp32", "--epochs=3"]
    one, said = several.finish(server, flags, tmp_path / "1", 1)
    two, _ = several.finish(server, flags, tmp_path / "2", 2)
    assert "The backbone is frozen; computing" in said[0]
    assert several.apart(several.last(one)["weights"], several.last(two)["weights"]) < 1e-5
    kept = [sorted((tmp_path / n / "outputs" / "cache").glob("*.features"))[0].read_bytes() for n in "12"]
    assert kept[0] == kept[1]  # the first process alone writes them, all of them


def test_evaluation_is_the_same_to_the_last_bit(server, tmp_path):
    several.finish(server, [*BATCHNORM, "--epochs=1", "--precision=fp32"], tmp_path, 1)
    one, three = (several.finish(server, ["--split=train"], tmp_path, count, "evaluate")[1] for count in (1, 3))
    shown = [words[0].split("Train result")[-1] for words in (one, three)]  # the last: one file has both
    assert "top-1" in shown[0] and shown[0] == shown[1]
    assert three[1] == three[2] == ""


def test_the_parts_are_the_batch():
    samples = np.arange(100, 123)
    for count in (1, 2, 3, 5, 11):
        parts = [ShardSpec(number, count).of(samples, 0) for number in range(count)]
        assert np.array_equal(np.concatenate([part.images for part in parts]), samples)
        assert {len(part.images) for part in parts} <= {23 // count, 23 // count + 1}
        assert all(np.array_equal(part.rows[part.shard.local_rows], part.images) for part in parts)
    small = [ShardSpec(number, 12).of(samples, 0) for number in range(12)]  # fewer than two for each
    assert all(np.array_equal(part.images, samples) and part.shard == BatchShard(copies=12) for part in small)


def test_partners_are_those_of_the_whole_batch():
    mixer, task = Mixer(mixup=1.0, cutmix=1.0), new_task("classification", ("a", "b"))
    images, targets, samples = torch.rand(9, 3, 8, 8), torch.arange(9) % 2, np.arange(9)
    for step in range(6):  # both kinds
        whole, soft = mixer(images, targets, task, 0, step)
        blended = []
        for number in range(2):
            part = ShardSpec(number, 2, lambda at, size: mixer.partners(size, 0, at)).of(samples, step)
            rows, same = mixer(images[part.images], targets, task, 0, step, shared=True)
            assert torch.equal(same, soft)
            blended.append(rows)
        assert torch.equal(torch.cat(blended), whole)


# ---- stopped and killed ---------------------------------------------------------------------------------------------


def test_a_signal_to_one_stops_all_and_another_number_goes_on(server, tmp_path):
    flags = [*EXACT, "--epochs=4", "--max_time=10:00:00"]
    whole, _ = several.finish(server, flags, tmp_path / "whole", 1)
    run = several.Several(server, flags, tmp_path / "stopped", 2)
    second = run.children[1]
    assert second.wait_until(lambda: second.phase == TRAINING and second.steps >= 7)
    second.kill(signal.SIGTERM)
    assert run.ended() == [0, 0], run.words()  # under torchrun a clean stop is no failure
    files = several.RunFiles(tmp_path / "stopped" / "outputs", "default")
    assert several.status(files)["state"] == "stopped" and "SIGTERM" in several.status(files)["reason"]
    assert {child.steps for child in run.children} == {several.last(files)["progress"]["global_step"]}
    assert run.children[1].words() == ""
    # begun on two, goes on on one, then on three
    run = several.Several(server, flags, tmp_path / "stopped", 1)
    (only,) = run.children
    assert only.wait_until(lambda: only.phase == TRAINING and only.steps >= 3)
    only.kill(signal.SIGTERM)
    assert run.ended() == [75]
    assert "started on 2 processes and continues on 1" in only.words()
    files, words = several.finish(server, flags, tmp_path / "stopped", 3)
    assert several.apart(several.last(whole)["weights"], several.last(files)["weights"]) < 1e-9
    assert "started on 1 process and continues on 3" in words[0]


def kill_one_of_two(server, folder: Path, kills: int, seed: int, epochs: int) -> None:
    """Kill one of two by SIGKILL, again and again: the other ends within seconds, and the end is that of an unbroken run."""
    flags = [*BATCHNORM, f"--epochs={epochs}", f"--cache={folder / 'cache'}", "--peer_timeout=20m"]
    rng = random.Random(seed)
    whole, _ = several.finish(server, flags, folder / "whole", 2)
    killed = several.RunFiles(folder / "killed" / "outputs", "default")
    for number in range(kills):
        run = several.Several(server, flags, folder / "killed", 2)
        victim = run.children[rng.randrange(2)]
        steps = rng.randint(1, 3)
        if not victim.wait_until(lambda victim=victim, steps=steps: victim.steps >= steps):
            assert run.ended() == [0, 0], run.words()  # it was finished by then; the same command says so again
            continue
        time.sleep(rng.uniform(0, 0.3))
        victim.kill(signal.SIGKILL)
        then = time.monotonic()
        codes = run.ended()  # not by --peer_timeout
        assert time.monotonic() - then < 600 and -signal.SIGKILL in codes, (number, codes, run.words())
        if codes[1 - run.children.index(victim)] == 1:
            assert "lost another process" in run.words()
    files, _ = several.finish(server, flags, folder / "killed", 2)
    assert files.last == killed.last
    ours, theirs = several.last(whole), several.last(files)
    for part in ("weights", "average"):
        assert all(torch.equal(ours[part][name], theirs[part][name]) for name in ours[part]), part
    for name in ("metrics.csv", "test.json", "predictions_test.csv"):
        assert (whole.results / name).read_bytes() == (files.results / name).read_bytes()


def test_one_of_two_is_killed(server, tmp_path):
    kill_one_of_two(server, tmp_path, kills=1, seed=0, epochs=2)


@pytest.mark.slow
def test_one_of_two_is_killed_ten_times(server, tmp_path):
    kill_one_of_two(server, tmp_path, kills=10, seed=random.randrange(10**6), epochs=4)


def test_processes_keep_digests_of_what_they_have_read_and_a_changed_image_is_noticed(server, tmp_path):
    """An image that the second process has read, too, changes under two processes; one that it has not, under one."""
    data = tmp_path / "data"
    for number in range(24):
        path = data / ("cat", "dog")[number % 2] / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    flags = [
        f"--data_dir={data}",
        "--model=cifar_resnet20",
        "--weights=none",
        "--epochs=1",
        "--batch_size=8",
        "--cache=off",
    ]
    files, _ = several.finish(server, flags, tmp_path, 2)
    first, second = (np.load(files.models / name)["digests"] != 0 for name in ("contents.npz", "contents.rank1.npz"))
    names = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.bmp"))
    assert (first | second).all() and second.any() and not second.all()
    for count, rows in ((2, second), (1, ~second)):
        changed = data / names[int(np.flatnonzero(rows)[0])]
        Image.fromarray(255 - np.asarray(Image.open(changed))).save(changed)
        os.utime(changed, (1e9, 1e9))
        before = several.last(files)["weights"]
        _, words = several.finish(server, flags, tmp_path, count)
        named = changed.relative_to(data).as_posix()
        assert f"1 of its images has changed since this run finished ({named})" in words[0]
        assert several.apart(before, several.last(files)["weights"]) > 0


def test_a_file_that_one_process_cannot_read_is_told_once(server, tmp_path):
    shutil.copytree(PLACES, tmp_path / "places")
    broken = sorted((tmp_path / "places").rglob("*.jpg"))[3]
    broken.write_bytes(broken.read_bytes()[:200])
    flags = [*EXACT, f"--data_dir={tmp_path / 'places'}", "--epochs=3"]
    run = several.Several(server, flags, tmp_path / "run", 2)
    codes = run.ended()
    assert 2 in codes and 0 not in codes, (codes, run.words())
    assert run.words().count(broken.name) == 1, run.words()


# ---- under torchrun itself ------------------------------------------------------------------------------------------


def torchrun(words: list[str], count: int = 2, **options) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={count}",
        "-m",
        "deep_cnn",
        *words,
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        **options,
    )


def test_torchrun_a_mistake_is_told_once():
    said, _ = (process := torchrun(["--epochs=0"])).communicate(timeout=120)
    assert process.returncode != 0
    assert said.count("deep_cnn: ") == 1 and "--epochs=0: out of range" in said
    assert re.search(r"exitcode +: 2 ", said)  # that of the program, in torchrun's words


def test_torchrun_trains_and_a_death_ends_it(tmp_path):
    process = torchrun([*BATCHNORM, "--epochs=100", f"--root_dir={tmp_path}"])
    files = several.RunFiles(tmp_path / "outputs", "default")
    try:
        end = time.monotonic() + 120
        while not files.last.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        first = int(re.search(r'"pid": (\d+)', files.lock.read_text(encoding="utf-8"))[1])
        others = [pid for pid in children_of(process.pid) if pid != first]
        assert len(others) == 1, others
        os.kill(others[0], signal.SIGKILL)
        said, _ = process.communicate(timeout=120)  # --peer_timeout is 600
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.returncode != 0, said
    assert "SIGKILL" in said  # torchrun's summary of the first failure
    assert several.status(files)["state"] in ("failed", "stopped"), several.status(files)


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_places(monkeypatch):
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert this_rank() == Rank()
    for name, value in zip(names, "58341", strict=True):
        monkeypatch.setenv(name, value)
    assert this_rank() == Rank()  # another launcher's variables: MPI sets some of these
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("MASTER_PORT", "29500")
    assert this_rank() == Rank()  # left behind: there is no place to meet
    monkeypatch.setenv("MASTER_ADDR", "node.invalid")
    assert this_rank() == Rank(5, 8, 3, 4, 1) and not this_rank().is_main
    monkeypatch.setenv("RANK", "0")  # others show warnings alone from then on
    monkeypatch.setattr(distributed, "ADDRESS_SECONDS", 0)
    with (
        pytest.raises(MachineError, match=r"MASTER_ADDR=node\.invalid: no such host .*--rdzv-endpoint"),
        distributed.process_group(),
    ):
        pass
    monkeypatch.setenv("RANK", "8")
    assert this_rank() == Rank()
