"""The command line: verbs, flags, help. Imports neither torch nor the verbs' own work, so that -h answers at once."""

import argparse
import dataclasses
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from deep_cnn.config import Config, rate, with_recipe
from deep_cnn.errors import ConfigError, DeepCNNError, nearest
from deep_cnn.launch import place, tell


@dataclass(frozen=True)
class Verb:
    """A row of the table of verbs: its module has a dataclass `Options` of flags and a function `main(options) -> int`."""

    module: str
    help: str
    several: bool = False  # whether torchrun's processes share its work


VERBS = {
    "train": Verb("deep_cnn.verbs.training", "train, validate and test a network (the verb when none is given)", True),
    "evaluate": Verb("deep_cnn.verbs.evaluation", "score a finished run again on one of its splits", True),
    "predict": Verb("deep_cnn.verbs.predicting", "a table of predictions for any images", True),
    "search": Verb(
        "deep_cnn.verbs.searching", "search hyper-parameters; takes the flags of training, fixed, and --space"
    ),
    "summary": Verb("deep_cnn.verbs.summarising", "a network's layers, shapes, parameters, multiply-adds and memory"),
    "check": Verb(
        "deep_cnn.verbs.checking", "look at data, network and machine before a run is queued; takes its flags"
    ),
    "compare": Verb("deep_cnn.verbs.comparing", "finished runs side by side, and their metric against their size"),
    "report": Verb("deep_cnn.verbs.reporting", "write a run's report.html again"),
    "verify_resume": Verb(
        "deep_cnn.verbs.verifying",
        "prove on this machine that a killed run goes on bit by bit (takes training's flags)",
        True,
    ),
    "explain": Verb("deep_cnn.verbs.explaining", "pictures of what raises or lowers a score or a class"),
    "export": Verb("deep_cnn.verbs.exporting", "the network as ONNX, TorchScript, PT2 or safetensors, checked"),
    "prefetch": Verb("deep_cnn.verbs.prefetching", "download a network's weights ahead, for machines without internet"),
}

USAGE = "python -m deep_cnn [VERB] [--flag=value ...]"
GROUPS = {
    "course": "The course's flags",
    "data": "Data",
    "model": "Network",
    "optimise": "Training",
    "machine": "Machine",
    "track": "Tracking",
    "verb": "Flags",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message.removeprefix('argument ')}; -h shows the flags")


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code. A user's mistake becomes one line on stderr and code 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(argv)
    except DeepCNNError as mistake:
        tell(mistake, heard=getattr(mistake, "heard", False))
        return mistake.exit_code


def _dispatch(argv: list[str]) -> int:
    verb = argv.pop(0) if argv and not argv[0].startswith("-") else "train"
    if verb not in VERBS:
        raise ConfigError(f"{verb}: no such verb; there are {', '.join(VERBS)}.{nearest(verb, VERBS)}")
    module = importlib.import_module(VERBS[verb].module)
    options_class = module.Options
    if any(word in ("-h", "--help", "--help_all", "--help-all") for word in argv):
        print(help_text(verb, options_class, everything=any("all" in word for word in argv)))
        return 0
    if place().count > 1 and not VERBS[verb].several:
        instead = "give --processes_per_trial, and " if verb == "search" else ""
        raise ConfigError(f"{verb}: is one process's work; {instead}start it without torchrun")
    given = parse_flags(argv, options_class)
    if issubclass(options_class, Config):
        return module.main(with_recipe(given, options_class))
    return module.main(options_class(**given))


def parse_flags(argv: list[str], options_class: type) -> dict[str, Any]:
    """The flags that were given, by name, with their types; those of --config under those of the command line."""
    parser = _Parser(prog="deep_cnn", usage=USAGE, add_help=False, allow_abbrev=False)
    fields = dataclasses.fields(options_class)
    for f in fields:
        meta: dict[str, Any] = {"dest": f.name, "default": argparse.SUPPRESS}
        if f.metadata["kind"] is bool:
            parser.add_argument(f"--{f.name}", nargs="?", const=True, type=_boolean, metavar="True|False", **meta)
            parser.add_argument(f"--no_{f.name}", action="store_false", **meta)
        else:
            action = {"": "store", "words": "extend"}.get(f.metadata["many"], "append")
            several = {"nargs": "+"} if f.metadata["many"] == "words" else {}
            parser.add_argument(f"--{f.name}", type=_typed(f.metadata["kind"]), action=action, **several, **meta)
    known = [f"--{f.name}" for f in fields]
    namespace, unknown = parser.parse_known_args([_underscored(word) for word in argv])
    if unknown:
        name = unknown[0].split("=")[0]
        hint = (
            nearest(name, known) if name.startswith("-") else " Flags are given as --name=value, several values as a,b."
        )
        if name in VERBS:
            hint = f" A verb comes first: python -m deep_cnn {name} ..."
        raise ConfigError(f"{name}: no such flag.{hint} -h shows the flags")
    given = vars(namespace)
    if given.get("config"):
        given = read_config_file(Path(given["config"]), options_class) | given
    many = {f.name: f.metadata["many"] for f in fields}
    return {name: _listed(value, many[name]) if many[name] else value for name, value in given.items()}


def read_config_file(path: Path, options_class: type) -> dict[str, Any]:
    """The flags in a YAML (or JSON) file, by name, with their types."""
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"--config={path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config={path}: is not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(values, dict):
        raise ConfigError(f"--config={path}: expected lines such as 'epochs: 20'")
    fields = {f.name: f for f in dataclasses.fields(options_class)}
    given = {}
    for key, value in values.items():
        name = str(key).lstrip("-").replace("-", "_")
        if name not in fields:
            raise ConfigError(f"--config={path}: {key}: no such flag.{nearest(name, fields)}")
        kind = fields[name].metadata["kind"]
        if value is None and fields[name].default is None:
            given[name] = None
            continue
        try:
            words = value if isinstance(value, list) else [value]
            typed = [_boolean(str(word)) if kind is bool else kind(word) for word in words]
        except (ValueError, TypeError, argparse.ArgumentTypeError):
            raise ConfigError(f"--config={path}: {key}: {value}: expected {_kind_name(kind)}") from None
        given[name] = typed if fields[name].metadata["many"] else typed[0]
    return given


def help_text(verb: str, options_class: type, everything: bool) -> str:
    """What -h (the course's and the most used flags) or --help_all prints."""
    lines = [f"usage: {USAGE if verb == 'train' else f'python -m deep_cnn {verb} [--flag=value ...]'}", ""]
    lines += [VERBS[verb].help[:1].upper() + VERBS[verb].help[1:] + "."]
    for group, title in GROUPS.items():
        fields = [f for f in dataclasses.fields(options_class) if f.metadata["group"] == group]
        fields = [f for f in fields if everything or group in ("course", "verb") or f.metadata["usual"]]
        if fields:
            lines += ["", f"{title}:"] + [_help_line(f) for f in fields]
    if verb == "train":
        lines += ["", "Verbs:"] + [f"  {name:<22}{row.help}" for name, row in VERBS.items()]
        lines += ["", "VERB -h shows the flags of a verb; --help_all shows every flag of this one."]
    return "\n".join(lines)


def _help_line(f: dataclasses.Field) -> str:
    choices = f" ({', '.join(f.metadata['choices'])})" if f.metadata["choices"] else ""
    default = "" if f.default in (None, (), "") else f" [{f.default}]"
    return f"  {'--' + f.name:<22}{f.metadata['help']}{choices}{default}"


def _underscored(word: str) -> str:
    """--batch-size=32 -> --batch_size=32; values keep their hyphens."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _boolean(word: str) -> bool:
    # bool("False") is True: the reason why hand-outs' --wandb=False turned tracking on
    values = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if word.lower() not in values:
        raise argparse.ArgumentTypeError(f"{word!r}: expected True or False")
    return values[word.lower()]


def _typed(kind: type) -> Callable[[str], Any]:
    """A converter whose error says what was expected in words."""

    def convert(word: str) -> Any:
        try:
            return kind(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{word!r}: expected {_kind_name(kind)}") from None

    return convert


def _listed(words: list[str], many: str) -> tuple[str, ...]:
    parts = [part for word in words for part in (word.split(",") if many == "comma" else [word])]
    return tuple(part.strip() for part in parts if part.strip())


def _kind_name(kind: type) -> str:
    return {int: "a whole number", float: "a number", bool: "True or False", rate: "a number or auto"}.get(kind, "text")
