"""Numbers for people: sizes, durations and quantities."""

import math


def readable(size: float) -> str:
    """12345678 -> '12 MB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
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


def quantity(value: float) -> str:
    """250000 -> '250,000', 3.14159 -> '3.142'; a missing one, NaN, is 'unknown'."""
    if math.isnan(value):
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
