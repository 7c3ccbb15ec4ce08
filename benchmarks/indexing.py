"""Start-up on 1,000 to 1,000,000 files: seconds and memory of each stage before the first batch.

    python -m benchmarks.indexing [--counts=1000,10000,100000,1000000] [--folder=DIR]

The files are small and all different, 1,000 to a folder. Each measurement is a process of its own. "Cold" has no kept index;
the system's own cache of the disk is as the writing of the files left it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import timing

ROOT = Path(__file__).resolve().parent.parent
PER_FOLDER = 1000


def write_files(folder: Path, count: int) -> Path:
    """`count` files whose bytes differ; about 70 different sizes, so that looking for duplicates has to read them."""
    root = folder / f"files{count}"
    if (root / "complete").exists():
        return root
    per_folder = min(PER_FOLDER, count // 2)
    for start in range(0, count, per_folder):
        place = root / "train" / f"class{start // per_folder:04d}"
        place.mkdir(parents=True, exist_ok=True)
        for k in range(start, start + per_folder):
            (place / f"image_{k:07d}.jpg").write_bytes(
                b"\xff\xd8\xff" + k.to_bytes(8, "little") + bytes(k % 7000 // 100)
            )
    (root / "complete").touch()
    return root


def peak() -> float:
    """The largest memory of this process so far, in MB. Linux counts a parent's, too, in what getrusage says."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / (1024 if sys.platform == "darwin" else 1)


def stages(root: Path, kept: Path) -> dict[str, float]:
    """Seconds of each stage, in this process, and its peak memory in MB."""
    from deep_cnn.data.cache import cache_key
    from deep_cnn.data.feed import epoch_order
    from deep_cnn.data.index import build_index
    from deep_cnn.data.preprocess import Preprocessing
    from deep_cnn.data.split import make_splits, save_splits
    from deep_cnn.tasks.make import new_task

    found: dict[str, float] = {"start": peak()}

    def timed(name: str, work):
        begun = time.perf_counter()
        result = work()
        found[name] = time.perf_counter() - begun
        return result

    index = timed("index", lambda: build_index(root, cache_dir=kept))
    timed("cache key", lambda: cache_key(index, Preprocessing(256, 224)))
    found["MB of the index"] = peak()
    task = new_task(index.task, index.classes)
    splits = timed(
        "splits and duplicates",
        lambda: make_splits(index, task.strata(index.targets), val_split=0.1, test_split=0.1, seed=0, cache_dir=kept),
    )
    timed("order of an epoch", lambda: epoch_order(len(splits.train), 0, 0))
    timed("splits.csv", lambda: save_splits(kept / "splits.csv", index, splits, task.target_rows))
    found["MB"] = peak()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="1000,10000,100000,1000000")
    parser.add_argument("--folder", type=Path, help="where to write the files; a temporary one by default")
    parser.add_argument("--stages", nargs=2, type=Path, metavar=("FILES", "KEPT"), help="measure one, in this process")
    options = parser.parse_args()
    if options.stages:
        print(json.dumps(stages(*options.stages)))
        return
    print(timing.machine())
    measured = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for count in map(int, options.counts.split(",")):
            root = write_files(folder, count)
            kept = Path(tempfile.mkdtemp(dir=temporary))
            for how in ("cold", "revalidated"):
                command = [sys.executable, "-m", "benchmarks.indexing", "--stages", str(root), str(kept)]
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
                measured[count, how] = found = json.loads(done.stdout.splitlines()[-1])
                text = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
                print(f"{count:9,} files, {how}: {text}", flush=True)
    if (1_000_000, "cold") in measured:
        cold, again = (measured[1_000_000, how] for how in ("cold", "revalidated"))
        timing.claim("1,000,000 files, seconds to index, cold", cold["index"], 15, at_least=False)
        timing.claim("1,000,000 files, seconds to index, revalidated", again["index"], 3, at_least=False)
        if (10_000, "cold") in measured:
            more = max(measured[1_000_000, how]["MB"] - measured[10_000, how]["MB"] for how in ("cold", "revalidated"))
            timing.claim("MB more than with 10,000 files, at the peak", more, 250, at_least=False)


if __name__ == "__main__":
    main()
