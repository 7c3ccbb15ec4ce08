"""Does a run that is killed again and again end where one ends that never was? Asked of a short version of the user's own.

`python -m deep_cnn.tools.verify_resume CONFIG.json` is the process that gets killed.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from deep_cnn.config.schema import AUTO, Config
from deep_cnn.models import checkpoint
from deep_cnn.runtime.atomic import read_json, write_text
from deep_cnn.runtime.errors import DeepCNNError
from deep_cnn.runtime.launch import plain_environment, tell
from deep_cnn.runtime.run_files import RunFiles

STEPS = 6  # of an epoch of the short version
EPOCHS = 3
BATCH = 16
TEXTS = ("metrics.csv", "test.json", "predictions_test.csv")


def short_version(config: Config, root: Path) -> Config:
    """The same run with a few steps an epoch, below another root.

    Frozen parts thaw, small images grow, and patience ends, within it.
    """
    batch = BATCH if config.batch_size == AUTO else min(config.batch, BATCH)
    epochs = min(config.epochs, EPOCHS)
    return replace(
        config,
        root_dir=str(root),
        epochs=epochs,
        batch_size=batch,
        save_every="2",
        resume="auto",
        max_time=None,
        small_epochs=min(config.small_epochs, epochs - 1),
        unfreeze_epoch=config.unfreeze_epoch and min(config.unfreeze_epoch, max(1, epochs - 1)),
        wandb=False,
        tensorboard=False,
        trackers=(),
        config=None,
        folds=None,  # a fold is a run like any other
        fold=None,
    )


def verify(config: Config, kills: int, seed: int | None, say: Callable[[str], None], processes: int = 1) -> list[str]:
    """Run it whole, run it killed `kills` times, compare.

    Args:
        config: the short version; its root's outputs are made and, where all is identical, removed.
        processes: that train together; one of them is killed, and the others have to end by themselves.

    Returns:
        What differs, in words; nothing when all is identical.

    Raises:
        DeepCNNError: the training ended by itself in another way than it should.
    """
    try:
        return _verified(config, kills, random.Random(seed), say, processes)
    finally:
        _Training.end_all()  # where a signal ended this process


def _verified(config: Config, kills: int, rng: random.Random, say: Callable[[str], None], processes: int) -> list[str]:
    whole, killed = (RunFiles(config.root / "outputs", name) for name in ("whole", "killed"))
    shutil.rmtree(config.root, ignore_errors=True)
    say("Training a short version without interruption...")
    process = _Training(replace(config, run_name=whole.name), processes)
    process.await_first_step()
    begun = time.monotonic()
    process.finish()
    seconds = time.monotonic() - begun
    say(f"... {seconds:.0f} s from the first step. Training again, killed at {kills} random moments:")

    done = 0
    while done < kills:
        process = _Training(replace(config, run_name=killed.name), processes)
        process.await_first_step()
        if process.kill_after(rng.uniform(0, 2 * seconds / (kills + 1)), rng):
            done += 1
            say(f"  killed {done} of {kills}: {_where(killed)}")
        else:  # it was done before: again from the start
            if found := differences(whole, killed):
                return found
            killed.last.unlink()
            killed.move_aside()
    process = _Training(replace(config, run_name=killed.name), processes)
    process.finish()
    found = differences(whole, killed)
    if not found:
        shutil.rmtree(config.root)
    return found


def _where(files: RunFiles) -> str:
    status = read_json(files.status) or {}
    return f"epoch {status.get('epoch')}, step {status.get('step')} of {status.get('steps')} was saved last"


class _Training:
    """One process that trains, or several under a torchrun of their own; their words in a file."""

    running: ClassVar[list[subprocess.Popen[bytes]]] = []

    @classmethod
    def end_all(cls) -> None:
        """Have those end that still train."""
        for process in cls.running:
            if process.poll() is None:
                process.terminate()
                process.wait()
        cls.running.clear()

    def __init__(self, config: Config, processes: int):
        self.files = RunFiles(config.root / "outputs", config.run_name)
        self.said = config.root / f"{config.run_name}.txt"
        self.pids = config.root / "pids"
        shutil.rmtree(self.pids, ignore_errors=True)
        self.pids.mkdir(parents=True)
        settings = config.root / f"{config.run_name}.json"
        write_text(settings, config.to_json())
        self.begun = time.time()
        launch = (
            ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"] if processes > 1 else []
        )
        with open(self.said, "w", encoding="utf-8") as stream:
            command = [sys.executable, "-m", *launch, "deep_cnn.tools.verify_resume", str(settings)]
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream, env=plain_environment())
        self.running.append(self.process)

    def await_first_step(self) -> None:
        """Until status.json says that this very process trains, or it has ended."""
        while self.process.poll() is None:
            if self.files.status.exists() and self.files.status.stat().st_mtime >= self.begun - 0.01:
                return
            time.sleep(0.01)

    def kill_after(self, seconds: float, rng: random.Random) -> bool:
        """SIGKILL it, or one of its processes, then; False when it had finished before."""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            training = sorted(self.pids.iterdir())
            if len(training) > 1:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(rng.choice(training).name), signal.SIGKILL)
            else:
                self.process.kill()
            self.process.wait()
            return True
        self.finish()
        return False

    def finish(self) -> None:
        if self.process.wait():
            lines = self.said.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
            ours = [line for line in lines if line.startswith("deep_cnn: ")]  # torchrun prints much after them
            raise DeepCNNError(f"the short training ended with code {self.process.returncode}: {(ours or lines)[-1]}")


def differences(one: RunFiles, other: RunFiles) -> list[str]:
    """What differs between the results of two runs, bit by bit; times and names are not looked at."""
    found = []
    for name in TEXTS:
        texts = [path.read_bytes() if path.exists() else None for path in (one.results / name, other.results / name)]
        if texts[0] != texts[1]:
            found.append(f"{name}: {_first_difference(*texts)}")
    for file, parts in (("best.pt", ("weights",)), ("last.pt", ("weights", "average", "optimizer", "scaler", "sums"))):
        left, right = (checkpoint.load(files.models / file) for files in (one, other))
        for part in parts:
            found += [f"{file}: {name}" for name in _unequal(left.get(part), right.get(part), part)]
        if file == "last.pt":
            steps = [{k: v for k, v in state["progress"].items() if k != "train_seconds"} for state in (left, right)]
            found += [f"{file}: progress {steps[0]} and {steps[1]}"] if steps[0] != steps[1] else []
    return found


def _unequal(one: Any, other: Any, name: str) -> Iterator[str]:
    import torch

    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from _unequal(one[key], other[key], f"{name}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _unequal(*pair, f"{name}.{number}")
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype != other.dtype or not torch.equal(one, other):
            apart = (
                (one.double() - other.double()).abs().max().item() if one.shape == other.shape and one.numel() else None
            )
            yield f"{name} differs by at most {apart}"
    elif one != other:
        yield f"{name}: {one!r:.60} and {other!r:.60}"


def _first_difference(one: bytes | None, other: bytes | None) -> str:
    if one is None or other is None:
        return "one of the two files does not exist"
    lines = [text.decode("utf-8", "replace").splitlines() for text in (one, other)]
    number = next((i for i, pair in enumerate(zip(*lines, strict=False)) if pair[0] != pair[1]), min(map(len, lines)))
    return f"line {number + 1} differs"


def main(settings: str) -> int:
    """Train what a file of flags says, on a few images."""
    from deep_cnn.training.trainer import Limits, train

    (Path(settings).parent / "pids" / str(os.getpid())).touch()
    config = Config.from_dict(json.loads(Path(settings).read_text(encoding="utf-8")))
    try:
        train(config, limits=Limits(STEPS * config.batch))
    except DeepCNNError as mistake:
        tell(mistake, heard=getattr(mistake, "heard", False))
        return mistake.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
