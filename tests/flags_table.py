"""Print README's table of flags: python tests/flags_table.py"""

import dataclasses

from deep_cnn.cli.help import GROUPS
from deep_cnn.config.schema import Config

if __name__ == "__main__":
    print("| flag | default | |\n|---|---|---|")
    for group, title in GROUPS.items():
        fields = [f for f in dataclasses.fields(Config) if f.metadata["group"] == group]
        if fields:
            print(f"| **{title}** | | |")
        for f in fields:
            choices = f" ({', '.join(f.metadata['choices'])})" if f.metadata["choices"] else ""
            default = "" if f.default in (None, (), "") else f"`{f.default}`"
            print(f"| `--{f.name}` | {default} | {f.metadata['help']}{choices} |")
