"""What -h and --help_all print."""

import dataclasses

from deep_cnn.cli.command_table import VERBS
from deep_cnn.cli.parser import USAGE

GROUPS = {
    "course": "The course's flags",
    "data": "Data",
    "model": "Network",
    "optimise": "Training",
    "machine": "Machine",
    "track": "Tracking",
    "verb": "Flags",
}


def help_text(verb: str, options_class: type, everything: bool) -> str:
    """What -h (the course's and the most used flags) or --help_all prints."""
    lines = [f"usage: {USAGE if verb == 'train' else f'python -m deep_cnn {verb} [--flag=value ...]'}", ""]
    lines += [VERBS[verb].help[:1].upper() + VERBS[verb].help[1:] + "."]
    for group, title in GROUPS.items():
        fields = [f for f in dataclasses.fields(options_class) if f.metadata["group"] == group]
        fields = [f for f in fields if everything or group in ("course", "verb") or f.metadata["usual"]]
        if fields:
            lines += ["", f"{title}:"] + [_help_line(f) for f in fields]
    if verb == "train":
        lines += ["", "Verbs:"] + [f"  {name:<22}{row.help}" for name, row in VERBS.items()]
        lines += ["", "VERB -h shows the flags of a verb; --help_all shows every flag of this one."]
    return "\n".join(lines)


def _help_line(f: dataclasses.Field) -> str:
    choices = f" ({', '.join(f.metadata['choices'])})" if f.metadata["choices"] else ""
    default = "" if f.default in (None, (), "") else f" [{f.default}]"
    return f"  {'--' + f.name:<22}{f.metadata['help']}{choices}{default}"
