"""Weights & Biases, from a thread of its own: starting it can take 20 seconds without a network, and no step waits for it.

The key (WB_KEY) is given to the library in memory, online only; it is never logged in with, which would write it to ~/.netrc.
"""

import csv
import logging
import netrc
import os
import queue
import secrets
import shlex
import socket
import threading
import urllib.parse
from pathlib import Path
from typing import Any

from deep_cnn.reporting.examples import contact_sheet
from deep_cnn.reporting.trackers.interface import Epoch, flat_numbers
from deep_cnn.runtime.atomic import read_json, write_json
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.scheduler import job_variable

log = logging.getLogger(__name__)

REACH = 3.0  # seconds to open a connection to the server, in vain on a compute node
START = 20.0  # seconds for the server to answer
CLOSE = 60.0  # seconds for the last numbers to be sent


class WandbTracker:
    """See `Tracker`."""

    def __init__(self, config: dict[str, Any], files: RunFiles, summary: str = "", epoch: int = 0):
        """summary and epoch, which other trackers need, are not used: the server has the config, and each row its epoch."""
        self.config, self.files = config, files
        self.state_file = files.results / "wandb.json"  # its id and its pieces; moved aside with the run
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._failed = False
        self._thread = threading.Thread(target=self._work, daemon=True, name="wandb")
        self._thread.start()

    def log(self, epoch: Epoch) -> None:
        """Its numbers, and its examples where there are some."""
        shown = epoch.examples()
        self._queue.put(("epoch", epoch.row, epoch.speed, contact_sheet(shown) if shown else None))

    def close(self, state: str, result: dict[str, Any] | None) -> None:
        """The numbers of the test, and the end of the run."""
        self._queue.put(("close", state, result))
        self._thread.join(CLOSE)
        if self._thread.is_alive():
            log.warning("wandb did not answer for %d seconds; its files so far are in %s", CLOSE, self.files.outputs)
        if not self._failed and (line := self.sync_line()):
            log.info("wandb is offline; to upload the run later: %s", line)

    def sync_line(self) -> str | None:
        """The command that uploads all offline pieces of this run, in the order in which they were made."""
        pieces = [self.files.outputs / p for p in (read_json(self.state_file) or {}).get("offline", [])]
        return "wandb sync " + " ".join(shlex.quote(str(p)) for p in pieces) if pieces else None

    def _work(self) -> None:
        run = None
        try:
            run = self._start()
            while True:
                event, *what = self._queue.get()
                if event == "close":
                    return self._finish(run, *what)
                self._send(run, *what)
        except Exception as error:  # whatever it raises: the training is worth more
            self._failed = run is None
            log.warning("wandb failed; the run continues without it (%s: %s)", type(error).__name__, _first_line(error))

    def _start(self):
        import wandb

        known = read_json(self.state_file) or {"id": secrets.token_hex(4), "offline": []}
        base = os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url
        key = os.environ.get("WB_KEY") or os.environ.get("WANDB_API_KEY") or _netrc_key(base)
        reason = _offline_reason(key, base)
        run = None
        if reason is None:
            try:
                run = self._init(wandb, "online", known["id"], key)
            except Exception as error:
                reason = _first_line(error)
                wandb.teardown()  # its service still holds the run's id
        if run is None:
            log.info("wandb: offline (%s)", reason)
            run = self._init(wandb, "offline", known["id"], None)
            piece = Path(run.settings.sync_dir).resolve().relative_to(self.files.outputs.resolve())
            known["offline"].append(piece.as_posix())
        else:
            log.info("wandb: %s", run.url)
        write_json(self.state_file, known)
        return run

    def _init(self, wandb, mode: str, run_id: str, key: str | None):
        self.files.outputs.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            mode=mode,
            silent=True,
            console="off",
            init_timeout=START,
            finish_timeout=CLOSE - 10,
            save_code=False,
            disable_git=True,
            x_disable_machine_info=True,
            x_graphql_retry_max=2,
            x_graphql_timeout_seconds=10,
            x_file_stream_retry_max=3,
            x_file_transfer_retry_max=3,
            **({"api_key": key} if key else {}),
        )
        return wandb.init(
            project=os.environ.get("WB_PROJECT") or "deep_cnn",
            entity=os.environ.get("WB_USER") or None,
            id=run_id,
            name=self.files.name,
            resume="allow" if mode == "online" else None,
            dir=str(self.files.outputs),
            config=self.config,
            settings=settings,
        )

    def _send(self, run, row: dict[str, Any], speed: float, sheet) -> None:
        import wandb

        values = {name: value for name, value in row.items() if value is not None} | {"images_per_second": speed}
        if sheet is not None:
            values["examples"] = wandb.Image(sheet)
        run.log(values, step=row["epoch"])

    def _finish(self, run, state: str, result: dict[str, Any] | None) -> None:
        import wandb

        run.summary["state"] = state
        if result is not None:
            run.summary.update({f"test/{name}": value for name, value in flat_numbers(result).items()})
            run.summary.update({f"best/{name}": value for name, value in self._row(result.get("best_epoch")).items()})
            pictures = sorted(self.files.results.glob("*.png"))
            run.log({f"plots/{picture.stem}": wandb.Image(str(picture)) for picture in pictures})
        run.finish(exit_code=1 if state == "failed" else 0)

    def _row(self, epoch: int | None) -> dict[str, float]:
        """An epoch's numbers from metrics.csv: an earlier process may have trained it."""
        table = self.files.results / "metrics.csv"
        if epoch is None or not table.exists():
            return {}
        with open(table, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["epoch"]) == epoch]
        return {name: float(value) for row in rows for name, value in row.items() if value}


def _offline_reason(key: str | None, base_url: str) -> str | None:
    """Why this run is not sent while it trains; None when it is."""
    if os.environ.get("WANDB_MODE", "online") != "online":
        return f"WANDB_MODE={os.environ['WANDB_MODE']}"
    if not key:
        return "WB_KEY is not set"
    if job := job_variable():
        return f"in a batch job: {job} is set"
    address = urllib.parse.urlsplit(base_url)
    port = address.port or (443 if address.scheme == "https" else 80)
    return None if _reachable(address.hostname or "", port) else f"{address.hostname} cannot be reached"


def _reachable(host: str, port: int) -> bool:
    """Asked in a thread: looking a name up takes no timeout, and is slow where packets are dropped."""
    answer: list[bool] = []

    def ask() -> None:
        try:
            with socket.create_connection((host, port), timeout=REACH):
                answer.append(True)
        except OSError:
            answer.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH)
    return bool(answer and answer[0])


def _netrc_key(base_url: str) -> str | None:
    try:
        found = netrc.netrc().authenticators(urllib.parse.urlsplit(base_url).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None


def _first_line(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    for name in ("WB_KEY", "WANDB_API_KEY"):
        if key := os.environ.get(name):
            text = text.replace(key, f"${name}")
    return text
