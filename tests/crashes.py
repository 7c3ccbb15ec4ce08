"""Trainings that can be killed: real processes of `deep_cnn train`, each with a page of memory that tells where it is.

Importing torch takes seconds, so a server process imports it once and forks a child per training. It forks before any
parallel kernel has run: OpenMP's threads do not survive a fork. A child is otherwise what `python -m deep_cnn` is: the
signals' handlers are its own, and a SIGKILL ends it like any process.
"""

import contextlib
import itertools
import json
import mmap
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

STARTING, BETWEEN, TRAINING, VALIDATION, SAVING, ENDING = range(6)
PHASES = ("starting", "between", "training", "validation", "saving", "ending")
AIMED_AT = (
    TRAINING,
    SAVING,
    VALIDATION,
    TRAINING,
    SAVING,
    ENDING,
)  # by the clock alone, saving is short and would be hit rarely
PAGE = 4096


class Child:
    """A training that runs. phase and steps are those of this process, also after its death."""

    def __init__(
        self,
        server: "Server",
        flags: list[str],
        folder: Path,
        *,
        environment: dict[str, str] | None = None,
        file_size: int = 0,
        clock: bool = False,
    ):
        """file_size: the largest that it can write, in bytes; beyond, its disk is full. clock: its wall clock jumps."""
        folder.mkdir(parents=True, exist_ok=True)
        self.server, self.said = server, folder / "said.txt"
        self.page_file = folder / "page"
        self.page_file.write_bytes(bytes(PAGE))
        with open(self.page_file, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), PAGE)
        self.pid = server.ask(
            flags=flags,
            said=str(self.said),
            page=str(self.page_file),
            environment=environment or {},
            file_size=file_size,
            clock=clock,
        )

    @property
    def phase(self) -> int:
        return self.page[0]

    @property
    def steps(self) -> int:
        return int.from_bytes(self.page[8:16], "little")

    def wait_until(self, condition, timeout: float = 120.0) -> bool:
        """Poll; False when the process ended first."""
        end = time.monotonic() + timeout
        while not condition():
            if self.page[1]:  # it has ended by itself
                return False
            assert time.monotonic() < end, f"{PHASES[self.phase]} after {self.steps} steps: {self.words()}"
            time.sleep(0.0005)
        return True

    def kill(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def ended(self) -> int:
        """Wait for its end; the exit code, -9 after a SIGKILL."""
        return self.server.ask(wait=self.pid)

    def words(self) -> str:
        return self.said.read_text(encoding="utf-8", errors="replace") if self.said.exists() else ""


class Server:
    """The process that has imported torch and forks. folder: what its children's relative paths start from."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder

    def __enter__(self) -> "Server":
        environment = os.environ | {
            "NCPUS": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=self.folder,
        )
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        self.process.wait()

    def ask(self, **request) -> int:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def finish(self, flags: list[str], folder: Path) -> str:
        """Train to the end; what was said."""
        child = Child(self, flags, folder)
        assert child.ended() == 0, child.words()
        return child.words()


def torment(
    server: Server, flags: list[str], folder: Path, kills: int, seed: int, phases: tuple[int, ...] = AIMED_AT
) -> tuple[Counter, list[Path]]:
    """Kill a training of these flags until it has been killed so often and is finished; a new one where it finishes before.

    Every third time by SIGTERM, else by SIGKILL; each process has another number of --workers, and a cache or none.

    Returns:
        How many kills hit which phase, counted from the first step of a process on (its end has no step), by
        (phase, signal); and the folders in which trainings finished.
    """
    rng = random.Random(seed)
    hits, finished = Counter(), []
    while True:
        root, killed = folder / str(len(finished)), sum(hits.values())
        feeding = [f"--workers={rng.randint(1, 3)}", f"--cache={rng.choice(('off', str(folder / 'cache')))}"]
        child = Child(server, [*flags, *feeding, f"--root_dir={root}"], root)
        number = signal.SIGTERM if killed % 3 == 2 else signal.SIGKILL
        phase = phases[killed % len(phases)]
        latest = {TRAINING: 0.2, VALIDATION: 0.05}.get(phase, 0.03)
        # half of them at once: a delay may end in another phase, on a busy core all 20 missed training
        steps, delay = rng.randint(1, 4), max(0.0, rng.uniform(-latest, latest))
        due = killed < kills and child.wait_until(
            lambda child=child, phase=phase, steps=steps: (
                child.phase == phase and (child.steps >= steps or phase == ENDING)
            )
        )
        if due:
            time.sleep(delay)
            at = child.phase
            child.kill(number)
        code = child.ended()
        if due and code == (-signal.SIGKILL if number == signal.SIGKILL else 75):
            hits[PHASES[child.phase if number == signal.SIGKILL else at], signal.Signals(number).name] += 1
            continue
        assert code == 0, (code, child.words())
        finished.append(root)
        if killed >= kills:
            return hits, finished


# ---- the server process -------------------------------------------------------------------------------------------


def serve() -> None:
    import matplotlib.pyplot  # noqa: F401
    import pandas  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.covariance
    import sklearn.metrics  # noqa: F401
    import timm.data  # noqa: F401
    import torch._dynamo  # noqa: F401 - the meta device's kernels import it

    import deep_cnn.cli.commands.train
    import deep_cnn.reporting.report.page
    import deep_cnn.training.trainer  # noqa: F401

    with contextlib.suppress(ImportError):
        import optuna  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            print(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            train(request)
        print(pid, flush=True)


def train(request: dict) -> None:
    said = os.open(request["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(request["environment"])
    if request["file_size"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"],) * 2)
    if request["clock"]:
        jumps, clock = itertools.cycle((3e7, -3e7)), time.time
        time.time = lambda: clock() + next(jumps)
    with open(request["page"], "r+b") as file:
        page = mmap.mmap(file.fileno(), PAGE)
    tell_where(page, request["flags"][0])
    from deep_cnn.cli import main

    code = 1
    try:
        code = main.main(request["flags"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        page[1] = 1
        os._exit(code)


def tell_where(page: mmap.mmap, command: str) -> None:
    """Write phase and steps into the page at each change, from around the functions of the program."""
    from deep_cnn.models import checkpoint
    from deep_cnn.training import checkpointing, outputs, records, trainer

    def within(module, name: str, phase: int) -> None:
        original = getattr(module, name)

        def wrapped(*args, **kwargs):
            before, page[0] = page[0], phase
            try:
                return original(*args, **kwargs)
            finally:
                page[0] = before

        setattr(module, name, wrapped)

    within(trainer.Trainer, "fit", BETWEEN)
    within(trainer.Trainer, "train_epoch", TRAINING)
    within(trainer.Trainer, "validate_epoch", VALIDATION)
    within(trainer, "add_reference", ENDING)
    within(trainer.Trainer, "test", ENDING)
    within(checkpoint, "save", SAVING)
    within(checkpoint, "save_last", SAVING)
    within(outputs, "write_epochs", SAVING)
    within(outputs, "write_test", SAVING)
    if command == "search":
        from deep_cnn.tools.search import trials

        within(trials, "_tell", ENDING)
    if "DEEP_CNN_KILLS" not in os.environ:  # pictures and report take 2 s of each training, and are not compared
        outputs.write_plots = records.write_report_of = lambda *args, **kwargs: None
    after_step = checkpointing.Checkpointer.after_step

    def counted(self) -> None:
        page[8:16] = (int.from_bytes(page[8:16], "little") + 1).to_bytes(8, "little")
        after_step(self)

    checkpointing.Checkpointer.after_step = counted


if __name__ == "__main__":
    serve()
