"""The pages of the reference that come from the code: `python docs/generate.py` writes them again.

`tests/integration/test_docs.py` fails when one of them is out of date.
"""

import ast
import dataclasses
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PROJECT = DOCS.parent
sys.path.insert(0, str(PROJECT))

from deep_cnn.cli.command_table import COMMANDS  # noqa: E402
from deep_cnn.cli.commands.predict import SOME_FAILED  # noqa: E402
from deep_cnn.cli.help import GROUPS  # noqa: E402
from deep_cnn.config import registries  # noqa: E402
from deep_cnn.config.recipes import RECIPES  # noqa: E402
from deep_cnn.config.schema import Config  # noqa: E402
from deep_cnn.runtime.errors import DeepCNNError, LostPeer  # noqa: E402
from deep_cnn.runtime.signals import INTERRUPTED, Stopped  # noqa: E402

NOTE = "<!-- generated from the code by docs/generate.py; do not edit -->\n"

# ---- flags and commands ----------------------------------------------------------------------------------------------


def flag_row(f: dataclasses.Field) -> str:
    """A row of a table: flag, default, what it does."""
    choices = f" ({', '.join(f.metadata['choices'])})" if f.metadata["choices"] else ""
    default = "" if f.default in (None, (), "") else f"`{f.default}`"
    return f"| `--{f.name}` | {default} | {f.metadata['help']}{choices} |"


def flags() -> str:
    """Every flag of a training, and the values of those flags whose values are rows of a registry."""
    lines = [NOTE, "# Flags", ""]
    lines += ["`python -m deep_cnn -h` prints the most used of these flags; `--help_all` prints all of them.", ""]
    lines += [
        "- `--batch_size=32`, `--batch_size 32` and `--batch-size=32` mean the same.",
        "- A switch is turned on by `--wandb` or `--wandb=True`, and off by `--no_wandb` or `--wandb=False`.",
        "- `--config=FILE.yaml` reads flags from a file, one `name: value` on each line. The command line wins over it.",
        "- `--data_dir` is looked for below `--root_dir`. Other files may also be in the data folder or the current folder.",
        "",
        "The flags of the other commands are in [Commands](commands.md).",
    ]
    for group, title in GROUPS.items():
        fields = [f for f in dataclasses.fields(Config) if f.metadata["group"] == group]
        if fields:
            lines += ["", f"## {title}", "", "| flag | default | meaning |", "|---|---|---|", *map(flag_row, fields)]
    for flag, rows in (
        ("optimizer", registries.OPTIMIZERS),
        ("schedule", registries.SCHEDULES),
        ("loss", registries.LOSSES),
        ("augment", registries.AUGMENTATIONS),
        ("trackers", registries.TRACKERS),
    ):
        lines += ["", f"## Values of `--{flag}`", "", "| value | meaning |", "|---|---|"]
        lines += [f"| `{row.name}` | {row.description} |" for row in rows.values()]
        if flag == "augment":
            presets = registries.AUGMENTATION_PRESETS.items()
            lines += [f"| `{name}` | preset: {', '.join(steps) or 'no change'} |" for name, steps in presets]
    return "\n".join(lines) + "\n"


def commands() -> str:
    """Every command with the flags that training does not have."""
    trained = {f.name for f in dataclasses.fields(Config)}
    lines = [NOTE, "# Commands", "", "`python -m deep_cnn COMMAND`; without a command it is `train`.", ""]
    lines += ["| command | what it does |", "|---|---|"]
    lines += [f"| [`{name}`](#{name}) | {row.help} |" for name, row in COMMANDS.items()]
    for name, row in COMMANDS.items():
        options = import_module(f"deep_cnn.cli.commands.{name}").Options
        lines += ["", f"## {name}", "", f"`python -m deep_cnn {name}`: {row.help}.", ""]
        several = " It also runs under torchrun, in several processes." if row.several else ""
        fields = dataclasses.fields(options)
        if issubclass(options, Config):
            lines += [f"It takes the [flags of a training](flags.md).{several}"]
            fields = tuple(f for f in fields if f.name not in trained)
        elif several:
            lines += [several.strip()]
        if fields:
            lines += ["", "| flag | default | meaning |", "|---|---|---|", *map(flag_row, fields)]
    return "\n".join(lines) + "\n"


# ---- recipes, exit codes, files -----------------------------------------------------------------------------------------

RECIPE_PURPOSE = {
    "finetune": "fine-tune all layers from pretrained weights; the default",
    "probe": "train only the head, on features that are computed once",
    "scratch": "train from random weights",
    "cifar_fast": "CIFAR-10 in minutes (Jordan 2024); has no validation set",
    "tutorial": 'PyTorch\'s tutorial "Training a Classifier", with its output; has no validation set',
}


def recipes() -> str:
    """What each recipe sets."""
    lines = [
        NOTE,
        "# Recipes",
        "",
        "A recipe is a named set of defaults, chosen by `--recipe`. A flag that you give wins over",
    ]
    lines += [
        "its recipe. The second line of the log says what the recipe sets.",
        "",
        "| recipe | purpose | sets |",
        "|---|---|---|",
    ]
    for name, values in RECIPES.items():
        sets = " ".join(f"`--{flag}={value}`" for flag, value in values.items()) or "nothing"
        lines.append(f"| `{name}` | {RECIPE_PURPOSE[name]} | {sets} |")
    return "\n".join(lines) + "\n"


def exit_codes() -> str:
    """What the program's exit code means."""
    rows = {
        0: "done",
        DeepCNNError.exit_code: "a mistake in the command, the data or the machine; one line says which, and what to do",
        SOME_FAILED: "`predict`: done, but some images could not be read; `FILE.failed.csv` lists them",
        Stopped.exit_code: "stopped by a signal or the time limit; run the same command again: `train`, `search` and `predict` continue, others start over",
        INTERRUPTED: "a second Ctrl-C; only what had been saved before is kept",
        LostPeer.exit_code: "a fault of the program, with its traceback; or another process of the run was lost",
    }
    lines = [NOTE, "# Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in rows.items()]
    lines += [
        "",
        "torchrun turns every failure into exit code 1. Under torchrun, a clean stop therefore ends with 0, and",
    ]
    lines += ["`outputs/results/RUN/status.json` says what happened:", "", "| `state` | meaning |", "|---|---|"]
    states = {
        "running": "the run is training, or its process was killed",
        "stopped": "everything is saved; run the same command to resume",
        "finished": "the test is done and all files are written",
        "mistake": "the command or the data need a correction; `reason` has the message",
        "failed": "a fault of the program; the log has the traceback",
    }
    lines += [f"| `{state}` | {meaning} |" for state, meaning in states.items()]
    lines += [
        "",
        "`status.json` also has `reason`, `epoch` (the epoch being trained, from 0), `step` (optimizer steps in the saved",
        "state), `steps` (of the whole run, if it does not stop early) and `time`. It is written when training begins,",
        "after each save, and at the end.",
    ]
    return "\n".join(lines) + "\n"


# ---- files and metrics -------------------------------------------------------------------------------------------------------

# Below outputs/. A test trains, and compares what it finds there with these lists.
RUN_FILES = {
    "logger/RUN.log": "everything that was printed, with times",
    "models/RUN/best.pt": "the weights of the best epoch, with all that is needed to use them",
    "models/RUN/last.pt": "the whole state of the run, from which it resumes",
    "models/RUN/last.previous.pt": "the state before it",
    "models/RUN/contents.npz": "a digest of each image that was read, to notice changed images",
    "results/RUN/config.json": "every flag as it was used, versions of the libraries, the git commit, the command",
    "results/RUN/splits.csv": "each image with its target and its split",
    "results/RUN/metrics.csv": "a row for each epoch: `epoch`, `step`, `lr`, `train_loss`, `val_loss`, `val_METRIC`...",
    "results/RUN/timing.csv": "seconds of each epoch, and images per second",
    "results/RUN/test.json": "the test result with its intervals (fractions, not percent)",
    "results/RUN/predictions_baseline.csv": "what a linear predictor on mean colours and edges says of each test image",
    "results/RUN/predictions_test.csv": "a row for each test image: file, truth, prediction; latitude and longitude where they are known; "
    "with `--group` its group",
    "results/RUN/digests.json": "SHA-256 of the files of results and the checkpoints, to notice damage",
    "results/RUN/status.json": "the state of the run, for job scripts: [Exit codes](exit_codes.md)",
    "results/RUN/learning_curves.png": "losses, metrics and learning rate by epoch",
    "results/RUN/report.html": "the report, in one file",
}
OTHER_FILES = {
    "results/RUN/votes_test.csv": "with `--task=pairwise`: each vote between two test images, with the predicted score difference (left minus right)",
    "results/RUN/external.json": "`evaluate --metadata`: the result on another rated set; with `--rater_group` also of each subgroup of raters",
    "models/RUN/best.TABLE.pt": "`evaluate --recalibrate`: the network with the scale of that table's ratings",
    "results/RUN/lr_range.png": "with `--lr=auto`: the range test",
    "results/RUN/profile.json": "with `--profile`: where the time went",
    "results/RUN/methods.md": "from `report --methods`: [the methods paragraph](../start/report.md#the-methods-paragraph)",
    "results/RUN/explain/": "pictures of `explain`",
    "results/RUN/folds.csv, folds.json, predictions_folds.csv, suspects.csv, plan.json": "with `--folds`: "
    "[Cross-validation](../how_to/folds.md)",
    "models/RUN/RUN.onnx, RUN.onnx.json, RUN.onnx.md": "from `export`: network, description, model card",
    "tensorboard/RUN/": "with `--tensorboard`",
    "wandb/": "with `--wandb`",
    "search/NAME/": "from `search`: [Search](../how_to/search.md)",
    "compare/": "from `compare`: [Compare](../how_to/compare.md)",
    "verify_resume/": "from `verify_resume`, if results differ",
    "cache/": "decoded images and features; may be deleted at any time",
    "jobs/": "notes of job scripts",
}
RESULT_KEYS = {
    "task_name": "classification, multilabel, regression or pairwise",
    "split, count": "the split and its number of images",
    "loss and METRIC": "the values",
    "per_class, per_target, per_group": "the metrics of each class, target or group",
    "intervals, interval_methods, interval_level": "95% intervals with their methods: [Intervals](../concepts/intervals.md)",
    "estimand": "what the intervals are intervals of",
    "differences": "compared with always predicting the most frequent class or the training mean, and with a linear predictor on mean "
    "colours and edges (`linear_baseline`)",
    "calibration": "probabilities: temperature, log loss and calibration error without and with it: [Calibration](../concepts/calibration.md)",
    "coverage": "share of test images whose truth is in a 90% interval or set: [Prediction intervals](../concepts/prediction_intervals.md)",
    "majority_class, mean_predictor": "what is reached without looking at an image",
    "trained_groups": "with `--group`, where a given split divides groups: how many of the test's groups were trained on as well",
    "mean_of_groups": "with `--group`: the unweighted mean over groups",
    "tta": "with `--tta`: the result with test-time augmentation",
    "noise_ceiling": "of uncertain scores: what can be reached, and the share that is: [Noise ceiling](../concepts/noise_ceiling.md)",
    "votes, with_training_images, pair_ceiling, between_groups": "of votes: [Votes](../concepts/votes.md)",
    "space, within_groups": "of place: [Space](../concepts/space.md)",
    "best_epoch": "the epoch whose weights were tested, from 0",
}
TASK_WORDS = {
    "classification": "classes",
    "multilabel": "several labels",
    "regression": "scores",
    "ordinal": "ordered levels",
    "pairwise": "votes",
}


def files() -> str:
    """What a run leaves behind."""
    lines = [NOTE, "# Files", "", "All files of a run are below `outputs/` in `--root_dir`. RUN is `--run_name`.", ""]
    lines += ["| file | content |", "|---|---|", *(f"| `{name}` | {content} |" for name, content in RUN_FILES.items())]
    lines += [
        "",
        "A figure of the test, depending on the task, also in `results/RUN/`:",
        "",
        "| file | content | task |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{row.name}.png` | {row.title}{', where coordinates are known' if row.by_place else ''} | {', '.join(row.tasks)} |"
        for row in registries.FIGURES.values()
    ]
    lines += ["", "Only with some flags or commands:", "", "| file | content |", "|---|---|"]
    lines += [f"| `{name}` | {content} |" for name, content in OTHER_FILES.items()]
    lines += ["", "## Keys of `test.json`", "", "| key | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in RESULT_KEYS.items()]
    lines += ["", "`task` and `bootstrap` are there for programs written for version 0.1.0.", "", "## Metrics", ""]
    lines += ["Names in `metrics.csv`, `test.json`, `--metric` and `search`; of one target as `safety/mae`.", ""]
    lines += ["| name | label | for | better |", "|---|---|---|---|"]
    for row in registries.METRICS.values():
        tasks = ", ".join(TASK_WORDS[task] for task in row.tasks)
        lines.append(f"| `{row.name}` | {row.label} | {tasks} | {'higher' if row.higher_is_better else 'lower'} |")
    return "\n".join(lines) + "\n"


# ---- networks ------------------------------------------------------------------------------------------------------------


def networks() -> str:
    """Every name for --model but those of timm, with its weights."""
    from deep_cnn.models.build import weights_on_offer
    from deep_cnn.models.zoo.networks import NETWORKS
    from deep_cnn.models.zoo.timm_models import TimmModels

    lines = [NOTE, "# Networks", ""]
    lines += [
        "Names for `--model`. `python -m deep_cnn summary --list` prints them, and",
        "`python -m deep_cnn summary --model=NAME` shows the layers, parameters and memory of one network.",
        "`timm/NAME` stands for any network of timm, for example `--model=timm/convnextv2_nano`.",
        "",
        "*Weights* lists the values of `--weights`, besides `none`, files and URLs. *Side* is the default side of the input in pixels.",
        "",
        "| network | side | minimum side | weights |",
        "|---|---|---|---|",
    ]
    offers = dict(weights_on_offer())
    for family in NETWORKS:
        if not isinstance(family, TimmModels):
            for name in family.names():
                side = family.published(name).preprocessing.crop
                lines.append(f"| `{name}` | {side} | {family.smallest} | {offers[name]} |")
    return "\n".join(lines) + "\n"


# ---- messages --------------------------------------------------------------------------------------------------------------

GROUP_OF_FOLDER = {
    "cli": "Commands and flags",
    "config": "Commands and flags",
    "data": "Images, tables and splits",
    "models": "Networks, weights and checkpoints",
    "runtime": "Files, machine and processes",
    "tasks": "Networks, weights and checkpoints",
    "inference": "Evaluating, predicting, explaining and exporting",
    "reporting": "Reports, comparison and trackers",
    "training": "Training and resuming",
    "tools": "Search, cross-validation and verify_resume",
}
RAISED = (
    "ConfigError",
    "DataError",
    "CheckpointError",
    "MachineError",
    "ImageChanged",
    "NameInUse",
    "NewerVersion",
    "NonFiniteLoss",
    "LostPeer",
    "Replaced",
    "Stopped",
)
NOTES, LOG, SCRIPTS = "Notes at the end of a run", "Lines of the log", "Scripts of the shell"
ADVICE = ("advice", "probe_advice", "too_little")  # files whose functions return such notes
GAP = "…"  # for what a message fills in


def _constants() -> dict[str, str]:
    """Texts that have a name at the top of a module, such as ADVICE."""
    found = {}
    for path in sorted((PROJECT / "deep_cnn").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                try:
                    value = ast.literal_eval(node.value)
                except ValueError:
                    continue
                if isinstance(value, str):
                    found[node.targets[0].id] = value
    return found


def _template(node: ast.expr, constants: dict[str, str]) -> str:
    """The text of an expression, with GAP for all that is known only when the program runs."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(part, constants) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _template(node.value, constants)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(node.left, constants) + _template(node.right, constants)
    if isinstance(node, ast.Name):
        return constants.get(node.id, GAP)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "plural":
        noun, *verb = (_template(word, constants) for word in node.args[1:])
        return " ".join([GAP, f"{noun}s", *verb])
    return GAP


def _said(call: ast.AST, constants: dict[str, str]) -> str | None:
    """The message that a call makes, or a function returns; None for anything else."""
    if isinstance(call, ast.Return) and call.value is not None:
        text = _template(call.value, constants)
        return text if text.startswith("--") else None
    if not isinstance(call, ast.Call):
        return None
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    parts = [_template(argument, constants) for argument in call.args]
    if name == "wrong" and len(parts) >= 3:
        flag, value, problem, *hint = parts
        return f"--{flag}={value}: {problem}{'; ' * bool(hint)}{''.join(hint)}"
    if name in RAISED and parts:
        return parts[0]
    if name == "warning" and parts:
        return parts[0].replace("%s", GAP).replace("%d", GAP).replace("%.0f", GAP).replace("%%", "%")
    return None


def _notes(tree: ast.AST, constants: dict[str, str]) -> Iterator[str]:
    """The sentences that functions of this module return, alone or in lists."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and node.value is not None:
            yield from (text for text in _texts(node.value, constants) if len(text.split()) >= 8)


def _texts(node: ast.AST, constants: dict[str, str]) -> Iterator[str]:
    """The texts within an expression; those that an f-string fills in are part of it."""
    if isinstance(node, ast.JoinedStr | ast.Constant):
        yield _template(node, constants)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _texts(child, constants)


def _logged(tree: ast.AST, constants: dict[str, str]) -> Iterator[str]:
    """What log.info says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "info" and node.args:
            yield re.sub(r"%[-\d.]*[sdfg]", GAP, _template(node.args[0], constants)).replace("%%", "%")


def _of_scripts() -> Iterator[str]:
    """What the shell scripts say."""
    for path in (
        *sorted(PROJECT.glob("*.sh")),
        PROJECT / "submit.pbs",
        *sorted((PROJECT / "cluster").glob("submit_*")),
    ):
        text = path.read_text(encoding="utf-8").replace('" \\\n', '" ')
        for said in re.findall(r'(?<![\w.])(?:say|die|echo) ((?:"[^"\n]*"\s*)+)', text):
            words = " ".join(re.findall(r'"([^"]*)"', said))
            yield re.sub(r"\$\([^)]*\)+|\$\{[^}]*\}|\$[\w*@]+", GAP, words)


def messages() -> dict[str, list[str]]:
    """Every message that can be read off the code, by group; those without three words of their own left out."""
    constants = _constants()
    found: dict[str, set[str]] = {group: set() for group in (*GROUP_OF_FOLDER.values(), NOTES, LOG, SCRIPTS)}
    for path in sorted((PROJECT / "deep_cnn").rglob("*.py")):
        folder = path.relative_to(PROJECT / "deep_cnn").parts[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        group = found[GROUP_OF_FOLDER.get(folder, "Commands and flags")]
        group.update(filter(None, (_said(node, constants) for node in ast.walk(tree))))
        found[LOG].update(_logged(tree, constants))
        if path.stem in ADVICE:
            found[NOTES].update(_notes(tree, constants))
    found[SCRIPTS].update(_of_scripts())
    return {
        group: sorted({_tidy(text) for text in said if _own_words(text) >= 3}, key=_sort_key)
        for group, said in found.items()
    }


def _tidy(message: str) -> str:
    return re.sub(f"{GAP}+", GAP, " ".join(message.split()))


def _own_words(message: str) -> int:
    return len([word for word in message.split() if word.strip(",.;:").isalpha()])


def _sort_key(message: str) -> tuple[str, str]:
    return message.lstrip(f"-{GAP}: ").lower(), message


def message_page() -> str:
    """All messages."""
    lines = [NOTE, "# Messages", ""]
    lines += [
        f"Every message of the program, in groups. `{GAP}` stands for a name or a number. Search this page for a few words",
        "of your message that are no names or numbers. [Troubleshooting](../how_to/troubleshooting.md) says more about the most",
        "frequent ones. After the last semicolon, most messages say what to do.",
        "",
        "Messages about a flag begin with the flag and its value. From Python they begin with the name of the argument.",
    ]
    for group, said in messages().items():
        if said:
            lines += ["", f"## {group}", "", *(f"- {_code(message)}" for message in said)]
    return "\n".join(lines) + "\n"


def _code(message: str) -> str:
    return f"`` {message} ``" if "`" in message else f"`{message}`"


# ---- all -------------------------------------------------------------------------------------------------------------------

PAGES = {
    "reference/flags.md": flags,
    "reference/commands.md": commands,
    "reference/recipes.md": recipes,
    "reference/files.md": files,
    "reference/exit_codes.md": exit_codes,
    "reference/networks.md": networks,
    "reference/messages.md": message_page,
}


def out_of_date() -> Iterator[tuple[Path, str]]:
    """The pages whose text is not what the code says, with the text that they should have."""
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield path, text


if __name__ == "__main__":
    for path, text in out_of_date():
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"wrote {path.relative_to(PROJECT)}")
