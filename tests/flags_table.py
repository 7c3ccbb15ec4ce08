"""The tables in README that come from the program: `python tests/flags_table.py` prints them, with --write it puts them in place."""

import dataclasses
import sys
from pathlib import Path

from deep_cnn.cli.help import GROUPS
from deep_cnn.config import registries
from deep_cnn.config.schema import Config

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- from here to the end mark: python tests/flags_table.py --write -->\n", "<!-- end -->\n"


def flags() -> str:
    """A row for each flag of a training."""
    lines = ["| flag | default | |", "|---|---|---|"]
    for group, title in GROUPS.items():
        fields = [f for f in dataclasses.fields(Config) if f.metadata["group"] == group]
        lines += [f"| **{title}** | | |"] * bool(fields)
        for f in fields:
            choices = f" ({', '.join(f.metadata['choices'])})" if f.metadata["choices"] else ""
            default = "" if f.default in (None, (), "") else f"`{f.default}`"
            lines.append(f"| `--{f.name}` | {default} | {f.metadata['help']}{choices} |")
    return "\n".join(lines)


def choices() -> str:
    """A row for each value of the flags whose values are rows of a registry."""
    lines = ["| flag | value | |", "|---|---|---|"]
    for flag, rows in (
        ("optimizer", registries.OPTIMIZERS),
        ("schedule", registries.SCHEDULES),
        ("loss", registries.LOSSES),
        ("augment", registries.AUGMENTATIONS),
        ("trackers", registries.TRACKERS),
    ):
        lines += [f"| `--{flag}` | `{row.name}` | {row.description} |" for row in rows.values()]
    presets = registries.AUGMENTATION_PRESETS.items()
    lines += [f"| `--augment` | `{name}` | preset: {', '.join(steps) or 'no change'} |" for name, steps in presets]
    return "\n".join(lines)


def tables() -> str:
    """Both, with the marks around them."""
    return f"{BEGIN}\n{flags()}\n\n{choices()}\n\n{END}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        text = README.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        README.write_text(before + tables() + after, encoding="utf-8")
    else:
        print(tables())
