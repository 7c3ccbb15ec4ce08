"""Evaluation from the cache against the bare forward pass, resnet18 at 224 pixels.

python -m benchmarks.evaluation [--images=640] [--rounds=3]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import photographs, timing
from deep_cnn.data.assemble import Pixels
from deep_cnn.data.cache import open_cache
from deep_cnn.data.feed import Feed, FeedSettings
from deep_cnn.data.index import build_index
from deep_cnn.inference import evaluate
from deep_cnn.models.build import ModelSpec, build_model, weights_preprocessing
from deep_cnn.runtime.device import autocast_for, granted_cores, pick_precision, set_threads

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(timing.machine())
    device, precision = torch.device("cpu"), pick_precision("auto", torch.device("cpu"))
    set_threads(granted_cores())
    with tempfile.TemporaryDirectory() as temporary:
        index = build_index(photographs.generate(Path(temporary) / "images", options.images, 500, 375))
        pre = weights_preprocessing("resnet18", "none")
        pixels = Pixels(index, pre, open_cache(Path(temporary) / "cache", index, pre))
        feed = Feed(pixels, np.arange(len(index)), torch.from_numpy(index.targets), FeedSettings(device, workers=2))
        model = build_model(ModelSpec("resnet18", 5), 0).to(memory_format=torch.channels_last)

        def ours() -> float:
            begun = time.perf_counter()
            for _ in evaluate.evaluate(model, feed.eval_batches(32), autocast_for(device, precision)):
                pass
            return len(index) / (time.perf_counter() - begun)

        def bare() -> float:
            command = [sys.executable, "benchmarks/bare_step.py", "--evaluate", f"--precision={precision}"]
            return float(
                subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()[0]
            )

        ours()  # fills the cache
        measured = timing.alternate({"bare forward pass": bare, "evaluation from the cache": ours}, options.rounds)
        feed.close()
    timing.table(measured, "images/s")
    alone, rate = (timing.median(values) for values in measured.values())
    timing.claim("evaluation : bare forward pass", rate / alone, None)


if __name__ == "__main__":
    main()
