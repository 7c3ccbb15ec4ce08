"""The command line: commands, flags, help. Imports neither torch nor the commands' own work, so that -h answers at once."""

import importlib
import os
import sys

from deep_cnn.cli.command_table import COMMANDS
from deep_cnn.cli.help import help_text
from deep_cnn.cli.parser import parse_flags
from deep_cnn.config.recipes import with_recipe
from deep_cnn.config.schema import Config
from deep_cnn.runtime import signals
from deep_cnn.runtime.errors import ConfigError, DeepCNNError, MachineError, machine_fault, nearest
from deep_cnn.runtime.launch import tell, this_rank


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code. A user's mistake becomes one line on stderr and code 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(argv)
    except DeepCNNError as mistake:
        tell(mistake, heard=getattr(mistake, "heard", False))
        return mistake.exit_code
    except BrokenPipeError:
        raise
    except (OSError, MemoryError, RuntimeError) as fault:
        # a file that cannot be read or written, or memory that ran out, where nobody could say more about it
        if (sentence := machine_fault(fault)) is None:
            raise
        tell(sentence)
        return MachineError.exit_code


def _dispatch(argv: list[str]) -> int:
    command = argv.pop(0) if argv and not argv[0].startswith("-") else "train"
    if command not in COMMANDS:
        known = ", ".join(COMMANDS)
        is_data = f" Did you mean --data_dir={command}?" if os.path.exists(command) else ""
        hint = nearest(command, COMMANDS) or is_data
        raise ConfigError(f"{command}: no such command; choose one of {known}.{hint}")
    with signals.caught():
        try:
            return _run(command, argv)
        except signals.Stopped as stop:  # in a command that saves nothing on its way
            tell(f"stopped by {signals.requested()}; run the same command again", heard=True)
            return stop.exit_code
        except KeyboardInterrupt:
            tell("stopped at once", heard=True)
            return signals.INTERRUPTED
        except DeepCNNError:
            raise
        except Exception:
            if signals.requested() is None:
                raise
            # what a library has made of the stop, in the middle of its import for example
            tell(f"stopped by {signals.requested()}; run the same command again", heard=True)
            return signals.Stopped.exit_code


def _run(command: str, argv: list[str]) -> int:
    module = importlib.import_module(f"deep_cnn.cli.commands.{command}")
    options_class = module.Options
    if any(word in ("-h", "--help", "--help_all", "--help-all") for word in argv):
        print(help_text(command, options_class, everything=any("all" in word for word in argv)))
        return 0
    if this_rank().world_size > 1 and not COMMANDS[command].several:
        instead = "use --processes_per_trial, and " if command == "search" else ""
        raise ConfigError(f"{command}: runs in one process; {instead}start it without torchrun")
    given = parse_flags(argv, options_class)
    _settle_environment()
    if issubclass(options_class, Config):
        return module.main(with_recipe(given, options_class))
    return module.main(options_class(**given))


def _settle_environment() -> None:
    """Variables that libraries read as they are imported, where a wrong value would be a traceback of theirs."""
    os.environ["MPLBACKEND"] = "agg"  # matplotlib's: every figure is a file
    epoch = os.environ.get("SOURCE_DATE_EPOCH")  # NumPy's and matplotlib's
    if epoch == "":
        del os.environ["SOURCE_DATE_EPOCH"]
    elif epoch is not None:
        try:
            int(epoch)
        except ValueError:
            raise ConfigError(f"SOURCE_DATE_EPOCH={epoch}: not a whole number of seconds; unset the variable") from None
