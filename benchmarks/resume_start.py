"""Does going on late in an epoch start as fast as early in it? From `train` to the end of the first step that follows.

    python -m benchmarks.resume_start --repeats=7

An epoch of 10,000 steps (20,000 images of 32 pixels, batches of 2). The state at step 10 is a real one; the state at step
9,990 is the same with its step counters set, since only where the epoch goes on is of interest here. In turn: 10, 9,990,
10, 9,990, ..., and the median of each; torch is imported before.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from pathlib import Path

from deep_cnn.config.schema import Config
from deep_cnn.models import checkpoint
from deep_cnn.runtime import signals
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.training.checkpointing import Checkpointer
from deep_cnn.training.trainer import train

STEPS = 10_000
EARLY, LATE = 10, STEPS - 10


def make_images(folder: Path) -> Path:
    """20,000 training images that are 100 files with many names each, and a few for validation and test."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, count, names in (("train", 50, 200), ("val", 5, 1), ("test", 5, 1)):
        for label in ("a", "b"):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                first = folder / split / label / f"{number}.jpg"
                Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(first)
                for copy in range(1, names):
                    os.link(first, first.with_stem(f"{number}_{copy}"))
    return folder


def seconds_to_first_step(config: Config, save_after: int | None = None) -> float:
    """Train until one step is done (or so many, and save); the seconds it took."""
    original, counted, done = Checkpointer.after_step, [0], [0.0]

    def after_step(self: Checkpointer) -> None:
        counted[0] += 1
        if counted[0] == (save_after or 1):
            done[0] = time.perf_counter()  # not when `train` returns: giving memory back takes 0.2 s
            if save_after:
                self.save()
            raise signals.Stopped("measured")

    Checkpointer.after_step = after_step
    begun = time.perf_counter()
    try:
        train(config)
    except signals.Stopped:
        return done[0] - begun
    finally:
        Checkpointer.after_step = original
    raise AssertionError("the run ended by itself")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    logging.getLogger("deep_cnn").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = Config(
            root_dir=name,
            data_dir=str(make_images(folder / "data")),
            model="shufflenet_v2_x0_5",
            weights="none",
            image_size=32,
            batch_size=2,
            epochs=2,
            precision="fp32",
            cache="off",
            save_every="1000000",
        )
        files = RunFiles(config.root / "outputs", config.run_name)
        seconds_to_first_step(config, save_after=EARLY)
        states = {EARLY: checkpoint.load(files.last)}
        assert states[EARLY]["progress"]["step"] == EARLY
        states[LATE] = states[EARLY] | {"progress": states[EARLY]["progress"] | {"step": LATE, "global_step": LATE}}
        measured = {EARLY: [], LATE: []}
        for repeat in range(repeats + 1):
            for step, state in states.items():
                checkpoint.save(files.last, state, Manifest(files).announce)
                seconds = seconds_to_first_step(config)
                if repeat:  # the first of each warms up
                    measured[step].append(seconds)
    medians = {step: statistics.median(values) for step, values in measured.items()}
    for step, values in measured.items():
        spread = f"{min(values):.3f} to {max(values):.3f}"
        print(f"going on at step {step:,} of {STEPS:,}: median {medians[step]:.3f} s of {repeats} ({spread})")
    print(f"late / early: {medians[LATE] / medians[EARLY]:.3f}")


if __name__ == "__main__":
    main()
