"""Where the time of a run went, and what would make it faster: --profile."""

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from deep_cnn.data.feed import Batch
from deep_cnn.runtime.atomic import write_json

log = logging.getLogger(__name__)

PHASES = {  # in the order of the table; each second of the run is counted in one of them
    "start": "starting (data, network)",
    "features": "computing features",
    "waiting": "waiting for data",
    "step": "training steps",
    "validation": "validation",
    "test": "test and report",
    "saving": "saving",
    "rest": "everything else",
}


def null_timer(name: str) -> contextlib.AbstractContextManager[None]:
    """Takes no note of any time."""
    return contextlib.nullcontext()


class Silent:
    """The same interface where nobody asked: costs nothing."""

    def timer(self, name: str) -> contextlib.AbstractContextManager[None]:
        """A phase, by its name in PHASES, for as long as it is open."""
        return contextlib.nullcontext()

    cuda_timer = timer

    def batches(self, batches: Iterable[Batch]) -> Iterable[Batch]:
        """The same batches."""
        return batches

    def epoch(self) -> None:
        """Call at the end of each epoch."""

    def report(self, facts: "Facts", path: Path) -> None:
        """Call at the end: where the time went, to the console and into a file."""


class Profile(Silent):
    """Seconds by phase. A phase within another one is taken out of it, so that their sum is the whole time.

    On a GPU the host runs ahead, and its own clock says nothing about what the GPU waits for. There, waiting is read from
    pairs of events around each batch: the time between the end of one step's kernels and the start of the next one's.
    Nothing is synchronised but at the end of an epoch.
    """

    def __init__(self, device: torch.device, started: float | None = None):
        self.device, self.on_gpu = device, device.type == "cuda"
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.copied = 0.0  # seconds of copies that ran beside the steps, on a stream of their own
        self.epochs: list[Epoch] = []
        self._open = ["start"]
        self._since = time.monotonic() if started is None else started
        self._pairs: dict[str, list[tuple]] = {"waiting": [], "copying": []}
        self._before = dict(self.seconds)
        self._images = 0

    @contextlib.contextmanager
    def timer(self, name: str) -> Iterator[None]:
        """A phase; the time that it takes out of another one is that one's no more."""
        self._turn()
        self._open[0] = "rest"  # what is outside of any phase, once the first has begun
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    @contextlib.contextmanager
    def cuda_timer(self, name: str) -> Iterator[None]:
        """Work on the current stream of a GPU, beside the step."""
        if not self.on_gpu:
            yield
            return
        begin = torch.cuda.current_stream(self.device).record_event(torch.cuda.Event(enable_timing=True))
        yield
        end = torch.cuda.current_stream(self.device).record_event(torch.cuda.Event(enable_timing=True))
        self._pairs[name].append((begin, end))

    def batches(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; the time that each is waited for is taken note of."""
        iterator = iter(batches)
        while True:
            with self.timer("waiting"), self.cuda_timer("waiting"):
                batch = next(iterator, None)
            if batch is None:
                return
            self._images += len(batch.indices)
            yield batch

    def epoch(self) -> None:
        """An epoch of training is over."""
        self._turn()
        if self.on_gpu:
            torch.cuda.synchronize(self.device)
            waited, copied = (sum(a.elapsed_time(b) for a, b in self._pairs[n]) / 1000 for n in ("waiting", "copying"))
            self._pairs = {"waiting": [], "copying": []}
            both = sum(self.seconds[n] - self._before[n] for n in ("waiting", "step"))
            waited = min(waited, both)
            self.seconds["waiting"] = self._before["waiting"] + waited
            self.seconds["step"] = self._before["step"] + both - waited
            self.copied += copied
        waiting, step = (self.seconds[name] - self._before[name] for name in ("waiting", "step"))
        self.epochs.append(Epoch(self._images, waiting, step))
        self._images = 0
        self._before = dict(self.seconds)

    def report(self, facts: "Facts", path: Path) -> None:
        """The table, to the log; the same as numbers to `path`."""
        self._turn()
        total = sum(self.seconds.values())
        log.info("Time spent:")
        for name, title in PHASES.items():
            if self.seconds[name] > 0:
                log.info("  %-26s %9.2f s  %5.1f%%", title, self.seconds[name], 100 * self.seconds[name] / total)
        if self.on_gpu:
            log.info("  %-26s %9.2f s  (in parallel with the steps)", "copying to the GPU", self.copied)
        first, later = self.rates()
        if first is not None:
            text = "" if later is None else f", later epochs {later:.1f} (median)"
            log.info("  training images/s: first epoch %.1f%s", first, text)
        log.info("%s", advice(self.seconds, self.epochs, facts))
        write_json(
            path,
            {
                "seconds": self.seconds,
                "copying": self.copied,
                "images_per_second": self.rates(),
                "epochs": [vars(epoch) for epoch in self.epochs],
            },
        )

    def rates(self) -> tuple[float | None, float | None]:
        """Images a second of the first epoch, and the median of the later ones."""
        rates = [epoch.images / max(1e-9, epoch.waiting + epoch.step) for epoch in self.epochs]
        return (rates[0] if rates else None), (float(np.median(rates[1:])) if len(rates) > 1 else None)

    def _turn(self) -> None:
        now = time.monotonic()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now


SILENT = Silent()


@dataclass(frozen=True)
class Epoch:
    """What an epoch of training took: images, seconds of waiting for data, seconds of steps."""

    images: int
    waiting: float
    step: float


@dataclass(frozen=True)
class Facts:
    """What the advice depends on, apart from the times."""

    device: str = "cpu"
    precision: str = "fp32"
    reduced: str = ""  # the precision that this machine computes faster in than fp32, if any
    compiled: bool = False
    deterministic: bool = False
    cached: bool = True
    workers: int = 1
    cores: int = 1
    frozen: bool = False
    features: bool = False
    augment: str = "none"


def advice(seconds: dict[str, float], epochs: list[Epoch], facts: Facts) -> str:
    """One line: what limits this run, and which flag would help."""
    train = seconds["waiting"] + seconds["step"]
    parts = {"data": seconds["waiting"], "step": seconds["step"]}
    parts |= {name: seconds[name] for name in ("features", "validation", "saving", "start", "test", "rest")}
    later = epochs[1:] or epochs
    late_waiting = sum(e.waiting for e in later) / max(1e-9, sum(e.waiting + e.step for e in later))
    if seconds["waiting"] > 0.1 * train and seconds["waiting"] > 0.1 * sum(seconds.values()):
        return _about_data(late_waiting, len(epochs), facts)
    limit = max(parts, key=parts.__getitem__)
    if limit == "features":
        return "Limited by computing the features once: more --epochs take almost no extra time."
    if limit == "validation":
        return "Limited by validation: fewer validation images (--val_split) would help, unless they have their own folder."
    if limit == "saving":
        return "Limited by saving: a faster disk for --root_dir, or a larger --save_every, would help."
    if limit in ("start", "test", "rest"):
        return "Limited by one-time work (start, test, report), not by training: more --epochs add little time."
    return f"Limited by the training steps: {_about_step(facts)}."


def _about_data(late_waiting: float, epochs: int, facts: Facts) -> str:
    if epochs > 1 and late_waiting < 0.05:
        return "Only the first epoch waited for images to be decoded: keep the cache for the next run."
    if not facts.cached:
        return "Limited by reading the images: --cache=auto, or a cache folder on a disk with enough space, keeps them decoded."
    if facts.workers < facts.cores:
        return f"Limited by reading the images: --workers={facts.cores} would use all available cores."
    if epochs > 1 and facts.device == "cpu" and facts.augment not in ("none", "crop,flip"):
        faster = "crop,flip" if facts.augment == "basic" else "basic or crop,flip"
        return f"Limited by augmenting the images (--augment={facts.augment}): {faster} is faster."
    return "Limited by reading the images: more cores, or a faster disk for --data_dir, would help."


def _about_step(facts: Facts) -> str:
    if facts.precision == "fp32" and facts.reduced:
        return f"--precision={facts.reduced} would help"
    if facts.device == "cuda" and not facts.compiled and not facts.deterministic:
        return "--compile=on may save 10 to 30%"
    if facts.deterministic and facts.device == "cuda":
        return "they are faster without --deterministic"
    if facts.device == "cpu" and not facts.frozen:
        return "--recipe=probe trains only the head, on features computed once; a smaller --image_size or --model also helps"
    return "a smaller --image_size or --model would help"
