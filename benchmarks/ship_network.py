"""A finished run of one class per image as weights that come with the package: a float16 file and its model card.

    python -m deep_cnn --data_dir=input/cifar10 --recipe=scratch --augment=cifar --val_split=0 --epochs=40 \\
        --model=cifar_resnet20 --run_name=shipped
    python -m benchmarks.ship_network --run_name=shipped [--root_dir=.] [--output_dir=deep_cnn/models/shipped]

The test set is read again with the rounded file, computing in float32: its accuracy is the one in the card.
"""

import argparse
import csv
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from deep_cnn.config.identity import command_line
from deep_cnn.config.schema import Config
from deep_cnn.inference.export.card import steps
from deep_cnn.inference.load import FinishedRun, open_networks, open_run
from deep_cnn.inference.run_images import predicted, split_images
from deep_cnn.models import checkpoint
from deep_cnn.runtime.atomic import read_json, write_text
from deep_cnn.runtime.device import granted_cores
from deep_cnn.tasks.intervals import held_out_result
from deep_cnn.tasks.metrics import ClassificationScores

SHIPPED = Path(__file__).resolve().parent.parent / "deep_cnn" / "models" / "shipped"
CIFAR10 = (
    'CIFAR-10 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009) as JPEG files of quality '
    "75 with halved colour, not the original pixels"
)
KEPT = ("model", "task", "preprocessing", "config", "decisions", "identity", "versions", "epoch", "validation")


def rounded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in float16, counters as they are: half the bytes; what overflows, `checkpoint.save` refuses."""
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def without_places(meta: dict[str, Any], data_dir: str, commit: str | None) -> dict[str, Any]:
    """What a checkpoint says of itself, without the folders and the kernel of the machine it was trained on."""
    kept = {name: meta[name] for name in KEPT}
    places = {f.name: f.default for f in fields(Config) if not f.metadata["identity"] and f.name != "run_name"}
    kept["config"] = meta["config"] | places | {"data_dir": data_dir}
    kept["versions"] = meta["versions"] | {"system": meta["versions"]["system"].partition("-")[0]}
    if commit:
        kept["versions"]["git_commit"] = commit
    return kept


def tested(run: FinishedRun, file: Path) -> dict[str, Any]:
    """What test.json would say of the network in `file`, on the run's test set, computing in float32."""
    (network,) = open_networks([file], device="cpu", precision="fp32")
    test, names = split_images(run, "test"), network.task.names
    probabilities = predicted(replace(run, network=network), test.images, granted_cores())
    return held_out_result(ClassificationScores.of(probabilities, test.targets, names))


def training_minutes(run: FinishedRun) -> float:
    with open(run.files.results / "timing.csv", encoding="utf-8", newline="") as file:
        return sum(float(row["train_seconds"]) for row in csv.DictReader(file)) / 60


def percent(result: dict[str, Any], name: str) -> str:
    low, high = result["intervals"][name]
    return f"{result[name]:.2%} (95% interval {low:.2%} to {high:.2%})"


def model_card(file: Path, meta: dict[str, Any], run: FinishedRun, ours: dict[str, Any], data: str) -> str:
    """Markdown. ours: of `tested`."""
    name, names, config = meta["model"]["name"], meta["task"]["names"], meta["config"]
    theirs, decisions = read_json(run.files.results / "test.json"), meta["decisions"]
    weights = sum(tensor.numel() for tensor in run.network.model.parameters())
    versions = {key: value for key, value in meta["versions"].items() if value != "not installed"}
    lines = [
        f"# {name}",
        "",
        f"What `--model={name}` begins with unless `--weights` says otherwise: a small network that was trained from scratch "
        "on small photographs, to try the program and to fine-tune without a download.",
        "",
        "## How well",
        "",
        f"On the {ours['count']:,} test images, which nothing was chosen by; with 95% intervals (Wilson):",
        "",
        f"- top-1: {percent(ours, 'top1')}",
        f"- macro F1: {percent(ours, 'macro_f1')}",
        f"- loss: {ours['loss']:.4f}",
        "",
        f"These are of this file, rounded to float16, computing in float32. The run itself computed in {decisions['precision']} "
        f"with the weights as they were: {percent(theirs, 'top1')}.",
        "",
        "Of each class found: " + ", ".join(f"{each} {ours['per_class'][each]['recall']:.1%}" for each in names) + ".",
        "",
        "## How it came about",
        "",
        f"- Data: {data}; the {len(names)} classes above.",
        f"- Command: `{command_line(Config.from_dict(config))}`",
        f"- Seed {config['seed']}; the weights after epoch {meta['epoch']} (counted from 0), "
        + (
            "the best on the validation set"
            if "val_loss" in meta["validation"]
            else "the last; there was no validation set"
        ),
        f"- Time: {training_minutes(run):.0f} minutes of training in {decisions['precision']} on {decisions['device']}"
        + (f", threads: {decisions['threads']}" if decisions["device"] == "cpu" else ""),
        f"- Versions: {', '.join(f'{key} {value}' for key, value in versions.items())}",
        "",
        "## What goes in",
        "",
        *[f"{number}. {step}" for number, step in enumerate(steps(run.network.pre, preprocessing=False), 1)],
        "",
        f"A run with these weights takes over this size and this mean and spread (`--image_size` for another size), and the "
        f"last layer only where its classes are these {len(names)}.",
        "",
        "## The file",
        "",
        f"`{file.name}`, {file.stat().st_size:,} bytes: {weights:,} weights and the statistics of BatchNorm in float16 (float32 "
        "once loaded), with all that a checkpoint of this program says of itself; no optimizer.",
        "",
        "## Limits",
        "",
        f"It has seen {run.network.pre.crop} x {run.network.pre.crop} pixels of {len(names)} kinds of things. For photographs of a usual "
        "size a network trained on ImageNet is the better beginning (`--model=resnet18`, for example). Beyond these classes "
        "its probabilities mean nothing, and it was not looked at for any use in earnest.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run_name", required=True)
    parser.add_argument("--root_dir", default=".")
    parser.add_argument("--data_dir", help="where the images are now, if they have moved since training")
    parser.add_argument("--output_dir", type=Path, default=SHIPPED)
    parser.add_argument(
        "--shown_data_dir", default="input/cifar10", help="the folder of images that the file and card name"
    )
    parser.add_argument("--data", default=CIFAR10, help="the card's words on the images")
    parser.add_argument("--commit", help="the program's, where the run was made by a copy without git")
    options = parser.parse_args()
    run = open_run(options.run_name, options.root_dir, data_dir=options.data_dir)
    trained = checkpoint.load(run.files.best)
    meta = without_places(trained, options.shown_data_dir, options.commit)
    file = options.output_dir / f"{meta['model']['name']}.pt"
    file.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(file, meta | {"weights": rounded(trained["weights"])})
    ours = tested(run, file)
    write_text(file.with_suffix(".md"), model_card(file, meta, run, ours, options.data))
    print(
        f"{file}: {file.stat().st_size:,} bytes, top-1 {percent(ours, 'top1')}; the run's own "
        f"{read_json(run.files.results / 'test.json')['top1']:.2%}"
    )


if __name__ == "__main__":
    main()
