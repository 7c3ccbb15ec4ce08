"""A trial that several processes train together: torchrun starts them, and the first of them reports to the study.

`python -m deep_cnn.tools.search.several SETTINGS.json` is one of these processes.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import optuna

from deep_cnn.config.fields import parse_duration
from deep_cnn.config.schema import Config
from deep_cnn.runtime import console, distributed, errors, signals
from deep_cnn.runtime.atomic import read_json, write_json
from deep_cnn.runtime.errors import MachineError
from deep_cnn.runtime.launch import plain_environment, tell
from deep_cnn.runtime.lock import RunLock
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.signals import Stopped
from deep_cnn.runtime.walltime import since_start
from deep_cnn.tools.search.study import Claim, make_pruner, storage_of
from deep_cnn.tools.search.trials import Pruned, reporter
from deep_cnn.training.run import RunPlace
from deep_cnn.training.trainer import Hooks, train

POLL = 0.2  # seconds between two looks whether the trial is done, or a signal has come


@dataclass(frozen=True)
class Launch:
    """What a trial's processes need beside its flags. storage: as --storage; epochs: of the longest trial, for the pruner."""

    processes: int
    study: str
    folder: str
    storage: str | None
    pruner: str
    epochs: int
    metric: str

    def train(self, claim: Claim, config: Config) -> None:
        """The trial, to its end, in processes of its own; raises what its first process would have raised here."""
        settings, outcome = (claim.files.results / name for name in ("processes.json", "outcome.json"))
        outcome.unlink(missing_ok=True)
        if config.max_time:  # which they count from their own start
            left = parse_duration("max_time", config.max_time) - since_start()
            config = replace(config, max_time=f"{max(1.0, left)}s")
        values = {
            "launch": asdict(self),
            "config": config.to_dict(),
            "trial": claim.trial._trial_id,
            "lock": claim.lock.me,
        }
        write_json(settings, values)
        launch_and_wait(self.processes, ["deep_cnn.tools.search.several", str(settings)])
        found = read_json(outcome)
        if found is None and (reason := signals.requested()):
            raise signals.before_the_first_step(reason)
        if found is None:
            raise MachineError(f"the processes of trial {claim.trial.number} died; see their messages above")
        raise_again(found["kind"], found["said"])

    def final(self, words: list[str]) -> int:
        """A training of its own, by its flags; its exit code."""
        return launch_and_wait(self.processes, ["deep_cnn", *words])


def launch_and_wait(count: int, module: list[str]) -> int:
    """torchrun with so many processes of a module, to its end; a signal is passed on. Returns its exit code."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [*torchrun, "-m", *module]
    with signals.between_steps(), contextlib.ExitStack() as stack:
        child = subprocess.Popen(command, env=plain_environment())
        stack.callback(child.wait)
        stack.callback(child.terminate)  # if this process ends first
        asked = False
        while child.poll() is None:
            if signals.requested() and not asked:
                asked = True
                child.terminate()  # torchrun tells its processes, which save and end
            time.sleep(POLL)
    return child.returncode


def raise_again(outcome: str, said: str) -> None:
    """The end of a trial, by the name of the exception that it was in another process; nothing when it was no exception."""
    if outcome == "done":
        return
    if outcome in ("Pruned", "Stopped"):
        raise {"Pruned": Pruned, "Stopped": Stopped}[outcome](said)
    raise getattr(errors, outcome, MachineError)(said)


def main(settings: str) -> int:
    """Train as one of a trial's processes, by the file that `Launch.train` wrote; returns the exit code."""
    signals.catch_signals()
    values = json.loads(Path(settings).read_text(encoding="utf-8"))
    launch, config = Launch(**values["launch"]), Config.from_dict(values["config"])
    console.console_only()
    try:
        with distributed.process_group(config.device, parse_duration("peer_timeout", config.peer_timeout)):
            train_together(launch, config, values)
    except Stopped:  # before the trial began
        return 0
    except errors.LostPeer as lost:
        tell(lost)
        os._exit(lost.exit_code)  # what still waits for that process must not hold up the end
    return 0


def train_together(launch: Launch, config: Config, values: dict[str, Any]) -> None:
    """The trial, by one of its processes; how it ended goes into outcome.json."""
    files = RunFiles(Path(launch.folder), config.run_name)
    lock = RunLock(files.lock, values["lock"])  # held by the process that started these
    after_epoch = reporter(open_trial(launch, values["trial"]), launch.metric) if distributed.is_main() else _never
    with console.quiet_console(), distributed.entered_by_main(console.opened(files.log)):
        outcome, said = "done", ""
        try:
            train(config, Hooks(after_epoch, test=False), place=RunPlace(files, lock))
        except errors.LostPeer:
            raise
        except (Stopped, errors.DeepCNNError) as end:
            outcome, said = type(end).__name__, str(end)
        if distributed.is_main():
            write_json(files.results / "outcome.json", {"kind": outcome, "said": said})


def _never(row: dict[str, Any]) -> None:
    raise AssertionError("the first process alone reports")


def open_trial(launch: Launch, trial: int) -> optuna.Trial:
    """The trial in the study, by Optuna's id, to report to."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(
        study_name=launch.study,
        storage=storage_of(Path(launch.folder), launch.storage),
        pruner=make_pruner(launch.pruner, launch.epochs),
    )
    return optuna.Trial(study, trial)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
