"""The command line: verbs, flags, help. Imports neither torch nor the verbs' own work, so that -h answers at once."""

import importlib
import sys

from deep_cnn.cli.command_table import VERBS
from deep_cnn.cli.help import help_text
from deep_cnn.cli.parser import parse_flags
from deep_cnn.config.recipes import with_recipe
from deep_cnn.config.schema import Config
from deep_cnn.runtime.errors import ConfigError, DeepCNNError, nearest
from deep_cnn.runtime.launch import tell, this_rank


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code. A user's mistake becomes one line on stderr and code 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(argv)
    except DeepCNNError as mistake:
        tell(mistake, heard=getattr(mistake, "heard", False))
        return mistake.exit_code


def _dispatch(argv: list[str]) -> int:
    verb = argv.pop(0) if argv and not argv[0].startswith("-") else "train"
    if verb not in VERBS:
        raise ConfigError(f"{verb}: no such verb; there are {', '.join(VERBS)}.{nearest(verb, VERBS)}")
    module = importlib.import_module(VERBS[verb].module)
    options_class = module.Options
    if any(word in ("-h", "--help", "--help_all", "--help-all") for word in argv):
        print(help_text(verb, options_class, everything=any("all" in word for word in argv)))
        return 0
    if this_rank().world_size > 1 and not VERBS[verb].several:
        instead = "give --processes_per_trial, and " if verb == "search" else ""
        raise ConfigError(f"{verb}: is one process's work; {instead}start it without torchrun")
    given = parse_flags(argv, options_class)
    if issubclass(options_class, Config):
        return module.main(with_recipe(given, options_class))
    return module.main(options_class(**given))
