"""How the tutorials' `%%bash` cells run while the site is built.

Jupyter's own `%%bash` shows the output in pieces of 100 bytes. Here it is one piece, and a command that fails ends the build.
conf.py copies this file to where IPython looks for code to run at its start.
"""

import subprocess

from IPython.core.magic import register_cell_magic


@register_cell_magic
def bash(line: str, cell: str) -> None:
    """Run the cell in bash, as Jupyter does."""
    words = ["bash", "-e", "-o", "pipefail", "-c", cell]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, end="")
    done.check_returncode()
