"""One flag: its type, range and choices, whoever gives its value; and values that are written as text."""

import dataclasses
import datetime
import math
import numbers
import operator
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from deep_cnn.config.registries import known_as
from deep_cnn.runtime.errors import ConfigError, nearest

# bool("False") is True: the reason why hand-outs' --wandb=False turned tracking on
BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
LONGEST_TEXT = 4096  # characters of a value: the longest path on Linux
LONGEST_NAME = (
    150  # bytes of a run's name: its log, lock and temporary files add up to 100, and a file system takes 255
)
MOST = 10**9  # of a flag that is a whole number and names no bound of its own
MOST_WORKERS = 4096  # threads: sixteen for each core of the largest machines
PLACES = (
    "data_dir",
    "root_dir",
    "metadata",
    "weights",
    "cache",
    "config",
    "output",
    "images",
    "checkpoint",
    "path",
)  # files, folders
GRID = "grid:"
LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(m|km)", re.I)
LONGEST_DURATION = 10 * 365 * 86400.0  # seconds
# What other programs call our flags, where the letters are not alike
OTHERS_NAMES = {
    "learning_rate": "lr", "lrate": "lr", "bs": "batch_size", "batch": "batch_size", "b": "batch_size", "arch": "model",
    "network": "model", "backbone": "model", "num_workers": "workers", "j": "workers", "data": "data_dir", "data_path": "data_dir",
    "csv": "metadata", "table": "metadata", "labels": "metadata", "label": "target", "y": "target", "img_size": "image_size",
    "input_size": "image_size", "imgsz": "image_size", "resolution": "image_size", "pretrained": "weights", "opt": "optimizer",
    "lr_scheduler": "schedule", "sched": "schedule", "scheduler": "schedule", "amp": "precision", "output_dir": "root_dir",
    "output": "root_dir", "name": "run_name", "exp_name": "run_name", "num_epochs": "epochs", "n_epochs": "epochs", "val_size": "val_split",
    "test_size": "test_split", "random_seed": "seed", "smoothing": "label_smoothing", "wd": "weight_decay", "gpu": "device",
    "aug": "augment", "transforms": "augment", "folder": "data_dir",
}  # fmt: skip


def flag(
    default: Any,
    help: str,
    *,
    group: str,
    kind: Callable[..., Any] | None = None,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    usual: bool = False,
    identity: bool = True,
    many: str = "",
    bare: str | None = None,
) -> Any:
    """A dataclass field that is a flag of the command line.

    Args:
        kind: type of its value, or a function that makes it from text; by default the type of `default`.
        choices: the values it takes, such as the names of a registry ("timm/NAME" stands for any such name).
        low, high: bounds that are allowed; above, below: bounds that are not. A whole number is at most MOST by default.
        usual: shown by -h, not only by --help_all.
        identity: whether another value makes another run.
        many: may be given several times; "comma": also as a comma-separated list; "repeat": not so; "words": also as
            several words.
        bare: the value of the flag where none is given.
    """
    kind = kind or type(default)
    metadata = {
        "help": help,
        "group": group,
        "kind": kind,
        "choices": choices,
        "low": low,
        "high": MOST if kind is int and high is None else high,
        "above": above,
        "below": below,
        "usual": usual,
        "identity": identity,
        "many": many,
        "bare": bare,
    }
    return dataclasses.field(default=default, metadata=metadata)


def rate(text: str | float) -> float | str:
    """A learning rate, or 'auto'."""
    return "auto" if text == "auto" else float(text)


def count(text: str | int) -> int | str:
    """A whole number, or 'auto'."""
    return "auto" if text == "auto" else int(text)


def nearest_flag(word: str, flags: Iterable[str]) -> str:
    """ " Did you mean X?" for a word that is none of the flags, which may begin with "--"; "" when none is near."""
    ours, flags = OTHERS_NAMES.get(word.lstrip("-").replace("-", "_")), list(flags)
    return next((f" Did you mean {name}?" for name in (ours, f"--{ours}") if name in flags), "") or nearest(word, flags)


def wrong(flag: str, value: Any, problem: str, hint: str = "") -> ConfigError:
    """The mistake of a flag's value, to be raised: "--flag=value: problem; hint"."""
    if isinstance(value, tuple) and all(isinstance(word, str) for word in value):
        value = ",".join(value)
    # a value from YAML may be a nest of lists that has a million items as text
    text = str(value) if isinstance(value, (str, os.PathLike, numbers.Number)) or value is None else reprlib.repr(value)
    return ConfigError(f"--{flag}={text}: {problem}{'; ' if hint else ''}{hint}")


# ---- kinds of values that are more than text or a number; each is told what text, YAML or Python gives ----------------


def tta_level(text: str | bool) -> str:
    """A level of --tta; True means flip and False none, as when `predict` had a switch."""
    switch = BOOLEANS.get(str(text).lower())
    return str(text) if switch is None else "flip" if switch else "none"


def recalibration(text: str | bool) -> str:
    """A value of --recalibrate; True means linear and False none, as when it had one scale only."""
    switch = BOOLEANS.get(str(text).lower())
    return str(text) if switch is None else "linear" if switch else "none"


def on_off(text: str | bool) -> str:
    """Text, and on or off in any spelling of True and False."""
    switch = BOOLEANS.get(str(text).lower()) if str(text) not in ("0", "1") else None
    return str(text) if switch is None else "on" if switch else "off"


def worker_count(text: str) -> str:
    """auto, or a number of threads."""
    if text != "auto" and not (_whole(text) and int(text) <= MOST_WORKERS):
        raise ValueError(text)
    return text


def class_count(text: str) -> str:
    """all, or a number of classes."""
    if text != "all" and not positive_integer(text):
        raise ValueError(text)
    return text


def run_name(text: str) -> str:
    """A name that can be that of files and folders, on Windows too."""
    if set(text) & set('/\\:*?"<>|\n') or text in (".", "..") or not text.strip():
        raise ValueError(text)
    if len(text.encode()) > LONGEST_NAME:
        raise ValueError(text)
    return text


def sha256(text: str) -> str:
    """A SHA-256 digest, in small letters."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError(text)
    return text.lower()


def names_weights(source: str) -> bool:
    """Whether --weights is pretrained or a name that libraries give to weights (torchvision's IMAGENET1K_V2), not a file or a URL."""
    return source == "pretrained" or re.fullmatch(r"IMAGENET1K_\w+", source) is not None


EXPECTED: dict[Callable[..., Any], str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    rate: "a number or auto",
    count: "a whole number or auto",
    sha256: "64 hexadecimal digits, as sha256sum prints them",
    worker_count: f"auto or a whole number up to {MOST_WORKERS}",
    class_count: "all, or a number of classes from 1 on",
    run_name: f"letters, digits, '.', '_' and '-', at most {LONGEST_NAME} of them, since it names files",
}


# ---- the one place where values are converted and checked --------------------------------------------------------------


def converted(f: dataclasses.Field[Any], value: Any) -> Any:
    """The value of a flag in the flag's type, from the command line (text), a YAML file or Python.

    Raises:
        ConfigError: it is of another type: 1.5 epochs, a list where one value belongs, an empty text.
    """
    kind, many = f.metadata["kind"], f.metadata["many"]
    if value is None and f.default is None:
        return None
    if not many:
        return _one(f.name, kind, value)
    items = value if isinstance(value, (list, tuple)) else split_words(f.name, [_one(f.name, kind, value)], many)
    return tuple(_one(f.name, kind, item) for item in items)


def given_text(name: str, value: Any) -> str:
    """The text or path that an argument of a Python function gives, checked as a flag's value is."""
    return str(_one(name, str, value))


def split_words(name: str, words: Sequence[str], many: str) -> list[str]:
    """The values in the words that a flag was given, as the command line writes them; many: as of `flag`."""
    found = []
    for word in words:
        parts = [part.strip() for part in (word.split(",") if many == "comma" else [word]) if part.strip()]
        if not parts:  # of an unset variable of the shell, too: --checkpoint=$BEST must not mean the default
            raise wrong(name, word, "is empty", "give a value or omit the flag")
        found += parts
    return found


def _one(name: str, kind: Callable[..., Any], value: Any) -> Any:
    """One value in its type."""
    try:
        return _CONVERSIONS[kind](value) if kind in _CONVERSIONS else _of_kind(name, kind, value)
    except (ValueError, TypeError, OverflowError):
        raise wrong(name, value, f"expected {EXPECTED.get(kind, 'text')}") from None


def _of_kind(name: str, kind: Callable[..., Any], value: Any) -> Any:
    """The value of a kind that is text, or a function of it."""
    if isinstance(value, bool) and kind in (tta_level, on_off, recalibration):
        return kind(value)
    text = _text(value)
    if not text:
        raise wrong(name, "", "is empty", "give a value or omit the flag")
    if len(text) > LONGEST_TEXT:
        raise wrong(name, text, f"is too long ({len(text):,} characters; at most {LONGEST_TEXT:,})")
    if "\0" in text:
        raise wrong(name, text, "contains a null character")
    if text.startswith("~") and name in PLACES:
        try:
            Path(text).expanduser()
        except RuntimeError:
            raise wrong(name, text, "there is no such user", "write the whole path") from None
    try:
        text.encode()
    except UnicodeEncodeError:
        raise wrong(name, text, "is not UTF-8", "rename the file, or make a link to it with another name") from None
    return kind(text)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, os.PathLike, numbers.Real, datetime.date)):
        raise TypeError(value)
    text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    if not isinstance(text, str):
        raise TypeError(value)
    return text


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError(value)
    if not isinstance(value, str):
        return operator.index(value)  # NumPy's integers too, and no float
    if not re.fullmatch(r"[+-]?[0-9]+", value.strip()):
        raise ValueError(value)
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, numbers.Real)):
        raise TypeError(value)
    return float(value)


def _boolean(value: Any) -> bool:
    if type(value).__name__ in ("bool", "bool_"):  # Python's and NumPy's
        return bool(value)
    if not isinstance(value, (str, int)) or str(value).lower() not in BOOLEANS:
        raise ValueError(value)
    return BOOLEANS[str(value).lower()]


def _count(value: Any) -> int | str:
    return count(value if value == "auto" else _integer(value))


def _rate(value: Any) -> float | str:
    return rate(value if value == "auto" else _number(value))


_CONVERSIONS: dict[Callable[..., Any], Callable[[Any], Any]] = {
    int: _integer,
    float: _number,
    bool: _boolean,
    rate: _rate,
    count: _count,
}


def check_flags(options: Any) -> None:
    """Convert the values of a dataclass of flags in place; to be called in its __post_init__.

    Raises:
        ConfigError: the first value that is not of its flag's type, or out of its range or choices.
    """
    for f in dataclasses.fields(options):
        value = converted(f, getattr(options, f.name))
        object.__setattr__(options, f.name, value)  # the dataclass is frozen
        if value is None or value == f.default:
            continue
        for word in value if f.metadata["many"] else (value,):
            if reason := problem(f.metadata, word):
                raise wrong(f.name, word, reason)


def problem(metadata: Mapping[str, Any], value: Any) -> str:
    """What is wrong with a value, of its flag's kind, in view of the flag's choices and bounds; "" if it is allowed."""
    choices = metadata["choices"]
    if choices and known_as(value, choices) is None:
        return f"unknown; choose one of {', '.join(choices)}.{nearest(str(value), choices)}"
    if isinstance(value, str):
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return "expected a finite number"
    bounds = {
        "at least": (metadata["low"], operator.ge),
        "at most": (metadata["high"], operator.le),
        "above": (metadata["above"], operator.gt),
        "below": (metadata["below"], operator.lt),
    }
    for word, (bound, holds) in bounds.items():
        if bound is not None and not holds(value, bound):
            return f"out of range; it must be {word} {bound:g}"
    return ""


def positive_integer(text: str) -> bool:
    """Whether the text is a whole number from 1 on, in decimal digits."""
    return _whole(text) and int(text) > 0


def _whole(text: str) -> bool:
    return (
        text.isascii() and text.isdecimal() and len(text) < 19
    )  # "²" is a digit, but no number; 19 digits fit 64 bits


def parse_subset(text: str | None) -> int | float | None:
    """'5000' -> 5000 images, '0.1' -> a tenth; ConfigError otherwise."""
    if text is None:
        return None
    try:
        value = int(text) if _whole(text) else float(text)
    except ValueError:
        value = 0
    if not value > 0 or (isinstance(value, float) and value > 1):  # NaN is not above 0
        raise wrong("subset", text, "expected a number of images (5000) or a share of them (0.1)")
    return value


@overload
def parse_duration(name: str, text: str) -> float: ...
@overload
def parse_duration(name: str, text: None) -> None: ...
def parse_duration(name: str, text: str | None) -> float | None:
    """'HH:MM:SS', 'MM:SS', '90s', '10m' or '2h' -> seconds; ConfigError, naming the flag, otherwise."""
    if text is None:
        return None
    try:
        if ":" in text:
            seconds = 0.0
            for part in text.split(":"):
                if not float(part) >= 0:
                    raise ValueError(part)
                seconds = 60 * seconds + float(part)
        else:
            seconds = float(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]]
    except (ValueError, KeyError, IndexError):
        seconds = -1.0
    if not 0 < seconds <= LONGEST_DURATION:
        raise wrong(name, text, "expected a duration such as 23:30:00, 90s, 10m or 2h")
    return seconds


def parse_length(name: str, text: str) -> float:
    """'500m' or '1.5km' -> metres; ConfigError, naming the flag, otherwise."""
    if not (length := _metres(text)):
        raise wrong(name, text, "expected a length such as 500m or 1.5km")
    return length


def grid_size(group: str | None, name: str = "group") -> float | None:
    """The side of the cells that --group=grid:500m asks for, in metres; None where --group is a column."""
    if group is None or not group.startswith(GRID):
        return None
    if not (side := _metres(group.removeprefix(GRID))):
        raise wrong(name, group, "expected the side of the grid's cells, such as grid:500m or grid:1.5km")
    return side


def _metres(text: str) -> float:
    """0 for what is no length."""
    found = LENGTH.fullmatch(text.strip())
    return float(found[1]) * (1000 if found[2].lower() == "km" else 1) if found else 0.0
