"""Golden runs: compare what this checkout computes with what an older commit computes, bit for bit.

    python -m tests.golden --base=b6e44ab                      # all runs, with both versions
    python -m tests.golden --base=b6e44ab --keep=/tmp/golden   # keeps the base's results for the next call
    python -m tests.golden --base=b6e44ab --only=scores,search

Each run is a small training, search or prediction on the CPU (float32, one thread). It is started with the code of the
base commit and with the code of this checkout, and the files that the two leave behind are compared:

    metrics.csv, splits.csv, predictions*.csv   byte for byte
    test.json, trials.csv, best.pt, last.pt     every value of the base, tensors to the last bit; new keys are allowed
                                                and listed at the end, new tensors are not

Three runs are for this checkout alone. They take up what the base left and must end as the base did: `continued`
resumes a run that the base was stopped in, `old_classes` and `old_scores` predict with the base's checkpoints.

The script uses the command line and the files of a run, and nothing else of the package, so it works across any
restructuring. Exit code: 0 when everything is the same but the runs of CHANGED, 1 when something else differs or a run fails;
with --all those of CHANGED count as well (for two commits after 0.1.0). Linux and macOS.
"""

import argparse
import contextlib
import csv
import importlib.util
import io
import json
import multiprocessing
import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests import golden_data

CHECKOUT = next(folder for folder in Path(__file__).resolve().parents if (folder / "deep_cnn").is_dir())
STOPPED = 75  # exit code of a run that was stopped by a signal and has saved its state
COMPARED = ("metrics.csv", "splits.csv", "predictions*.csv", "trials.csv", "test.json", "best.pt", "last.pt")
# differs between two equal runs: seconds, versions, places, and how often and from where the state was saved
IGNORED = {"time", "timing", "train_seconds", "versions", "sources", "root_dir", "cache", "save_every", "resume"}
LIBRARIES = (
    "torch",
    "torch._dynamo",
    "torchvision.transforms.v2",
    "pandas",
    "sklearn.linear_model",
    "sklearn.covariance",
    "matplotlib.pyplot",
    "optuna",
    "jinja2",
    "yaml",
)


@dataclass(frozen=True)
class Case:
    """One command. In its words, {own} is the folder of this version's runs and {base} that of the base's runs."""

    words: str
    needs: tuple[str, ...] = ()  # runs that have to be finished before
    equals: str = ""  # for this checkout alone: compare with this run of the base
    copy_of: str = ""  # start in a copy of this run's folder
    processes: int = 1  # under torchrun
    stop_after: int = 0  # send SIGTERM when so many steps are done


TRAIN = (
    "--root_dir={root} --run_name=run --data_dir={data}/photos --weights=none --image_size=32 --batch_size=8 "
    "--precision=fp32 --device=cpu --workers=1 --cache=off "
)
TABLE = "--metadata={data}/table.csv --image_column=image "
CLASSES = TRAIN + "--model=cifar_resnet20 --epochs=2 --batch_size=4 --ema=0.9 --clip=1 --dropout=0.1 "
PROBE = TRAIN + "--recipe=probe --model=cifar_resnet20 --weights=pretrained --lr=0.01 --cache={root}/cache "
PREDICT = "predict --output={root}/predictions.csv --precision=fp32 --device=cpu --workers=1 "
PREDICT_CLASSES = PREDICT + "--images={data}/photos --tta --top=2 "
PREDICT_SCORES = PREDICT + "--images={data}/table.csv --image_column=image --data_dir={data}/photos "
BEST = "outputs/models/run/best.pt"

CASES = {  # a run stands behind those that it needs
    "two_processes": Case(TRAIN + "--model=cifar_resnet20 --epochs=1", processes=2),
    "classes": Case(CLASSES),
    "stopped": Case(CLASSES + "--save_every=1", stop_after=20),
    "mixing": Case(
        TRAIN
        + "--model=net --epochs=2 --augment=strong --mixup=0.4 --cutmix=0.5 --class_weights --label_smoothing=0.1 "
        "--optimizer=sgd --nesterov --schedule=onecycle --lr=0.05 --grad_accumulation=2"
    ),
    "scores": Case(
        TRAIN + TABLE + "--target=price,area --group=city --where=votes>=2 --loss=huber --tta=flip --epochs=2 "
        "--model=shufflenet_v2_x0_5 --schedule=plateau --fit=pad"
    ),
    "multilabel": Case(
        TRAIN + TABLE + "--target=labels --task=multilabel --split_column=part --model=cifar_resnet20 --epochs=2 "
        "--augment=trivialaugment --freeze=2 --unfreeze_epoch=1 --l1=1e-5"
    ),
    "probe": Case(PROBE + "--epochs=3"),
    "probe_views": Case(PROBE + "--epochs=3 --augment=basic --views=2"),
    "muon": Case(TRAIN + "--recipe=cifar_fast --epochs=2 --small_epochs=1 --subset=32"),
    "lr_auto": Case(TRAIN + "--model=net --epochs=1 --lr=auto --subset=0.5 --oversample --cache={root}/cache"),
    "search": Case(
        f"search {TRAIN} --model=net --epochs=2 --seed=5 --sampler=random --trials=3 "
        "--space lr=1e-4..1e-1:log augment=none,basic"
    ),
    "predict_classes": Case(PREDICT_CLASSES + "--checkpoint={own}/classes/" + BEST, needs=("classes",)),
    "predict_scores": Case(PREDICT_SCORES + "--checkpoint={own}/scores/" + BEST, needs=("scores",)),
    "resumed": Case(CLASSES + "--resume=must", ("stopped",), equals="classes", copy_of="{own}/stopped"),
    "continued": Case(CLASSES + "--resume=must", ("stopped",), equals="classes", copy_of="{base}/stopped"),
    "old_classes": Case(
        PREDICT_CLASSES + "--checkpoint={base}/classes/" + BEST, ("classes",), equals="predict_classes"
    ),
    "old_scores": Case(PREDICT_SCORES + "--checkpoint={base}/scores/" + BEST, ("scores",), equals="predict_scores"),
}


# Runs whose numbers are meant to differ from those of 0.1.0 (b6e44ab), and why. They have to run, but not to be the same.
CROPS = "crops of the whole photograph, in a new order of colour changes"
CHANGED = {
    **dict.fromkeys(("two_processes", "classes", "resumed", "probe_views", "lr_auto", "search"), CROPS),
    "probe": "calibrated probabilities of the test set",
    "continued": "the base's run goes on with the new crops and colour changes",
    "mixing": "crops of the whole photograph; onecycle as torch's",
    "muon": "intervals of the test set, by other methods than the bootstrap",
    "multilabel": "crops of the whole photograph",
    "scores": "order of colour changes; no mean of MAE over targets of different units",
    "predict_classes": "by a network that was trained with the new crops",
    "predict_scores": "by a network that was trained with the new order of colour changes",
}


def program(code: Path, words: list[str], said: Path) -> None:
    """Do in this process what `python -m deep_cnn WORDS` does with the package in the folder `code`."""
    with said.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.path.insert(0, str(code))
    found = importlib.util.find_spec("deep_cnn").origin
    assert Path(found).is_relative_to(code), f"{found} is not in {code}"
    sys.argv = ["deep_cnn", *words]
    runpy.run_module("deep_cnn", run_name="__main__", alter_sys=True)


class Runner:
    """Runs cases, `jobs` at a time, in processes that have already imported the libraries (which takes longer than a run).

    folder: gets the data and, for each version ("base", "now"), a folder for each run. code: for each version, the folder
    that the package is in. package: identifies the base's code; kept results of other code are not used.
    """

    def __init__(self, folder: Path, code: dict[str, Path], package: str, jobs: int):
        self.folder, self.code, self.package = folder, code, package
        self.data = folder / f"data-{zlib.crc32(Path(golden_data.__file__).read_bytes()):08x}"
        golden_data.make_data(self.data)
        # one thread for each run; a run that is stopped leaves a semaphore of its progress bar, no need to warn of it
        os.environ |= {"NCPUS": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore:resource_tracker"}
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(LIBRARIES)
        self.pool = ThreadPoolExecutor(jobs)
        self.futures: dict[tuple[str, str], Future] = {}  # by the name of the run and the version

    def run(self, name: str, side: str) -> float:
        """Run a case, unless the base's result is there already; returns the seconds it took."""
        case, root = CASES[name], self.folder / side / name
        places = {"root": root, "data": self.data, "own": self.folder / side, "base": self.folder / "base"}
        words = [word.format(**places) for word in case.words.split()]
        made_by = {
            "package": self.package,
            "words": words,
            "needs": [CASES[need].words for need in case.needs],
            "torch": torch.__version__,
            "processor": torch.backends.cpu.get_cpu_capability(),
        }
        stamp = root / "made_by.json"
        if side == "base" and stamp.exists() and json.loads(stamp.read_text()) == made_by:
            return 0.0
        for need in case.needs:  # they were started before this one
            for version in {"base", side}:
                self.futures[need, version].result()
        shutil.rmtree(root, ignore_errors=True)
        if case.copy_of:
            shutil.copytree(case.copy_of.format(**places), root)
        root.mkdir(parents=True, exist_ok=True)
        begun, said = time.monotonic(), root / "said.txt"
        code = (self._several if case.processes > 1 else self._single)(case, self.code[side], words, said)
        if code != (STOPPED if case.stop_after else 0):
            last = said.read_text(errors="replace").strip().rpartition("\n")[2] if said.exists() else ""
            raise RuntimeError(f"exit code {code}: {last} ({said})")
        if case.stop_after and not read(root / "outputs/models/run/last.pt")["progress"]["step"]:
            raise RuntimeError("it was stopped at the end of an epoch instead of within one: try again")
        stamp.write_text(json.dumps(made_by))
        return time.monotonic() - begun

    def _single(self, case: Case, code: Path, words: list[str], said: Path) -> int:
        process = self.context.Process(target=program, args=(code, words, said))
        process.start()
        status = said.parent / "outputs/results/run/status.json"
        while case.stop_after and process.is_alive():
            if status.exists() and json.loads(status.read_text()).get("step", 0) >= case.stop_after:
                process.terminate()  # SIGTERM
                break
            time.sleep(0.01)
        process.join()
        return process.exitcode

    def _several(self, case: Case, code: Path, words: list[str], said: Path) -> int:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={case.processes}"]
        with said.open("wb") as file:
            return subprocess.run(
                [*command, "-m", "deep_cnn", *words],
                stdout=file,
                stderr=file,
                cwd=said.parent,
                env=os.environ | {"PYTHONPATH": str(code)},
            ).returncode

    def compared(self, name: str, new: set[str]) -> tuple[float, list[str], list[str]]:
        """Wait for a run, then compare its files; returns (seconds, what was compared, what differs). Adds to `new`."""
        seconds = [self.futures[name, side].result() for side in self.code if (name, side) in self.futures][-1]
        what, different = [], []
        if CASES[name].stop_after:  # it stops at any step: what it left is compared when `resumed` has finished it
            return seconds, what, different
        base, now = self.folder / "base" / (CASES[name].equals or name), self.folder / "now" / name
        for pattern in COMPARED:
            # version 0.1.0 wrote an empty list of failures, too
            files = sorted(f.relative_to(base) for f in base.rglob(pattern) if f.read_bytes() != b"file,reason\n")
            what += [f"{len(files)} {pattern}" if len(files) > 1 else pattern] if files else []
            for file in files:
                found = [] if (now / file).exists() else [f"{file} is missing"]
                if not found:
                    compare(read(base / file), read(now / file), file.name, found, new)
                different += found[:2] + ([f"{file.name}: {len(found) - 2} more differences"] if len(found) > 2 else [])
        return seconds, what, different if what else ["the base has left no files to compare"]


def read(file: Path) -> Any:
    """The content of a result, in a form that `compare` takes."""
    if file.suffix == ".pt":
        return torch.load(file, map_location="cpu", weights_only=True)
    if file.suffix == ".json":
        return json.loads(file.read_text())
    if file.name == "trials.csv":
        return list(csv.DictReader(io.StringIO(file.read_text())))
    return [line.split(",") for line in file.read_bytes().decode().splitlines(keepends=True)]


def compare(base: Any, now: Any, where: str, different: list[str], new: set[str]) -> None:
    """Add to `different` what is not the same in two values, and to `new` the keys that the second one has in addition."""
    if isinstance(base, dict) and isinstance(now, dict):
        extra = now.keys() - base.keys()
        new |= {f"{where}/{key}" for key in extra}
        different += [f"{where}/{key} is a new tensor" for key in extra if isinstance(now[key], torch.Tensor)]
        different += [f"{where}/{key} is missing" for key in base if key not in now]
        for key in base:
            if key in now and key not in IGNORED:
                compare(base[key], now[key], f"{where}/{key}", different, new)
    elif isinstance(base, list | tuple) and isinstance(now, list | tuple):
        if len(base) != len(now):
            different.append(f"{where} had {len(base)} items, has {len(now)}")
        for number, pair in enumerate(zip(base, now, strict=False)):
            compare(*pair, f"{where}[{number}]", different, new)
    elif isinstance(base, torch.Tensor) and isinstance(now, torch.Tensor):
        if (base.dtype, base.shape) != (now.dtype, now.shape):
            different.append(f"{where} was {base.dtype} {tuple(base.shape)}, is {now.dtype} {tuple(now.shape)}")
        elif not torch.equal(*(tensor.reshape(-1).view(torch.uint8) for tensor in (base, now))):
            different.append(f"{where} differs by up to {(base.double() - now.double()).abs().max():.3g}")
    elif type(base) is not type(now) or (base != now and (base == base or now == now)):  # NaN equals NaN here
        different.append(f"{where} was {base!r}, is {now!r}")


def unpack(commit: str, folder: Path) -> Path:
    """Write the package as of a commit into a folder."""
    packed = subprocess.run(["git", "archive", commit, "deep_cnn"], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def chosen(only: str) -> list[str]:
    """The names of --only, and of the runs that they need, in the order of CASES."""
    wanted = set(only.split(",")) if only else set(CASES)
    if unknown := wanted - CASES.keys():
        sys.exit(f"--only={','.join(sorted(unknown))}: unknown; there are {', '.join(CASES)}")
    for name in reversed(CASES):
        if name in wanted:
            wanted |= {*CASES[name].needs, CASES[name].equals}
    return [name for name in CASES if name in wanted]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="HEAD", help="commit to compare with [HEAD]")
    parser.add_argument("--base_dir", type=Path, help="a checkout to compare with, instead of a commit")
    parser.add_argument("--only", default="", help=f"names, separated by commas, of {', '.join(CASES)}")
    parser.add_argument("--keep", type=Path, help="folder to keep all results in; those of the base are used again")
    parser.add_argument("--all", action="store_true", help="also the runs that are meant to differ must be the same")
    parser.add_argument("--jobs", type=int, default=2, help="how many runs at a time [2]")
    given = parser.parse_args()
    names = chosen(given.only)
    git = ["git", "rev-parse", "HEAD:deep_cnn" if given.base_dir else f"{given.base}:deep_cnn"]
    package = subprocess.run(git, cwd=given.base_dir or CHECKOUT, capture_output=True, text=True)
    if package.returncode:
        sys.exit(f"--base={given.base}: {package.stderr.strip()}")
    begun, failed, new = time.monotonic(), 0, set()
    with tempfile.TemporaryDirectory(prefix="golden_") as temporary, contextlib.ExitStack() as at_the_end:
        base = given.base_dir.resolve() if given.base_dir else unpack(given.base, Path(temporary) / "code")
        folder = (given.keep or Path(temporary) / "runs").resolve()
        runner = Runner(folder, {"base": base, "now": CHECKOUT}, package.stdout.strip(), given.jobs)
        at_the_end.callback(runner.pool.shutdown, cancel_futures=True)
        for side in runner.code:
            for name in names:
                if side == "now" or not CASES[name].equals:
                    runner.futures[name, side] = runner.pool.submit(runner.run, name, side)
        print(f"{'run':<17}{'seconds':>8}  {'result':<11}compared", flush=True)
        for name in names:
            try:
                seconds, what, different = runner.compared(name, new)
                result = "DIFFERENT" if different else "same" if what else "stopped"
            except Exception as error:
                seconds, what, different, result = 0.0, [], [f"{type(error).__name__}: {error}"], "FAILED"
            if result == "DIFFERENT" and name in CHANGED and not given.all:
                result, different = "changed", [f"meant to: {CHANGED[name]}"]
            failed += bool(different) and result != "changed"
            against = f" (with {CASES[name].equals} of the base)" if CASES[name].equals else ""
            print(f"{name:<17}{seconds:>8.1f}  {result:<11}{', '.join(what)}{against}", flush=True)
            print("".join(f"    {line}\n" for line in different), end="", flush=True)
    print("".join(f"New, not in the base: {key}\n" for key in sorted(new)), end="")
    print(f"{len(names)} runs, {failed} of them different or failed; {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
