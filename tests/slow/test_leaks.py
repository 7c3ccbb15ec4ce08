"""A hundred trainings, and a search of two hundred trials, in one process: files, threads and memory stay as they are. Slow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PLACES, ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells of open files"),
]
AT = (10, 50, 100, 200)  # trainings or trials after which is counted
FLAGS = {
    "data_dir": str(PLACES),
    "model": "cifar_resnet20",
    "weights": "none",
    "image_size": 32,
    "epochs": 1,
    "batch_size": 16,
    "workers": 2,
}

# in a process of its own: pytest's other tests leave memory behind. A cache folder per five trainings, as a notebook has it
PROGRAM = """
import gc, json, logging, os, sys, threading

kind, root, flags, at = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])

def count(number):
    if number in at:
        gc.collect()
        pages = int(open("/proc/self/statm").read().split()[1])
        files = len(os.listdir("/proc/self/fd"))
        print(json.dumps([number, files, threading.active_count(), pages * os.sysconf("SC_PAGE_SIZE") // 2**20]),
              file=sys.__stderr__, flush=True)

if kind == "trainings":
    from deep_cnn import train

    for number in range(1, 101):
        train(**flags, root_dir=root, run_name=f"run{number}", cache=f"{root}/cache{number // 5}")
        count(number)
else:
    from deep_cnn.cli.main import main
    from deep_cnn.tools.search import trials

    done, tell = [], trials._tell

    def counted(*args, **kwargs):
        tell(*args, **kwargs)
        done.append(0)
        count(len(done))

    trials._tell = counted
    words = [f"--{name}={value}" for name, value in (flags | {"root_dir": root, "trials": 200}).items()]
    assert main(["search", *words, "--sampler=random", "--pruner=none", "--space", "lr=1e-4..1e-1:log"]) == 0
"""


@pytest.mark.parametrize("kind", ["trainings", "trials"])
def test_nothing_is_left_open_and_memory_is_flat(tmp_path, kind):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, kind, str(tmp_path), json.dumps(FLAGS), json.dumps(AT)]
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("[")]
    print(f"\n{kind}: number, open files, threads, MiB", *rows, sep="\n")
    assert [row[0] for row in rows] == [number for number in AT if number <= (100 if kind == "trainings" else 200)]
    first, last = rows[0], rows[-1]
    assert last[1] <= first[1] and last[2] <= first[2]
    assert last[3] - rows[1][3] < 30, rows  # of 50 or 150 more; 60 MB over nine trainings was a leak
