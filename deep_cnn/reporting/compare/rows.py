"""The table of a comparison: as text for the console, and as a CSV with every metric."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from deep_cnn.config.identity import flag_text
from deep_cnn.config.registries import metric_row, shown
from deep_cnn.reporting.compare.runs import Row, Value, value
from deep_cnn.runtime.format import bracketed, duration, short_count
from deep_cnn.tasks.differences import Difference, holm

NUMBERS = (2, 3, 4, 5)  # columns of the table with numbers of one kind
TOLD_APART = {"seed", "model", "epochs"}  # flags that have a column of their own


def table_cells(
    rows: Sequence[Row], metric: str, *, differences: dict[str, Difference | str], test_sets: dict[str, str]
) -> list[list[str]]:
    """The table as text: its header, and a line for each row.

    Args:
        differences: row's name -> what its paired comparison found; {} where none was asked for.
        test_sets: `Row.test_set` -> a letter, where not all rows were tested on the same images; else {}.
    """
    flags = differing_flags(rows)
    header = [
        "run",
        "model",
        "parameters",
        "multiply-adds",
        "epochs",
        "time",
        f"validation {metric_label(metric)}",
        f"test {metric_label(metric)}",
    ]
    p_values = adjusted(differences)
    p_header = [f"p (Holm, of {len(p_values)})" if len(p_values) > 1 else "p"] * bool(p_values)
    header += (
        ["difference"] * bool(differences) + p_header + ["test images"] * bool(test_sets) + ["flags"] * bool(flags)
    )
    lines = [header]
    for row in rows:
        size = row.first.size
        cells = [
            row.name,
            row.first.model,
            f"{size.parameters:,}" if size else "-",
            short_count(size.multiply_adds) if size else "-",
            _range([len(run.record.history) for run in row.runs]),
            duration(sum(run.seconds for run in row.runs) / len(row.runs)),
            with_spread(metric, value(row, "validation", metric)),
            _tested(row, metric),
        ]
        cells += [_difference(metric, differences[row.name])] if differences else []
        cells += [shown_p(p_values.get(row.name))] if p_values else []
        cells += [",".join(sorted({test_sets[run.test_set] for run in row.runs}))] if test_sets else []
        cells += [flags[row.name]] if flags else []
        lines.append(cells)
    return lines


def aligned(lines: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Columns as wide as their longest cell; right: those whose cells end at the same place."""
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return [
        "  ".join(
            cell.rjust(w) if k in right else cell.ljust(w) for k, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def csv_rows(
    rows: Sequence[Row], metric: str, data: str, differences: dict[str, Difference | str], baseline: str = ""
) -> list[dict[str, Any]]:
    """The same with plain numbers: metrics as fractions or in their own units, times in seconds, all metrics.

    baseline: to what the differences are.
    """
    found = []
    flags, p_values = differing_flags(rows), adjusted(differences)
    for row in rows:
        run, tested = row.first, row.first.record.test or {}
        cells = {
            "data": data,
            "run": row.name,
            "n": len(row.runs),
            "seeds": " ".join(str(r.seed) for r in row.runs),
            "model": run.model,
            "parameters": run.size.parameters if run.size else None,
            "multiply_adds": run.size.multiply_adds if run.size else None,
            "epochs": _mean([len(r.record.history) for r in row.runs]),
            "seconds": _mean([r.seconds for r in row.runs]),
            "machine": run.machine,
            "test_images": tested.get("count"),
            "flags": flags.get(row.name),
        }
        for split, short in (("validation", "val"), ("test", "test")):
            for name in run.metrics():
                if split == "validation" and name.startswith("tta/"):
                    continue
                measured = value(row, split, name)
                cells[f"{short}_{name}"] = measured.mean if measured else None
                cells[f"{short}_{name}_sd"] = measured.spread if measured else None
                if split == "test":
                    interval = run.interval(name) if len(row.runs) == 1 else None
                    cells[f"test_{name}_low"], cells[f"test_{name}_high"] = interval or (None, None)
        if differences:
            against = differences[row.name]
            known = against if isinstance(against, Difference) else None
            cells[f"difference_{metric}"] = known.value if known else None
            low, high = (known and known.interval) or (None, None)
            cells |= {f"difference_{metric}_low": low, f"difference_{metric}_high": high}
            cells[f"difference_{metric}_p"] = known.p if known else None
            cells[f"difference_{metric}_p_holm"] = p_values.get(row.name)
            cells[f"difference_{metric}_detectable"] = known.detectable if known else None
            cells[f"difference_{metric}_over_seeds"] = known.seeds if known else None
            cells[f"difference_{metric}_to"] = baseline
        found.append(cells)
    return found


def adjusted(differences: dict[str, Difference | str]) -> dict[str, float]:
    """Row's name -> its p value, by Holm's method where there are several comparisons."""
    p = {name: d.p for name, d in differences.items() if isinstance(d, Difference) and d.p is not None}
    return dict(zip(p, holm(list(p.values())), strict=True))


def differing_flags(rows: Sequence[Row]) -> dict[str, str]:
    """Row's name -> the flags in which it differs from other rows, 'lr=0.01 ema=0.999'; {} where none differs."""
    names = dict.fromkeys(name for row in rows for name in row.first.flags if name not in TOLD_APART)
    differing = [name for name in names if len({repr(row.first.flags.get(name)) for row in rows}) > 1]
    return (
        {row.name: " ".join(f"{n}={flag_text(row.first.flags.get(n))}" for n in differing) for row in rows}
        if differing
        else {}
    )


def metric_label(metric: str) -> str:
    """'top1' -> 'top-1', 'safety/mae' -> 'safety MAE'."""
    return f"{metric.rpartition('/')[0]} {metric_row(metric).label}".strip()


def with_spread(metric: str, measured: Value | None) -> str:
    """'46.43%', or of several seeds 'mean ± standard deviation (n=3)'."""
    if measured is None:
        return "-"
    text = _number(metric, measured.mean)
    return text if measured.spread is None else f"{text} ± {_number(metric, measured.spread)} (n={measured.n})"


def _tested(row: Row, metric: str) -> str:
    interval = row.first.interval(metric) if len(row.runs) == 1 else None
    return with_spread(metric, value(row, "test", metric)) + bracketed(interval, partial(_number, metric))


def _difference(metric: str, found: Difference | str) -> str:
    if isinstance(found, str):
        return found
    ends = [f"{'+' if v > 0 else ''}{_number(metric, v)}" for v in (found.value, *(found.interval or ()))]
    return f"{ends[0]} [{ends[1]}, {ends[2]}]" if found.interval else ends[0]


def shown_difference(metric: str, value: float) -> str:
    """Of two metrics, '2.1 points' where they are in percent."""
    return f"{100 * value:.1f} points" if metric_row(metric).share else shown(metric, value)


def shown_p(p: float | None) -> str:
    """'0.012', or '< 0.001'; empty where there is none."""
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _number(metric: str, number: float) -> str:
    return shown(metric, number)


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"


def _mean(numbers: Sequence[float]) -> float:
    mean = sum(numbers) / len(numbers)
    return int(mean) if mean == int(mean) else mean
