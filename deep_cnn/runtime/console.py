"""What a run says: to the console as it is, to its log file with times. And the progress bar."""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

QUIET_INTERVAL = 30.0  # seconds between two lines of progress where there is no terminal

log = logging.getLogger("deep_cnn")


class _Console(logging.Handler):
    """Prints above a progress bar, if there is one; warnings go to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        text = self.format(record)
        # a console of another encoding (Windows) shows a question mark for what it does not have
        encoding = getattr(stream, "encoding", None) or "utf-8"
        with contextlib.suppress(BrokenPipeError):  # `| head` has seen enough; the run continues
            tqdm.write(text.encode(encoding, "replace").decode(encoding), file=stream)
            stream.flush()


class _File(logging.FileHandler):
    """The log file. A full disk is said once on the console and does not stop the run."""

    failed = False

    def __init__(self, path: Path):
        super().__init__(path, encoding="utf-8", errors="backslashreplace")  # names of files that are not UTF-8
        self.first = path.stat().st_size  # where this process's lines begin

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.failed:
            self.failed = True
            print(f"deep_cnn: cannot write the log {self.baseFilename}: {sys.exc_info()[1]}", file=sys.stderr)


def console_only() -> None:
    """For commands that keep no log."""
    if not Bar.hidden:
        log.setLevel(logging.INFO)
    if not any(isinstance(handler, _Console) for handler in log.handlers):
        log.addHandler(_Console())


def warnings_only(process: int) -> None:
    """For every process but the first of several: no bar, and of what it says only warnings, with its number."""
    console_only()
    log.setLevel(logging.WARNING)
    for handler in log.handlers:
        handler.setFormatter(logging.Formatter(f"process {process}: %(message)s"))
    Bar.hidden = True


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing is said at all: by a process that does what another one has just done."""
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


@contextlib.contextmanager
def quiet_console() -> Iterator[None]:
    """Only warnings go to the console; the log file gets everything."""
    consoles = [handler for handler in log.handlers if isinstance(handler, _Console)]
    for handler in consoles:
        handler.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for handler in consoles:
            handler.setLevel(logging.NOTSET)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[None]:
    """Append everything said to `path`, each line with its time."""
    console_only()
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _File(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


def keep_old_lines(path: Path, other: Path) -> None:
    """Move the lines of earlier processes, of another run of the same name, from the open log `path` to `other`."""
    for handler in log.handlers:
        if isinstance(handler, _File) and Path(handler.baseFilename) == path.absolute() and handler.first:
            handler.flush()
            said = path.read_bytes()
            other.write_bytes(said[: handler.first])
            with open(path, "r+b") as file:  # in place: the handler appends to this very file
                file.truncate(0)
                file.write(said[handler.first :])
            handler.first = 0


class Bar:
    """A tqdm bar on a terminal; elsewhere a line of the same form every 30 seconds."""

    hidden = False  # in every process but the first

    def __init__(self, title: str, total: int, done: int = 0, *, unit: str = "batch"):
        from tqdm import tqdm

        self.title, self.total, self.done, self.unit = title, total, done, unit
        self._note = ""
        self._format_meter = tqdm.format_meter
        self._start = self._said = time.monotonic()
        self._first = done
        shown = sys.stderr.isatty() and not self.hidden
        self._bar = (
            tqdm(total=total, initial=done, desc=title, unit=unit, leave=False, dynamic_ncols=True) if shown else None
        )

    def step(self, note: str = "", count: int = 1) -> None:
        """One more (or `count`) is done. note: shown behind the rate, e.g. 'loss=3.06'; kept until the next one."""
        self.done, self._note = self.done + count, note or self._note
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif not self.hidden and time.monotonic() - self._said >= QUIET_INTERVAL:
            self._said = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """The bar as text, at most 100 characters of ASCII."""
        elapsed = time.monotonic() - self._start
        return self._format_meter(
            self.done,
            self.total,
            elapsed,
            initial=self._first,
            prefix=self.title,
            unit=self.unit,
            ascii=True,
            ncols=100,
            postfix=self._note,
        )

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()
