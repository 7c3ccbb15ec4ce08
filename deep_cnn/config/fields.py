"""One flag of the command line: its type, range and choices; and values that are written as text."""

import dataclasses
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, overload

from deep_cnn.config.registries import known_as
from deep_cnn.runtime.errors import ConfigError, nearest

# bool("False") is True: the reason why hand-outs' --wandb=False turned tracking on
BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


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
        low, high: bounds that are allowed; above, below: bounds that are not.
        usual: shown by -h, not only by --help_all.
        identity: whether another value makes another run.
        many: may be given several times; "comma": also as a comma-separated list; "repeat": not so; "words": also as
            several words.
        bare: the value of the flag where none is given.
    """
    metadata = {
        "help": help,
        "group": group,
        "kind": kind or type(default),
        "choices": choices,
        "low": low,
        "high": high,
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


def wrong(flag: str, value: Any, problem: str, hint: str = "") -> ConfigError:
    """The mistake of a flag's value, to be raised: "--flag=value: problem; hint"."""
    return ConfigError(f"--{flag}={value}: {problem}{'; ' if hint else ''}{hint}")


def tta_level(text: str | bool) -> str:
    """A level of --tta; True means flip and False none, as when `predict` had a switch."""
    switch = BOOLEANS.get(str(text).lower())
    return str(text) if switch is None else "flip" if switch else "none"


def check_ranges(options: Any) -> None:
    """Raise ConfigError for the first flag of a dataclass of flags whose value is out of its range or choices."""
    for f in dataclasses.fields(options):
        value = getattr(options, f.name)
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
    return text.isdecimal() and int(text) > 0  # "²" is a digit, but no number


def parse_subset(text: str | None) -> int | float | None:
    """'5000' -> 5000 images, '0.1' -> a tenth; ConfigError otherwise."""
    if text is None:
        return None
    try:
        value = int(text) if str(text).isdecimal() else float(text)
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
                seconds = 60 * seconds + float(part)
        else:
            seconds = float(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]]
    except (ValueError, KeyError, IndexError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise wrong(name, text, "expected a duration such as 23:30:00, 90s, 10m or 2h")
    return seconds
