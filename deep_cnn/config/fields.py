"""One flag of the command line: its type, range and choices; and values that are written as text."""

import dataclasses
import math
from typing import Any

from deep_cnn.runtime.errors import ConfigError, nearest


def flag(
    default: Any,
    help: str,
    *,
    group: str,
    kind: type | None = None,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    usual: bool = False,
    identity: bool = True,
    many: str = "",
) -> Any:
    """A dataclass field that is a flag of the command line.

    Args:
        kind: type of its value; by default that of `default`.
        choices: the values it takes.
        low, high: bounds that are allowed; above, below: bounds that are not.
        usual: shown by -h, not only by --help_all.
        identity: whether another value makes another run.
        many: may be given several times; "comma": also as a comma-separated list; "repeat": not so; "words": also as
            several words.
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
    }
    return dataclasses.field(default=default, metadata=metadata)


def rate(text: str | float) -> float | str:
    """A learning rate, or 'auto'."""
    return "auto" if text == "auto" else float(text)


def check_ranges(options: Any) -> None:
    """Raise ConfigError for the first flag of a dataclass of flags whose value is out of its range or choices."""
    for f in dataclasses.fields(options):
        value, meta = getattr(options, f.name), f.metadata
        if value is None or (value == f.default and not meta["choices"]):
            continue
        if meta["choices"] and value not in meta["choices"]:
            known = ", ".join(meta["choices"])
            raise ConfigError(
                f"--{f.name}={value}: unknown; choose one of {known}.{nearest(str(value), meta['choices'])}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"--{f.name}={value}: expected a finite number")
        bounds = {
            "at least": (meta["low"], lambda v, bound: v >= bound),
            "at most": (meta["high"], lambda v, bound: v <= bound),
            "above": (meta["above"], lambda v, bound: v > bound),
            "below": (meta["below"], lambda v, bound: v < bound),
        }
        for word, (bound, holds) in bounds.items() if not isinstance(value, str) else ():
            if bound is not None and not holds(value, bound):
                raise ConfigError(f"--{f.name}={value}: out of range; it must be {word} {bound:g}")


def positive_integer(text: str) -> bool:
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
        raise ConfigError(f"--subset={text}: expected a number of images (5000) or a share of them (0.1)")
    return value


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
        raise ConfigError(f"--{name}={text}: expected a duration such as 23:30:00, 90s, 10m or 2h")
    return seconds
