"""A search by two processes, one of which is killed, and then its best against the defaults on seeds that it never saw.

    python benchmarks/search_against_default.py --data_dir=input/cifar10 --model=resnet18 --weights=none --image_size=32 \\
        --subset=5000 --val_split=0.04 --epochs=5

Prints the finished trials (exactly 20), and the test accuracy of the best and of the defaults for seeds 1, 2 and 3.
Flags are given to every training. With 2 processes on 2 cores: NCPUS=1, or each takes both cores' threads.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPACE = ("lr=1e-5..1e-1:log", "weight_decay=1e-6..1e-1:log", "batch_size=16,32,64,128", "augment=none,basic,cifar")
TRIALS = 20


def start(root: Path, flags: list[str], number: int) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "deep_cnn",
        "search",
        *flags,
        f"--root_dir={root}",
        "--run_name=cifar",
        f"--trials={TRIALS}",
        "--save_every=10",
        "--space",
        *SPACE,
    ]
    with open(root / f"process{number}.log", "w", encoding="utf-8") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "NCPUS": "1"})


def main() -> None:
    flags = [f"--data_dir={Path(w[11:]).absolute()}" if w.startswith("--data_dir=") else w for w in sys.argv[1:]]
    root = Path(tempfile.mkdtemp(prefix="search_"))
    begun, study = time.monotonic(), root / "outputs" / "search" / "cifar"
    processes = [start(root, flags, 1), start(root, flags, 2)]
    while len(list(study.glob("results/trial_*"))) < TRIALS // 2 and processes[0].poll() is None:
        time.sleep(1)
    os.kill(processes[0].pid, signal.SIGKILL)
    processes[0].wait()
    print(
        f"killed one process with {len(list(study.glob('results/trial_*')))} trials begun; starting it again",
        flush=True,
    )
    processes[0] = start(root, flags, 3)
    for process in processes:
        process.wait()
    best = json.loads((study / "best.json").read_text(encoding="utf-8"))
    states = [line.split(",")[1] for line in (study / "trials.csv").read_text(encoding="utf-8").splitlines()[1:]]
    reopened = sum((root / f"process{n}.log").read_text(encoding="utf-8").count("goes on") for n in (1, 2, 3))
    print(
        f"{len(states)} trials: {states.count('finished')} finished, {states.count('pruned')} pruned, {reopened} reopened; "
        f"{time.monotonic() - begun:.0f} s; best validation {best['value']:.4f} with {best['params']}",
        flush=True,
    )
    for seed in (1, 2, 3):
        accuracy = {}
        for name, extra in (("best", [f"--{k}={v}" for k, v in best["params"].items()]), ("default", [])):
            run = f"{name}{seed}"
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "deep_cnn",
                    *flags,
                    *extra,
                    f"--root_dir={root}",
                    f"--run_name={run}",
                    f"--seed={seed}",
                ],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            accuracy[name] = json.loads((root / "outputs/results" / run / "test.json").read_text(encoding="utf-8"))[
                "top1"
            ]
        print(f"seed {seed}: best {accuracy['best']:.4f}, default {accuracy['default']:.4f}", flush=True)
    print(f"everything is in {root}")


if __name__ == "__main__":
    main()
