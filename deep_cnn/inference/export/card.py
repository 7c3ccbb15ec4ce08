"""What goes beside an exported network: a JSON for programs and a model card (Mitchell et al., 2019) for people."""

from functools import partial
from typing import Any

from deep_cnn.config.registries import METRICS, shown
from deep_cnn.data.picture import corner
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.inference.load import FinishedRun
from deep_cnn.runtime.atomic import read_json
from deep_cnn.runtime.format import bracketed, plural, some
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.tasks.make import task_from_dict


def about(run: FinishedRun, file: str, kind: str, preprocessing: bool, checked: dict) -> dict[str, Any]:
    """Classes or targets, what goes in and comes out, metrics and provenance, as plain values."""
    trained, pre, meta = run.network, run.network.pre, run.network.meta
    rescaled = meta.get("recalibration")  # the test was on the old scale
    test = None if rescaled else read_json(Manifest(run.files).require("test.json"))
    side = pre.resize if preprocessing else pre.crop
    order = trained.task.decoded_names if preprocessing else trained.task.raw_names()
    values = {
        "file": file,
        "format": kind,
        "network": trained.spec.to_dict(),
        "task": meta["task"],
        "input": {
            "name": "images",
            "type": "uint8" if preprocessing else "float32",
            "shape": ["batch", 3, side, side],
            "channels": "RGB",
            "steps": steps(pre, preprocessing),
        },
        "output": {
            "name": "outputs",
            "shape": ["batch", len(order)],
            "order": order,
            "meaning": trained.task.meaning(decoded=preprocessing),
        },
        "preprocessing": meta["preprocessing"],
        "metrics": {"test": test, "validation": meta.get("validation")},
        "recalibration": rescaled,
        "checked": checked,
        "provenance": {
            "run": run.files.name,
            "epoch": meta.get("epoch"),
            "checkpoint_sha256": trained.digest,
            "data": meta["identity"]["data"],
            "versions": meta["versions"],
            "config": meta["config"],
        },
    }
    return values


def steps(pre: Preprocessing, preprocessing: bool) -> list[str]:
    """What to do to a photograph, in words; the first steps are never inside, since a batch needs images of one size."""
    fits = {
        "crop": f"resize the shorter side to {pre.resize} ({pre.interpolation}, antialiased)",
        "squash": f"resize to {pre.resize} x {pre.resize} ({pre.interpolation}, antialiased)",
        "pad": f"resize the longer side to {pre.resize} ({pre.interpolation}, antialiased), pad to a square",
    }
    outside = ["turn as its EXIF orientation says, convert to RGB", fits[pre.fit]]
    if preprocessing:
        return [*outside, *([square_cut(pre)] if pre.fit == "crop" else [])]
    mean, std = (", ".join(f"{v:g}" for v in values) for values in (pre.mean, pre.std))
    return [
        *outside,
        *([f"cut out the {pre.crop} x {pre.crop} centre"] if pre.fit == "crop" or pre.crop < pre.resize else []),
        "divide by 255",
        f"subtract ({mean}), divide by ({std})",
    ]


def square_cut(pre: Preprocessing) -> str:
    """How to cut the square that the exported network takes, such that its own centre crop is that of the photograph."""
    side, margin = f"cut out {pre.resize} x {pre.resize} pixels", corner(pre.resize, pre.crop)
    if (pre.resize - pre.crop) % 4 == 0:  # two centre crops are the same as one
        return f"{side} in the middle"
    return (
        f"{side} from row round((height - {pre.crop}) / 2) - {margin} and column round((width - {pre.crop}) / 2) - {margin} on, "
        "halves rounded to even"
    )


def model_card(values: dict[str, Any]) -> str:
    """Markdown."""
    network, provenance = values["network"], values["provenance"]
    config, names = provenance["config"], values["output"]["order"]
    task = task_from_dict(values["task"])
    learnt = task.noun if len(task.names) == 1 else task.nouns
    meaning = values["output"]["meaning"] + ("" if names == list(task.names) else f": {', '.join(names)}")
    lines = [
        f"# {network['name']} of run {provenance['run']}",
        "",
        f"`{values['file']}` ({values['format']}): {network['name']}, {'trained' if config['weights'] == 'none' else 'fine-tuned'} with deep_cnn "
        f"{provenance['versions'].get('deep_cnn', '')}.",
        "",
        "## What it does",
        "",
        f"- {len(task.names)} {learnt}: {some(task.names, 20)}",
        f"- Input `images`: {values['input']['type']}, {_shape(values['input'])}, RGB",
        f"- Output `outputs`: {_shape(values['output'])}, {meaning}",
        "",
        "An image goes through these steps first:",
        "",
        *[f"{number}. {step}" for number, step in enumerate(values["input"]["steps"], 1)],
        "",
        "## How well",
        "",
        *_quality(values),
        "",
        "## Where it comes from",
        "",
        f"- Starting weights: {config['weights']}; trained for {config['epochs']} epochs with seed {config['seed']}; these "
        f"are the weights of epoch {provenance['epoch']}, the {'best on the validation set' if validated(values) else 'last'}",
        f"- Images: {config['data_dir']}" + (f", table {config['metadata']}" if config["metadata"] else ""),
        f"- Data (hash): {provenance['data']}",
        f"- Checkpoint (first 16 digits of its SHA-256): {provenance['checkpoint_sha256']}",
        f"- Versions: {', '.join(f'{k} {v}' for k, v in provenance['versions'].items())}",
        "",
        "## Limits",
        "",
        "It knows what its training images showed. On images of another kind (other cities, cameras, seasons) its "
        "numbers may be wrong without looking so; `deep_cnn predict` flags unusual images. Metrics are of "
        "the test set of the same source.",
        "",
        f"Checked before it was written here: {values['checked']['sentence']}",
        "",
    ]
    return "\n".join(lines)


def _shape(tensor: dict[str, Any]) -> str:
    return f"({', '.join(map(str, tensor['shape']))})"


def validated(values: dict[str, Any]) -> bool:
    """Whether there was a validation set, by which the epoch was chosen."""
    return any(name.startswith("val_") for name in values["metrics"]["validation"] or {})


def _quality(values: dict[str, Any]) -> list[str]:
    if (new := values["recalibration"]) is not None:
        return [
            f"Its scale was fitted to {new['ratings']} ratings of `{new['table']}` (evaluate --recalibrate), which showed the errors on other "
            "ratings of that table. The metrics of the run's own test are of the scale before."
        ]
    return _metrics(values["metrics"]["test"])


def _metrics(test: dict[str, Any] | None) -> list[str]:
    if test is None:
        return ["The run had no test set."]
    lines = [f"Test set, {plural(test['count'], 'image')}; 95% intervals in brackets.", "", *_rows(test)]
    if views := test.get("tta"):
        lines += ["", f"As the mean over several views of each image (--tta={views['views']}):", "", *_rows(views)]
    return lines


def _rows(values: dict[str, Any]) -> list[str]:
    found = [name for name in METRICS if name in values and not isinstance(values[name], dict)]
    intervals = values.get("intervals", {})
    return [
        f"- {METRICS[name].label}: {shown(name, values[name])}{bracketed(intervals.get(name), partial(shown, name))}"
        for name in found
    ]
