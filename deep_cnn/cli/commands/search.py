"""python -m deep_cnn search: hyper-parameters by Optuna, in as many processes as there are."""

import sys
from dataclasses import dataclass

from deep_cnn.config.fields import flag, parse_duration, wrong
from deep_cnn.config.schema import Config
from deep_cnn.runtime import signals
from deep_cnn.runtime.extras import require_extra


@dataclass(frozen=True)
class Options(Config):
    """The flags of training, fixed in every trial (--run_name names the study), and the search's own."""

    space: tuple[str, ...] = flag(
        (),
        'flags to search over and their values: "lr=1e-5..1e-1:log" "model=resnet18,resnet50" "epochs=5..20"',
        group="command",
        kind=str,
        many="words",
    )
    sampler: str = flag(
        "tpe", "how the values of a trial are chosen", group="command", choices=("tpe", "random", "grid")
    )
    trials: int | None = flag(
        None,
        "total number of trials of all processes; by default 20, or the whole grid",
        group="command",
        kind=int,
        low=1,
    )
    budget: str | None = flag(
        None, "end the search after this time (1h) and show the best trial so far", group="command", kind=str
    )
    pruner: str = flag(
        "median", "how unpromising trials are ended early", group="command", choices=("median", "hyperband", "none")
    )
    metric: str | None = flag(
        None, "validation metric to optimise; by default the one that selects the best epoch", group="command", kind=str
    )
    storage: str | None = flag(
        None, "URL of an Optuna storage; by default a journal file in outputs/search", group="command", kind=str
    )
    processes_per_trial: int = flag(
        1, "number of processes (GPUs) that train one trial together, by torchrun", group="command", low=1
    )
    final: bool = flag(False, "at the end, train the best trial again and test it", group="command")

    def __post_init__(self):
        super().__post_init__()
        parse_duration("budget", self.budget)
        if self.folds is not None and self.fold is None:
            raise wrong("folds", self.folds, "a search chooses within one fold", "add --fold=1, then search each fold")
        if self.val_split == 0 and self.split_column is None:
            raise wrong("val_split", self.val_split, "a search needs a validation set", "use --val_split=0.15")


def main(options: Options) -> int:
    require_extra("search", ("optuna",), "search")
    from deep_cnn.tools.search.searching import search

    try:
        search(options)
    except signals.Stopped as stop:
        print(f"deep_cnn: {stop}", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        print("deep_cnn: stopped at once; the same command resumes from the last save", file=sys.stderr)
        return signals.INTERRUPTED
    return 0
