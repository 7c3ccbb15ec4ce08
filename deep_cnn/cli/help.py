"""What -h and --help_all print."""

import dataclasses

from deep_cnn.cli.command_table import COMMANDS
from deep_cnn.cli.parser import USAGE

GROUPS = {
    "course": "The course's flags",
    "data": "Data",
    "model": "Network",
    "optimise": "Training",
    "machine": "Machine",
    "track": "Tracking",
    "command": "Flags",
}


def help_text(command: str, options_class: type, everything: bool) -> str:
    """What -h (the course's and the most used flags) or --help_all prints."""
    lines = [f"usage: {USAGE if command == 'train' else f'python -m deep_cnn {command} [--flag=value ...]'}", ""]
    lines += [COMMANDS[command].help[:1].upper() + COMMANDS[command].help[1:] + "."]
    for group, title in GROUPS.items():
        fields = [f for f in dataclasses.fields(options_class) if f.metadata["group"] == group]
        fields = [f for f in fields if everything or group in ("course", "command") or f.metadata["usual"]]
        if fields:
            lines += ["", f"{title}:"] + [_help_line(f) for f in fields]
    if command == "train":
        lines += ["", "Commands:"] + [f"  {name:<22}{row.help}" for name, row in COMMANDS.items()]
        lines += ["", "COMMAND -h shows the flags of a command, --help_all all flags of this one."]
    return "\n".join(lines)


def _help_line(f: dataclasses.Field) -> str:
    choices = f" ({', '.join(f.metadata['choices'])})" if f.metadata["choices"] else ""
    default = "" if f.default in (None, (), "") else f" [{f.default}]"
    return f"  {'--' + f.name:<22}{f.metadata['help']}{choices}{default}"
