"""What the temperature does to the log loss of real networks, and whether suspects.csv finds planted wrong labels.

    python -m benchmarks.calibration --cifar10=input/cifar10 [--seeds=3] [--work_dir=FOLDER] [--only=finetune,small,suspects]

All images are of CIFAR-10's test/, which the network that comes with the program (cifar_resnet20) has not seen.

finetune   it is fine-tuned on 3,000 of them (450 for validation) with several seeds, and tested on 2,000 others
small      its own outputs on pairs of classes that it tells apart in 98.5% to 99.5% of cases: the temperature is fitted on n = 36, 100, 300 of
           them and measured on the rest, 200 draws of each pair; beside it a temperature without its prior
suspects   cross-validation (5 folds) on 3,000 of them, of which 20% have another class's label: precision of the first 100 suspects

Interrupted, the same command with the same --work_dir goes on.
"""

import argparse
import csv
import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import deep_cnn
from benchmarks import program
from deep_cnn.tasks.classification import Classification
from deep_cnn.tasks.conformal import FEW_IMAGES

IMAGES, TESTED = 3000, 2000
EPOCHS = 5
WRONG = 0.2
MODEL = ("--model=cifar_resnet20", f"--epochs={EPOCHS}", "--lr=0.003", "--precision=fp32")


def images_of(cifar10: Path) -> list[tuple[Path, str]]:
    """Images of test/ with their classes, in a drawn order that alternates between the classes."""
    rng = np.random.default_rng(0)
    of_class = [sorted(folder.glob("*.jpg")) for folder in sorted((cifar10 / "test").iterdir()) if folder.is_dir()]
    drawn = [[files[i] for i in rng.permutation(len(files))] for files in of_class]
    return [(file, file.parent.name) for row in zip(*drawn, strict=True) for file in row]


def linked(folder: Path, images: list[tuple[Path, str]]) -> Path:
    """Class folders of links to images, under the classes that are given."""
    for file, name in images:
        (folder / name).mkdir(parents=True, exist_ok=True)
        place = folder / name / f"{file.parent.name}_{file.name}"
        if not place.is_symlink():
            place.symlink_to(file.resolve())
    return folder


def finetune(work: Path, images: list[tuple[Path, str]], seeds: int) -> Iterator[tuple[str, bool]]:
    linked(work / "finetune/train", images[:IMAGES])
    linked(work / "finetune/test", images[IMAGES : IMAGES + TESTED])
    losses = []
    for seed in range(seeds):
        flags = (f"--data_dir={work / 'finetune'}", f"--seed={seed}", f"--cache={work / 'cache'}")
        test = program.content(program.finished(work, *MODEL, *flags, name=f"finetune-{seed}"), "test.json")
        found, covered = test["calibration"], test["coverage"]
        losses.append((found["loss_before"], found["loss"]))
        low, high = found["ece_null"]
        yield (
            f"fine-tuned, seed {seed}: top-1 {test['top1']:.3f}  T {found['temperature']:.3f}  log loss {found['loss_before']:.4f} -> "
            f"{found['loss']:.4f}  ECE {found['ece_before']:.3f} -> {found['ece']:.3f} (chance {low:.3f} to {high:.3f})  90% sets: "
            f"{covered['reached']:.3f} [{covered['interval'][0]:.3f}, {covered['interval'][1]:.3f}], {covered['mean_set_size']:.2f} classes",
            True,
        )
    before, after = np.mean(losses, axis=0)
    yield f"fine-tuned, mean of {seeds} seeds: log loss {before:.4f} -> {after:.4f}", bool(after <= before)


def shipped_outputs(images: list[tuple[Path, str]]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Outputs (N, 10) of the network that comes with the program, up to a constant of each image; targets; classes."""
    path = Path(deep_cnn.__file__).parent / "models/zoo/shipped/cifar_resnet20.pt"
    table = deep_cnn.predict([str(file) for file, _ in images], path, device="cpu")
    names = [name.removeprefix("p_") for name in table.columns if name.startswith("p_")]
    p = table[[f"p_{name}" for name in names]].to_numpy()
    return np.log(np.maximum(p, 1e-300)), np.array([names.index(name) for _, name in images]), names


def small(images: list[tuple[Path, str]]) -> Iterator[tuple[str, bool]]:
    outputs, targets, names = shipped_outputs(images)
    pairs = []
    for pair in itertools.combinations(range(len(names)), 2):
        rows = np.isin(targets, pair)
        of_pair, truth = outputs[rows][:, pair], (targets[rows] == pair[1]).astype(np.int64)
        accuracy = float((of_pair.argmax(axis=1) == truth).mean())
        if 0.985 <= accuracy <= 0.995:
            pairs.append((of_pair, truth))
    yield f"{len(pairs)} pairs of classes with 98.5% to 99.5% right", True
    for n in (36, 100, FEW_IMAGES):
        found = np.array([losses_of(pair, n, seed) for pair in pairs for seed in range(200)])  # (draws, 3)
        before, after, without = found.mean(axis=0)
        worst = (found[:, 1] - found[:, 0]).max(), (found[:, 2] - found[:, 0]).max()
        yield (
            f"n = {n:<4} log loss {before:.4f} -> {after:.4f}  (without the prior {without:.4f}); largest increase {worst[0]:.4f} "
            f"(without the prior {worst[1]:.4f})",
            bool(after <= before),
        )


def losses_of(pair: tuple[np.ndarray, np.ndarray], n: int, seed: int) -> tuple[float, float, float]:
    """Log loss without a temperature, with one that is fitted on n of the images, and with one that has no prior; on the other images."""
    outputs, targets = pair
    order = np.random.default_rng(seed).permutation(len(targets))
    few, rest = order[:n], order[n:]
    task = Classification(("one", "other"), "cross_entropy")
    fitted = task.calibrated(outputs[few], targets[few])
    temperatures = np.exp(np.linspace(-3, 3, 121))
    losses = [float(np.mean(margin_loss(outputs[few], targets[few], t))) for t in temperatures]
    plain = float(temperatures[int(np.argmin(losses))])
    return tuple(float(np.mean(margin_loss(outputs[rest], targets[rest], t))) for t in (1.0, fitted.temperature, plain))


def margin_loss(outputs: np.ndarray, targets: np.ndarray, temperature: float) -> np.ndarray:
    """Log loss of two classes, (n,)."""
    margin = (outputs[:, 1] - outputs[:, 0]) * np.where(targets == 1, 1, -1) / temperature
    loss: np.ndarray = np.logaddexp(0, -margin)
    return loss


def suspects(work: Path, images: list[tuple[Path, str]]) -> Iterator[tuple[str, bool]]:
    rng = np.random.default_rng(1)
    names = sorted({name for _, name in images})
    wrong = set(rng.choice(IMAGES, int(WRONG * IMAGES), replace=False).tolist())
    planted = [
        (file, str(rng.choice([other for other in names if other != name])) if i in wrong else name)
        for i, (file, name) in enumerate(images[:IMAGES])
    ]
    data = linked(work / "planted", planted)
    flags = (f"--data_dir={data}", "--folds=5", f"--cache={work / 'cache'}")
    results = program.finished(work, *MODEL, *flags, name="suspects")
    with open(results / "suspects.csv", encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    truly = [Path(row["file"]).name.rpartition("_")[0].split("_")[0] != row["given"] for row in rows]
    right = [Path(row["file"]).name.split("_")[0] == row["suggested"] for row in rows]
    precision = float(np.mean(truly[:100]))
    yield (
        f"suspects: {len(rows)} of {IMAGES:,}, {sum(truly)} of {len(wrong)} planted wrong labels among them; precision of the first 100 {precision:.2f}, "
        f"whose suggested class is right in {np.mean(right[:100]):.2f}",
        precision >= 0.8,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, required=True, help="class folders in test/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work_dir", type=Path, help="for data and runs; by default a temporary one")
    parser.add_argument("--only", default="finetune,small,suspects")
    options = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory() as temporary:
        work, images = (options.work_dir or Path(temporary)).resolve(), images_of(options.cifar10)
        parts = {
            "finetune": lambda: finetune(work, images, options.seeds),
            "small": lambda: small(images),
            "suspects": lambda: suspects(work, images),
        }
        for name in options.only.split(","):
            for line, good in parts[name]():
                print(line if good else f"{line}  MISSED", flush=True)
                missed += not good
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
