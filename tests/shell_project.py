"""What the tests of the shell scripts share: a project folder in which only the system's tools and fakes are on PATH.

The fakes (python, pip, conda, qsub, qstat) write down how they were called, so that each script runs for real, in
milliseconds, without a queue, a network or an installation. tests/cluster/run.sh has the same scripts in a real queue.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = (
    *("sh", "bash", "awk", "basename", "cat", "cksum", "cp", "curl", "cut", "date", "df", "dirname", "du", "echo"),
    *("env", "find", "grep", "head", "kill", "mkdir", "mv", "printf", "rm", "rmdir", "sed", "sleep", "sort", "tail"),
    *("tar", "touch", "tr", "true", "uname", "wc", "xargs"),
)


def write_tool(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)  # never through a link to the system's own tool
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


class Project:
    """A folder with copies of scripts, and an environment in which only TOOLS and fakes are on PATH."""

    def __init__(self, folder: Path, *scripts: str):
        self.folder, self.bin, self.calls_file = folder / "project", folder / "bin", folder / "calls"
        self.folder.mkdir()
        self.bin.mkdir()
        self.calls_file.touch()
        self.processes: list[subprocess.Popen] = []
        for tool in TOOLS:
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        for script in scripts:
            (self.folder / script).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / script, self.folder / script)
        home = folder / "home"
        home.mkdir()
        self.env = {"PATH": str(self.bin), "HOME": str(home), "CALLS": str(self.calls_file), "LC_ALL": "C"}

    def fake(self, name: str, text: str) -> None:
        write_tool(self.bin / name, text)

    def calls(self) -> list[str]:
        return self.calls_file.read_text(encoding="utf-8").splitlines()

    def start(self, *command: str, cwd: Path | None = None, **env: str) -> subprocess.Popen:
        process = subprocess.Popen(
            command,
            cwd=cwd or self.folder,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def kill_all(self) -> None:
        """Leave nothing running when a test fails."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def run(self, *command: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess:
        process = self.start(*command, cwd=cwd, **env)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def wait_for(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
