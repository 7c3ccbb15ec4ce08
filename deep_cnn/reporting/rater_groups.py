"""Subgroups of raters in words, for the console."""

from functools import partial
from typing import Any

from deep_cnn.config.registries import METRICS, shown
from deep_cnn.reporting.result_text import signed
from deep_cnn.runtime.format import bracketed, plural
from deep_cnn.tasks.rater_groups import FEWEST

UNEQUAL = 1.5  # times as many ratings an image: their mean has two thirds of the noise variance


def rater_group_lines(found: dict[str, Any]) -> list[str]:
    """Metrics of each subgroup with their intervals, and the differences between subgroups.

    Args:
        found: "rater_groups" of external.json.
    """
    column, lines = found["column"], []
    for name, about in found["per_group"].items():
        between = about["intervals"]
        said = [
            f"{row.label} {shown(metric, about[metric])}{bracketed(between.get(metric), partial(shown, metric))}"
            for metric, row in METRICS.items()
            if metric in about and not isinstance(about[metric], dict)
        ]
        lines.append(
            f"{column} {name}: {plural(about['count'], 'image')}, {plural(about['ratings'], 'rating')}: {', '.join(said)}"
        )
    for pair in found["differences"]:
        lines += _difference_lines(column, pair)
    if left := found["left_out"]:
        few = ", ".join(f"{name} ({count:,})" for name, count in left.items())
        lines.append(f"{column}: subgroups with fewer than {FEWEST} images are left out: {few}")
    return lines


def _difference_lines(column: str, pair: dict[str, Any]) -> list[str]:
    what = f"{column} {pair['of']} minus {pair['less']}"
    if not pair["metrics"]:
        return [f"{what}: {plural(pair['count'], 'image')} that both have rated, too few for a difference"]
    said = [
        f"{row.label} {signed(metric, pair['metrics'][metric]['value'])}"
        f"{bracketed(pair['metrics'][metric]['interval'], partial(signed, metric))}"
        for metric, row in METRICS.items()
        if metric in pair["metrics"]
    ]
    lines = [f"{what}, on {plural(pair['count'], 'image')} that both have rated: {', '.join(said)}"]
    one, two = pair["ratings_per_image"]
    if max(one, two) > UNEQUAL * min(one, two):
        lines.append(
            f"{what}: {one:.3g} and {two:.3g} ratings an image. The mean of fewer ratings has more noise, so some of this difference "
            "is not about the network"
        )
    return lines
