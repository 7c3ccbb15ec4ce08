"""Numbers for people: the one place that turns them into text. Files keep full precision."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from deep_cnn.runtime.errors import one_line

SINGULAR = {"have": "has", "are": "is"}


def readable(size: float) -> str:
    """12345678 -> '12.3 MB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if float(f"{size:.3g}") < 1000:  # 999.6 is "1 kB", not "1e+03 bytes"
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def duration(seconds: float) -> str:
    """75 -> '1m 15s'."""
    seconds = max(0, round(seconds))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {seconds % 60:02d}s" if minutes else f"{seconds}s"


def quantity(value: float, digits: int = 4) -> str:
    """250000 -> '250,000', 3.14159 -> '3.142'; a missing one, NaN, is 'unknown'."""
    if math.isnan(value):
        return "unknown"
    text = f"{value:.{digits}g}"
    return f"{value:,.0f}" if "e+" in text else text


def number(value: float, share: bool = False) -> str:
    """Three significant digits: 114406 -> '114,000', 0.36412 -> '0.364'; share: in percent, 0.9477 -> '94.8%'."""
    if share:
        return percent(value)
    if not math.isfinite(value) or abs(value) < 1000:
        return quantity(value, digits=3)
    return f"{round(value, 2 - math.floor(math.log10(abs(value)))):,.0f}"


def percent(share: float, decimals: int = 1) -> str:
    """0.8755 -> '87.5%'."""
    return f"{100 * share:.{decimals}f}%"


def bracketed(interval: Sequence[float] | None, write: Callable[[float], str]) -> str:
    """(0.1, 0.2) -> ' [0.1, 0.2]', behind a value; '' where there is no interval."""
    return f" [{write(interval[0])}, {write(interval[1])}]" if interval else ""


def short_count(number: float) -> str:
    """11173962 -> '11.2 M'."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if float(f"{number:.3g}") >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number:.3g}"


def plural(number: int, noun: str, verb: str = "") -> str:
    """(1, 'epoch') -> '1 epoch', (1200, 'epoch') -> '1,200 epochs'; with verb='have' '1 epoch has', '1,200 epochs have'."""
    said = f" {SINGULAR[verb] if number == 1 else verb}" if verb else ""
    return f"{number:,} {noun}{'' if number == 1 else 's'}{said}"


def some(names: Iterable[object], most: int = 3, between: str = ", ") -> str:
    """The first of some names: ["a", "b", "c", "d"] -> 'a, b, c, ...'; a line end in a name is escaped."""
    first = [one_line(str(name)) for name in islice(names, most + 1)]
    return between.join([*first[:most], "..."] if len(first) > most else first)


def listed(names: Sequence[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def cell(value: Any) -> str:
    """A value of any kind in a table: numbers as `quantity`, None as ''."""
    return "" if value is None else quantity(value) if isinstance(value, float) else str(value)
