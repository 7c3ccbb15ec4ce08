"""From words of the command line, and from a YAML file, to typed flags."""

import argparse
import codecs
import dataclasses
import functools
import os
from pathlib import Path
from typing import Any, NoReturn

from deep_cnn.cli.command_table import COMMANDS
from deep_cnn.config.fields import converted, nearest_flag, split_words, wrong
from deep_cnn.runtime.errors import ConfigError

LARGEST_CONFIG = 1 << 20  # bytes
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
            parser.add_argument(f"--{f.name}", nargs="?", const=True, metavar="True|False", **meta)
            parser.add_argument(f"--no_{f.name}", action="store_false", **meta)
        elif (bare := f.metadata["bare"]) is not None:
            parser.add_argument(f"--{f.name}", nargs="?", const=bare, **meta)
            parser.add_argument(f"--no_{f.name}", action="store_const", const=f.metadata["kind"]("False"), **meta)
        else:
            action = {"": "store", "words": "extend"}.get(f.metadata["many"], "append")
            several: dict[str, Any] = {"nargs": "+"} if f.metadata["many"] == "words" else {}
            parser.add_argument(f"--{f.name}", action=action, **several, **meta)
    known = [f"--{f.name}" for f in fields]
    namespace, unknown = parser.parse_known_args([_underscored(word) for word in argv])
    if unknown:
        name = unknown[0].split("=")[0]
        if name in COMMANDS:
            raise ConfigError(f"{name}: a command comes first; python -m deep_cnn {name} ...")
        raise ConfigError(f"{name}: no such flag; -h lists the flags.{_hint(name, known)}")
    words = vars(namespace)
    given = {f.name: _from_words(f, words[f.name]) for f in fields if f.name in words}
    if given.get("config"):
        given = read_config_file(Path(given["config"]), options_class) | given
    return given


def _hint(word: str, known: list[str]) -> str:
    """What was meant by a word that is no flag: images without the name of their flag, or a flag that was misspelt."""
    takes_files = next((flag for flag in ("--images", "--data_dir") if flag in known), None)
    if takes_files and (os.path.exists(word) or (word == "-" and takes_files == "--images")):
        return f" Did you mean {takes_files}={word}?"
    return nearest_flag(word, known) if word.startswith("-") else " Write flags as --name=value, several values as a,b."


def _from_words(f: dataclasses.Field[Any], words: Any) -> Any:
    """The value of a flag from what argparse has collected: a word, or a list of words of a flag that takes several."""
    many = f.metadata["many"]
    return converted(f, tuple(split_words(f.name, words, many)) if many else words)


def read_config_file(path: Path, options_class: type) -> dict[str, Any]:
    """The flags in a YAML (or JSON) file, by name, with their types."""
    import yaml

    try:
        size = path.stat().st_size
        text = path.read_bytes() if path.is_file() and size <= LARGEST_CONFIG else None  # a pipe would be waited for
    except OSError as error:
        raise wrong("config", path, f"cannot be read ({error.strerror})") from None
    if text is None:
        raise wrong("config", path, "is not a file of flags", "expected lines such as 'epochs: 20'")
    try:
        encoding = "utf-16" if text[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"  # PowerShell's >
        values = yaml.load(text.decode(encoding), Loader=_text_loader()) or {}
    except RecursionError:
        raise wrong("config", path, "is not YAML of flags (nested too deeply)") from None
    except (
        Exception
    ) as error:  # besides YAMLError whatever its constructors raise: a date of the month 13 is a ValueError
        raise wrong("config", path, f"is not YAML ({(str(error) or type(error).__name__).splitlines()[0]})") from None
    if not isinstance(values, dict):
        raise wrong("config", path, "expected lines such as 'epochs: 20'")
    fields = {f.name: f for f in dataclasses.fields(options_class) if f.name != "config"}
    given: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).lstrip("-").replace("-", "_")
        if name not in fields:
            raise wrong("config", path, f"{key} is no flag.{nearest_flag(name, fields)}")
        if name in given:
            raise wrong("config", path, f"{name} is given twice")
        try:
            given[name] = converted(fields[name], value)
        except ConfigError as mistake:
            raise wrong("config", path, str(mistake).removeprefix("--")) from None
    return given


@functools.cache
def _text_loader() -> type:
    """A loader of YAML that keeps values as text, as the command line gives them: 010 is not 8, 12:30 not 750, no not False.

    Only null stays what it is. A key that comes twice is a mistake.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
            if twice := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
                raise yaml.YAMLError(f"{twice[0]} is given twice")
            return super().construct_mapping(node, deep)

    Loader.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in found if tag.endswith((":null", ":merge"))]
        for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader


def _underscored(word: str) -> str:
    """--batch-size=32 -> --batch_size=32; values keep their hyphens."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"
