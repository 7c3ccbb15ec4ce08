"""python -m deep_cnn search: hyper-parameters by Optuna, in as many processes as there are."""

import sys
from dataclasses import dataclass

from deep_cnn.config.fields import flag, parse_duration
from deep_cnn.config.schema import Config
from deep_cnn.runtime import signals
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.extras import require_extra


@dataclass(frozen=True)
class Options(Config):
    """The flags of training, fixed in every trial (--run_name names the study), and the search's own."""

    space: tuple[str, ...] = flag(
        (),
        'what is searched: "lr=1e-5..1e-1:log" "model=resnet18,resnet50" "epochs=5..20"',
        group="verb",
        kind=str,
        many="words",
    )
    sampler: str = flag("tpe", "how points are chosen", group="verb", choices=("tpe", "random", "grid"))
    trials: int | None = flag(
        None, "how many trials in all, of all processes; 20, or the whole grid", group="verb", kind=int, low=1
    )
    budget: str | None = flag(
        None, "end this command after so long (1h), with what has been found by then", group="verb", kind=str
    )
    pruner: str = flag(
        "median", "ends trials that are worse than others", group="verb", choices=("median", "hyperband", "none")
    )
    metric: str | None = flag(
        None, "validation metric to search for; by default the one that chooses the best epoch", group="verb", kind=str
    )
    storage: str | None = flag(
        None, "any storage of Optuna, by its URL; by default a journal in outputs/search", group="verb", kind=str
    )
    processes_per_trial: int = flag(
        1, "train each trial in so many processes, by torchrun: one for each GPU", group="verb", low=1
    )
    final: bool = flag(False, "at the end train the best once more, and test it", group="verb")

    def __post_init__(self):
        super().__post_init__()
        parse_duration("budget", self.budget)
        if self.val_split == 0 and self.split_column is None:
            raise ConfigError("--val_split=0: a search needs a validation set")


def main(options: Options) -> int:
    require_extra("search", ("optuna",), "search")
    signals.catch_signals()  # before torch is imported, which takes seconds
    from deep_cnn.tools.search.searching import search

    try:
        search(options)
    except signals.Stopped as stop:
        print(f"deep_cnn: {stop}", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        print("deep_cnn: stopped at once; what was saved last is kept, the same command goes on", file=sys.stderr)
        return signals.INTERRUPTED
    return 0
