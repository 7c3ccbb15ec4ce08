"""From words of the command line, and from a YAML file, to typed flags."""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from deep_cnn.cli.command_table import COMMANDS
from deep_cnn.config.fields import BOOLEANS, rate, wrong
from deep_cnn.runtime.errors import ConfigError, nearest

USAGE = "python -m deep_cnn [COMMAND] [--flag=value ...]"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message.removeprefix('argument ')}; -h lists the flags")


def parse_flags(argv: list[str], options_class: type) -> dict[str, Any]:
    """The flags that were given, by name, with their types; those of --config under those of the command line."""
    parser = _Parser(prog="deep_cnn", usage=USAGE, add_help=False, allow_abbrev=False)
    fields = dataclasses.fields(options_class)
    for f in fields:
        meta: dict[str, Any] = {"dest": f.name, "default": argparse.SUPPRESS}
        if f.metadata["kind"] is bool:
            parser.add_argument(
                f"--{f.name}", nargs="?", const=True, type=_typed(f.name, _boolean), metavar="True|False", **meta
            )
            parser.add_argument(f"--no_{f.name}", action="store_false", **meta)
        elif (bare := f.metadata["bare"]) is not None:
            parser.add_argument(f"--{f.name}", nargs="?", const=bare, type=_typed(f.name, f.metadata["kind"]), **meta)
            parser.add_argument(f"--no_{f.name}", action="store_const", const=f.metadata["kind"]("False"), **meta)
        else:
            action = {"": "store", "words": "extend"}.get(f.metadata["many"], "append")
            several: dict[str, Any] = {"nargs": "+"} if f.metadata["many"] == "words" else {}
            parser.add_argument(
                f"--{f.name}", type=_typed(f.name, f.metadata["kind"]), action=action, **several, **meta
            )
    known = [f"--{f.name}" for f in fields]
    namespace, unknown = parser.parse_known_args([_underscored(word) for word in argv])
    if unknown:
        name = unknown[0].split("=")[0]
        if name in COMMANDS:
            raise ConfigError(f"{name}: a command comes first; python -m deep_cnn {name} ...")
        hint = nearest(name, known) if name.startswith("-") else " Write flags as --name=value, several values as a,b."
        raise ConfigError(f"{name}: no such flag; -h lists the flags.{hint}")
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
        raise wrong("config", path, f"cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise wrong("config", path, f"is not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(values, dict):
        raise wrong("config", path, "expected lines such as 'epochs: 20'")
    fields = {f.name: f for f in dataclasses.fields(options_class)}
    given: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).lstrip("-").replace("-", "_")
        if name not in fields:
            raise wrong("config", path, f"{key} is no flag.{nearest(name, fields)}")
        kind = fields[name].metadata["kind"]
        if value is None and fields[name].default is None:
            given[name] = None
            continue
        try:
            words = value if isinstance(value, list) else [value]
            typed = [_boolean(str(word)) if kind is bool else kind(word) for word in words]
        except (ValueError, TypeError):
            raise wrong("config", path, f"{key}: {value}: expected {_kind_name(kind)}") from None
        given[name] = typed if fields[name].metadata["many"] else typed[0]
    return given


def _underscored(word: str) -> str:
    """--batch-size=32 -> --batch_size=32; values keep their hyphens."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _boolean(word: str) -> bool:
    if word.lower() not in BOOLEANS:
        raise ValueError(word)
    return BOOLEANS[word.lower()]


def _typed(name: str, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A converter of a flag's words whose error says what was expected."""

    def convert(word: str) -> Any:
        try:
            return kind(word)
        except ValueError:
            raise wrong(name, word, f"expected {_kind_name(kind)}") from None

    return convert


def _listed(words: list[str], many: str) -> tuple[str, ...]:
    parts = [part for word in words for part in (word.split(",") if many == "comma" else [word])]
    return tuple(part.strip() for part in parts if part.strip())


def _kind_name(kind: Callable[[str], Any]) -> str:
    names = {int: "a whole number", float: "a number", rate: "a number or auto"}
    return "True or False" if kind in (bool, _boolean) else names.get(kind, "text")
