"""What pretrained weights are worth: runs that begin with them against runs from scratch, the same images and epochs.

    python -m benchmarks.transfer --cifar10=input/cifar10 --photos=input/hymenoptera [--seeds=5] [--work_dir=FOLDER]

--cifar10 (class folders in train/ and test/): cifar_resnet20 learns the alphabetically first half of the classes, with
    all their training images; then the other half from 200 images of each, another 200 with each seed.
--photos (class folders in train/ and val/): few photographs at 64 pixels, from the network that comes with the program;
    tested on val/, by which nothing is chosen.

With weights it is --recipe=finetune (AdamW), from scratch --recipe=scratch (SGD with Nesterov's momentum). Each side's
learning rate is the best of three, by validation images that are carved out of the training images with a further seed; the
test images are not read for that. About 35 and 15 minutes on one core. Interrupted, the same command with the same --work_dir goes on.
"""

import argparse
import csv
import math
import statistics
import tempfile
from pathlib import Path

from scipy import stats

from benchmarks import program, timing

MODEL = "--model=cifar_resnet20"
SCRATCH = ("--weights=none", "--recipe=scratch")
# of the head, the backbone has a tenth with weights; the recipes' own are 0.001 (for networks of 100 times as many weights)
# and 0.1 (in batches of 128)
RATES = {"weights": (0.001, 0.003, 0.01), "scratch": (0.03, 0.1, 0.3)}
CHOOSING_SEED = 100  # none of those that are measured


def train(root: Path, name: str, *flags: str) -> Path:
    """The results of a run of this name, trained now unless it is finished."""
    return program.finished(root, MODEL, *flags, f"--cache={root / 'cache'}", name=name)


def accuracy(results: Path) -> float:
    """Top-1 on the test set."""
    return program.content(results, "test.json")["top1"]


def linked(folder: Path, classes: list[str], **splits: Path) -> Path:
    """A folder of images with these classes, whose train/ and test/ are links into other folders."""
    for split, source in splits.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        for name in classes:
            if not (folder / split / name).is_symlink():
                (folder / split / name).symlink_to((source / name).resolve(), target_is_directory=True)
    return folder


def classes_of(folder: Path) -> list[str]:
    return sorted(inner.name for inner in folder.iterdir() if inner.is_dir())


def best_rate(root: Path, title: str, side: str, flags: list[str]) -> float:
    """The learning rate of RATES with the highest accuracy on validation images after the last epoch; prints all three."""
    reached = {}
    for rate in RATES[side]:
        results = train(root, f"{title}_{side}_rate_{rate}", *flags, f"--lr={rate}", f"--seed={CHOOSING_SEED}")
        with open(results / "metrics.csv", encoding="utf-8", newline="") as file:
            reached[rate] = float(list(csv.DictReader(file))[-1]["val_top1"])
    best = max(reached, key=reached.__getitem__)
    said = ", ".join(f"{value:.1%} with {rate}" for rate, value in reached.items())
    print(f"{side}: --lr={best} (validation: {said})", flush=True)
    return best


def compared(root: Path, title: str, data: Path, validation: float, weights: str, seeds: int, flags: list[str]) -> None:
    """Each side's learning rate, then the accuracies of each seed, as they come, and the mean difference.

    Args:
        data: a folder with train/ and test/; validation: the share of train/ by which the rates are chosen.
        weights: as --weights, of the side that has them. flags: of both sides.
    """
    classes = classes_of(data / "train")
    choosing = linked(root / f"{title}_choosing", classes, train=data / "train")
    chosen = [f"--data_dir={choosing}", f"--val_split={validation}", "--test_split=0"]
    sides = {"weights": [f"--weights={weights}"], "scratch": list(SCRATCH)}
    for side, own in sides.items():
        own.append(f"--lr={best_rate(root, title, side, [*own, *flags, *chosen])}")
    print(f"{'seed':>4}  {'with weights':>12}  {'from scratch':>12}  {'difference':>10}")
    found = []
    for seed in range(seeds):
        measured = [*flags, f"--data_dir={data}", "--val_split=0", f"--seed={seed}"]
        ours, theirs = (accuracy(train(root, f"{title}_{side}_{seed}", *own, *measured)) for side, own in sides.items())
        found.append((ours, theirs))
        print(f"{seed:4}  {ours:12.2%}  {theirs:12.2%}  {100 * (ours - theirs):+10.2f}", flush=True)
    print(summary(found))


def summary(found: list[tuple[float, float]]) -> str:
    """The mean of the paired differences, in percentage points, and its 95% t-interval."""
    differences = [100 * (ours - theirs) for ours, theirs in found]
    ours, theirs = (statistics.mean(side) for side in zip(*found, strict=True))
    mean, count = statistics.mean(differences), len(differences)
    line = f"mean  {ours:12.2%}  {theirs:12.2%}  {mean:+10.2f} points"
    if count == 1:
        return f"{line}; one seed has no interval"
    half = stats.t.ppf(0.975, count - 1) * statistics.stdev(differences) / math.sqrt(count)
    return f"{line}, 95% t-interval {mean - half:+.2f} to {mean + half:+.2f} ({count} seeds)"


def other_classes(options: argparse.Namespace, root: Path) -> None:
    splits = {"train": options.cifar10 / "train", "test": options.cifar10 / "test"}
    classes = classes_of(splits["train"])
    half = len(classes) // 2
    first = linked(root / "first_classes", classes[:half], **splits)
    others = linked(root / "other_classes", classes[half:], **splits)
    learnt = train(
        root,
        "first",
        *SCRATCH,
        "--augment=cifar",
        "--val_split=0",
        f"--data_dir={first}",
        f"--epochs={options.pretrain_epochs}",
    )
    print(
        f"\n{', '.join(classes[:half])}: {options.pretrain_epochs} epochs from scratch, {accuracy(learnt):.2%}\n"
        f"then {', '.join(classes[half:])}: {options.per_class} images of each, {options.epochs} epochs",
        flush=True,
    )
    weights = learnt.parents[1] / "models" / "first" / "best.pt"
    flags = [
        "--augment=cifar",
        f"--subset={options.per_class * (len(classes) - half)}",
        f"--epochs={options.epochs}",
        f"--batch_size={options.batch_size}",
    ]
    compared(root, "others", others, 0.04, str(weights), options.seeds, flags)


def photographs(options: argparse.Namespace, root: Path) -> None:
    train_images, test_images = options.photos / "train", options.photos / "val"
    data = linked(root / "photos", classes_of(train_images), train=train_images, test=test_images)
    print(f"\n{options.photos.name}: photographs at {options.image_size} pixels, {options.epochs} epochs", flush=True)
    flags = [f"--image_size={options.image_size}", f"--epochs={options.epochs}", f"--batch_size={options.batch_size}"]
    compared(root, "photos", data, 0.3, "pretrained", options.seeds, flags)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", type=Path, help="CIFAR-10 as class folders, train/ and test/")
    parser.add_argument("--photos", type=Path, help="photographs as class folders, train/ and val/")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pretrain_epochs", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--per_class", type=int, default=200)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--work_dir", type=Path, help="kept; by default a temporary folder")
    options = parser.parse_args()
    if not options.cifar10 and not options.photos:
        parser.error("give --cifar10, --photos or both")
    print(timing.machine(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.work_dir or Path(temporary)).resolve()
        root.mkdir(parents=True, exist_ok=True)
        if options.cifar10:
            other_classes(options, root)
        if options.photos:
            photographs(options, root)


if __name__ == "__main__":
    main()
