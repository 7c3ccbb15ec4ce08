"""Two hosts, as two network namespaces with an address each and a cable between them. Needs root, on Linux; slow, run with `pytest -m slow`."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import several
from conftest import ROOT
from several import EXACT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None,
    reason="makes network namespaces: needs root and iproute2",
)
TIMEOUT = 15  # seconds without a word from the other host


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Hosts:
    """Two namespaces; the first one's address is 10.213.0.1."""

    def __init__(self):
        self.names = [f"deep_cnn_{os.getpid()}_{side}" for side in "ab"]
        ends = [f"dc{os.getpid()}{side}"[-15:] for side in "ab"]
        for name in self.names:
            ip("netns", "add", name)
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for number, (name, end) in enumerate(zip(self.names, ends, strict=True), 1):
            ip("link", "set", end, "netns", name)
            ip("-n", name, "addr", "add", f"10.213.0.{number}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
        self.cable = ("-n", self.names[0], "link", "set", ends[0])

    def cut(self) -> None:
        ip(*self.cable, "down")

    def mend(self) -> None:
        ip(*self.cable, "up")

    def remove(self) -> None:
        for name in self.names:
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "delete", name)

    def start(self, number: int, flags: list[str], folder: Path) -> subprocess.Popen:
        """A torchrun with one process on the number-th host."""
        command = [
            "ip",
            "netns",
            "exec",
            self.names[number],
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nnodes=2",
            "--nproc-per-node=1",
            "--rdzv-backend=c10d",
            "--rdzv-id=test",
            "--rdzv-endpoint=10.213.0.1:29500",
            f"--rdzv-conf=is_host={number == 0},read_timeout=5",
            f"--local-addr=10.213.0.{number + 1}",
            "-m",
            "deep_cnn",
            *flags,
        ]
        with open(folder / f"said{number}.txt", "w", encoding="utf-8") as said:
            return subprocess.Popen(command, stdout=said, stderr=said, cwd=ROOT, env=os.environ | {"NCPUS": "1"})


@pytest.fixture
def hosts():
    try:
        made = Hosts()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
    yield made
    made.remove()


@pytest.mark.slow
def test_two_hosts_train_lose_each_other_and_go_on(hosts, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    flags = [*EXACT, "--epochs=30", "--save_every=2", f"--peer_timeout={TIMEOUT}s"]
    processes = [hosts.start(number, [*flags, f"--root_dir={two}"], two) for number in range(2)]

    def said(number: int) -> str:
        return (two / f"said{number}.txt").read_text(encoding="utf-8", errors="replace")

    try:
        files = several.RunFiles(two / "outputs", "default")
        end = time.monotonic() + 90
        while not files.last.exists():
            assert time.monotonic() < end and processes[0].poll() is None, said(0) + said(1)
            time.sleep(0.02)
        hosts.cut()
        then = time.monotonic()
        while not all("lost another process of this run" in said(number) for number in range(2)):
            assert time.monotonic() - then < TIMEOUT + 30, said(0) + said(1)
            time.sleep(0.2)
        assert processes[0].wait(timeout=30) == 1
        assert several.status(files)["state"] == "failed"
        processes[
            1
        ].kill()  # the program there has ended; this torchrun still asks the first one's store, which is gone

        hosts.mend()
        processes = [hosts.start(number, [*flags, f"--root_dir={two}"], two) for number in range(2)]
        assert [process.wait(timeout=200) for process in processes] == [0, 0], said(0) + said(1)
        assert "Resuming at epoch" in said(0)
        subprocess.run(
            [sys.executable, "-m", "deep_cnn", *flags, f"--root_dir={one}"],
            check=True,
            capture_output=True,
            cwd=ROOT,
            env=os.environ | {"NCPUS": "1"},
        )
        ours = several.last(several.RunFiles(one / "outputs", "default"))
        assert several.apart(ours["weights"], several.last(files)["weights"]) < 1e-9
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
