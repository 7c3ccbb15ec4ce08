"""No input ends in a traceback, and no damaged file is believed: random command lines, and damaged folders of runs.

`DEEP_CNN_FUZZ=200,50 pytest -m slow tests/slow/test_fuzz.py -s` runs so many command lines and folders and shows counts;
`DEEP_CNN_FUZZ_SEED=7` other ones. The default, 2000,500, takes up to an hour on two cores. A failure names its number:
`DEEP_CNN_FUZZ_ONLY=1234` repeats that one.
"""

import dataclasses
import importlib
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

if not hasattr(os, "fork") or sys.platform == "darwin":
    pytest.skip("forks a process that has imported torch, which is safe on Linux alone", allow_module_level=True)

import crashes

from deep_cnn.cli.command_table import COMMANDS

pytestmark = pytest.mark.slow

LINES, FOLDERS = (int(word) for word in os.environ.get("DEEP_CNN_FUZZ", "2000,500").split(","))
SEED = int(os.environ.get("DEEP_CNN_FUZZ_SEED", "0"))
ONLY = [int(word) for word in os.environ.get("DEEP_CNN_FUZZ_ONLY", "").split(",") if word]
SERVERS = 2
SECONDS = 60  # then a command gets SIGTERM, as from a scheduler, and must end soon
CODES = {0, 2, 3, 75}
# no network is asked, and nothing outside the test's folder is downloaded to
OFFLINE = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "ftp")}

GARBAGE = [
    *("", " ", "nan", "inf", "-inf", "-1", "0", "1.5", "1e309", "1e-400", "99999999999999999999", "x", "None", "true"),
    *("ä", "\udcff", "a\nb", "a" * 300, "a" * 5000, "../x", "[1,2]", "{a: 1}", "1,2", "²", "٣", "=1", "-x", "0x10"),
    *("1_0", "http://127.0.0.1:9/x.pth", "http://[x/y", "file:///nowhere", "%s%n", "*", "auto", "none", "all", "a..b"),
    *("1..2", "lr=1e-3", "lr=1..2:log", "epochs=1.5..3", "1:2:x", "::", "1/2", "9/8", "timm/x", "C:x", "\t", "'", '"'),
]
PLACES = {"root_dir", "data_dir", "output", "cache", "storage"}  # may only be below the test's folder
NEVER = {"dataset", "download", "steal_lock", "wandb", "trackers", "peer_timeout", "config", "budget"}


@dataclasses.dataclass
class Material:
    """What the command lines work with. folder: that everything is below; root: of a finished run and a stopped one."""

    folder: Path
    images: Path
    root: Path


# ---- random command lines ---------------------------------------------------------------------------------------------


def value_of(rng: random.Random, f: dataclasses.Field, material: Material) -> str:
    """A value of a flag: of the right kind two times out of three."""
    meta, right = f.metadata, rng.random() < 0.66
    names = {
        "data_dir": [str(material.images), str(material.folder / "scores.csv"), "nowhere"],
        "images": [str(material.images), str(material.folder / "scores.csv"), str(material.folder / "broken.jpg")],
        "metadata": [str(material.folder / "scores.csv"), str(material.folder / "bytes.csv")],
        "target": ["score", "file", "score,city", "city"],
        "group": ["city", "score"],
        "split_column": ["city", "split"],
        "image_column": ["file", "score"],
        "where": ["score>3", "city==a", "score>", "file"],
        "model": ["cifar_resnet20", "net", "lenet5", "resnet", "timm/nosuch"],
        "weights": ["none", *map(str, sorted(material.folder.glob("*.pt")))],
        "checkpoint": [str(material.root / "outputs/models/default/best.pt"), *map(str, material.folder.glob("*.pt"))],
        "run_name": ["default", "stopped", "new", "other"],
        "runs": ["default", "*", "stopped"],
        "baseline": ["default", "stopped"],
        "metric": ["top1", "loss", "mae"],
        "output": [str(material.folder / f"out{ending}") for ending in (".csv", ".geojson", ".parquet", ".pt", "")],
        "cache": ["off", "auto", str(material.folder / "cache"), str(material.folder / "broken.jpg")],
        "storage": [f"sqlite:///{material.folder}/study.db", "bogus://x"],
        "root_dir": [str(material.root)],
        "shard": ["1/1", "1/2", "3/2"],
        "space": ["lr=1e-4..1e-2:log", "lr=1e-3,1e-2", "batch_size=4,8"],
        "freeze": ["backbone", "1", "2", "none", "99"],
        "augment": ["none", "basic", "flip,crop", "strong"],
        "max_time": ["1s", "20s", "00:01:00"],
        "workers": ["1", "2", "auto"],
        "grad_accumulation": ["1", "2", "auto"],
        "layer": ["layer1", "conv1"],
        "top": ["1", "all"],
        "device": ["cpu", "auto", "cpu:9", "cuda:7"],
        "precision": ["fp32", "auto", "fp64"],
        "compile": ["off", "auto"],
    }
    if f.name in PLACES or (right and f.name in names):
        return rng.choice(names[f.name])
    if not right:
        return rng.choice(GARBAGE)
    if meta["choices"]:
        return rng.choice(meta["choices"])
    if meta["kind"] is bool:
        return rng.choice(("True", "False"))
    if meta["kind"] is int:
        low = meta["low"] or 0
        return str(rng.randint(int(low), int(low) + 3))
    return f"{rng.uniform(meta['low'] or 0, 1):.3g}"


def command_line(rng: random.Random, material: Material) -> list[str]:
    """A command with random flags: of every command, of every kind of value, also flags that contradict each other."""
    command = rng.choice([*COMMANDS, "train", "train", "train", "predict", "check"])
    fields = {
        f.name: f for f in dataclasses.fields(importlib.import_module(f"deep_cnn.cli.commands.{command}").Options)
    }
    base = {
        "root_dir": str(material.root),
        "data_dir": str(material.images),
        "model": "cifar_resnet20",
        "weights": "none",
        "epochs": "1",
        "batch_size": "8",
        "workers": "1",
        "precision": "fp32",
        "images": str(material.images),
        "output": str(material.folder / f"out{rng.randint(0, 9)}.csv"),
        "space": "lr=1e-3,1e-2",
        "trials": "1",
        "kills": "1",
        "run_name": rng.choice(("default", "new")),
        "count": "2",
    }
    if command in ("export", "compare", "prefetch"):  # these have an --output of another kind, or would download
        base.pop("output")
    if command == "prefetch":
        base = {"model": "nosuch"}
    chosen = {name: value for name, value in base.items() if name in fields}
    left = [name for name in fields if name not in NEVER and not (command == "prefetch" and name == "model")]
    for name in rng.sample(left, min(len(left), rng.choice((0, 1, 1, 2, 2, 3, 5)))):
        chosen[name] = value_of(rng, fields[name], material)
    words = [f"--{name}={value}" for name, value in chosen.items()]
    if rng.random() < 0.1:
        words.insert(
            rng.randrange(len(words) + 1),
            rng.choice(["--nonsense", "stray", "--", "--epochs", "-x", "--no_epochs", "", "\udcff"]),
        )
    if rng.random() < 0.05:
        words += words[:2]
    if rng.random() < 0.05:
        return [rng.choice(["trian", "", "train train", "--", "-h", "--help_all"]), *words]
    return [command, *words]


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Material:
    """Images of two classes, a table of scores, files that are no weights, a finished run and one that was stopped."""
    import torch

    folder = tmp_path_factory.mktemp("fuzz")
    images, root = folder / "images", folder / "root"
    for number in range(24):
        path = images / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        _noise(path, number)
    names = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    rows = [f"{name},{k % 7 + 0.5},{'abc'[k % 3]}" for k, name in enumerate(names)]
    (folder / "scores.csv").write_text("\n".join(["file,score,city", *rows]) + "\n", encoding="utf-8")
    (folder / "bytes.csv").write_bytes(bytes(range(256)) * 3)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no image")
    for number, content in enumerate(
        ({}, {"format": "deep_cnn"}, {"format": "deep_cnn", "weights": 3}, {"conv.weight": torch.zeros(3, 3)}, [1])
    ):
        torch.save(content, folder / f"{number}.pt")
    with crashes.Server(folder) as server:
        server.finish(train_flags(images, root, "default"), folder / "said")
        child = crashes.Child(server, [*train_flags(images, root, "stopped"), "--save_every=1"], folder / "said2")
        assert child.wait_until(lambda: child.steps >= 4)
        child.kill(signal.SIGTERM)
        assert child.ended() == 75, child.words()
    return Material(folder, images, root)


def _noise(path: Path, number: int) -> None:
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(number).integers(0, 200, (32, 32, 3)) + 50 * (number % 2)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def train_flags(images: Path, root: Path, name: str) -> list[str]:
    """The training of the two runs: six steps."""
    flags = [
        "--model=cifar_resnet20",
        "--weights=none",
        "--epochs=2",
        "--batch_size=8",
        "--workers=1",
        "--precision=fp32",
    ]
    return [*flags, f"--data_dir={images}", f"--root_dir={root}", f"--run_name={name}", "--cache=off"]


def ended(child: crashes.Child) -> int | str:
    """The exit code of a command that has its time and then a SIGTERM; "hangs" if it does not even end then."""
    begun, asked = time.monotonic(), False
    while not child.page[1]:
        if not Path(f"/proc/{child.pid}").exists() or b") Z" in Path(f"/proc/{child.pid}/stat").read_bytes():
            break
        waited = time.monotonic() - begun
        if waited > SECONDS and not asked:
            asked = True
            child.kill(signal.SIGTERM)
        if waited > 5 * SECONDS:
            child.kill(signal.SIGKILL)
            child.ended()
            return "hangs"
        time.sleep(0.005)
    return child.ended()


def in_parallel(folder: Path, numbers: list[int], job: Callable[[crashes.Server, int], Any]) -> list[Any]:
    """The job of each number, shared among servers."""

    def work(part: list[int]) -> list[Any]:
        with crashes.Server(folder) as server:
            return [job(server, number) for number in part]

    with ThreadPoolExecutor(SERVERS) as pool:
        return [found for part in pool.map(work, [numbers[k::SERVERS] for k in range(SERVERS)]) for found in part]


def test_random_command_lines(material, tmp_path):
    counts: Counter = Counter()
    wrong: list[str] = []

    def job(server: crashes.Server, number: int) -> None:
        rng = random.Random(f"{SEED} line {number}")
        root = tmp_path / f"root{number}"  # a copy: a command may train under the name of a finished run
        shutil.copytree(material.root, root)
        words = command_line(rng, dataclasses.replace(material, root=root))
        environment = OFFLINE | {"TORCH_HOME": str(tmp_path / "torch")}
        child = crashes.Child(server, words, tmp_path / f"said{number}", environment=environment)
        code = ended(child)
        said = child.words()
        counts[words[0], code] += 1
        if (
            code not in CODES
            or "Traceback" in said
            or (code == 2 and said.count("\ndeep_cnn: ") + said.startswith("deep_cnn: ") != 1)
        ):
            wrong.append(f"line {number}: exit {code}: {words}\n{said[-1500:]}")
        shutil.rmtree(root)
        shutil.rmtree(tmp_path / f"said{number}")

    in_parallel(tmp_path, ONLY or list(range(LINES)), job)
    print(f"\nseed {SEED}, {sum(counts.values())} command lines:", dict(sorted(counts.items(), key=str)))
    assert not wrong, f"{len(wrong)} of {sum(counts.values())}:\n" + "\n".join(wrong[:20])


# ---- damaged folders of runs -------------------------------------------------------------------------------------------

COMPARED = ("metrics.csv", "test.json", "predictions_test.csv", "splits.csv")


def damage(rng: random.Random, root: Path) -> str:
    """Spoil one file of one run, or swap two; says what."""
    files = sorted(
        p for p in (root / "outputs").rglob("*") if p.is_file() and p.suffix in (".json", ".csv", ".pt", ".png")
    )
    path = rng.choice(files)
    data = path.read_bytes()
    kind = rng.choice(("bit", "cut", "emptied", "swapped", "digit"))
    if kind == "swapped":
        other = rng.choice([file for file in files if file != path])
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
        return f"{path.relative_to(root)} and {other.relative_to(root)} swapped"
    if kind == "digit":
        places = [k for k, byte in enumerate(data) if chr(byte).isdigit()]
        k = rng.choice(places) if places else 0
        data = data[:k] + bytes([48 + (data[k] - 47) % 10]) + data[k + 1 :] if places else data
    elif kind == "bit" and data:
        k = rng.randrange(len(data))
        data = data[:k] + bytes([data[k] ^ (1 << rng.randrange(8))]) + data[k + 1 :]
    else:
        data = data[: rng.randrange(len(data) + 1)] if kind == "cut" else b""
    path.write_bytes(data)
    return f"{path.relative_to(root)} {kind}"


def commands(material: Material, root: Path, name: str) -> dict[str, list[str]]:
    """What is done with a run."""
    of_run = [f"--root_dir={root}", f"--run_name={name}"]
    images = [f"--data_dir={material.images}"]
    return {
        "compare": ["compare", f"--root_dir={root}"],
        "report": ["report", *of_run, *images],
        "evaluate": ["evaluate", *of_run, *images, "--cache=off"],
        "predict": ["predict", *of_run, f"--images={material.images}", f"--output={root}/{name}.csv"],
        "resume": ["train", *train_flags(material.images, root, name)],
    }


def shown(root: Path, name: str, command: str, said: str) -> list[str]:
    """What a command has shown of a run, line by line, without times and places."""
    if command == "predict":
        table = root / f"{name}.csv"
        return table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    if command == "resume":
        results = root / "outputs/results" / name
        return [
            f"{file} {(results / file).read_text(encoding='utf-8')}" for file in COMPARED if (results / file).exists()
        ]
    if command == "report":
        page = (root / "outputs/results" / name / "report.html").read_text(encoding="utf-8")
        lines = page.replace(str(root), "").splitlines()
        return [line for line in lines if "status.json is missing or damaged" not in line]
    keep = ("  top-1", "  loss", "  balanced", "  macro") if command == "evaluate" else ("default ", "stopped ")
    return [" ".join(line.split()) for line in said.splitlines() if line.startswith(keep)]


def test_damaged_runs(material, tmp_path):
    """Compare, report, evaluate, predict and resume show nothing that they would not show of the sound run."""
    counts: Counter = Counter()
    wrong: list[str] = []

    def job(server: crashes.Server, number: int, sound: dict | None = None) -> dict[tuple[str, str], list[str]]:
        rng = random.Random(f"{SEED} folder {number}")
        root = tmp_path / f"damaged{number}"
        shutil.copytree(material.root, root)
        what = "nothing" if sound is None else damage(rng, root)
        names = ("default", "stopped") if sound is None else (rng.choice(("default", "default", "stopped")),)
        found = {}
        for name in names:
            for command, words in commands(material, root, name).items():
                (tmp_path / f"said{number}" / "said.txt").unlink(missing_ok=True)
                child = crashes.Child(server, words, tmp_path / f"said{number}", environment=OFFLINE)
                code = ended(child)
                said = child.words()
                counts[command, code] += 1
                if code not in CODES or "Traceback" in said:
                    wrong.append(f"folder {number}: {what}: {command} {name}: exit {code}\n{said[-1500:]}")
                lines = shown(root, name, command, said) if code == 0 else []
                found[name, command] = lines
                if sound is not None and (strange := [line for line in lines if line not in sound[name, command]]):
                    wrong.append(f"folder {number}: {what}: {command} {name} shows {strange[0][:300]}")
        shutil.rmtree(root)
        shutil.rmtree(tmp_path / f"said{number}")
        return found

    with crashes.Server(tmp_path) as server:
        sound = job(server, -1)
    assert not wrong, wrong
    for name in ("default", "stopped"):  # of a damaged status.json no state is shown
        sound[name, "report"].append(f"<h1>{name}</h1>")
    assert sound["default", "evaluate"] and sound["default", "compare"] and sound["stopped", "resume"], sound
    in_parallel(tmp_path, ONLY or list(range(FOLDERS)), lambda server, number: job(server, number, sound))
    print(f"\nseed {SEED}, {FOLDERS} folders:", dict(sorted(counts.items(), key=str)))
    assert not wrong, f"{len(wrong)} findings:\n" + "\n".join(wrong[:20])
