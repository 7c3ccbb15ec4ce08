"""environment.sh: made once, one at a time, repaired when it was interrupted."""

import os
import shutil
import signal
import time

import pytest
from shell_project import Project, wait_for

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX shells and signals")

# Answers as the Python that environment.sh looks for, its venv and its pip; calls are appended to $CALLS.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
*version_info*3,\\ 11*) [ "${FAKE_VERSION:-3.12}" != 3.9 ]; exit ;;
*version_info*) echo "${FAKE_VERSION:-3.12}"; exit ;;
*ensurepip* | *torchvision,*) exit 0 ;;
esac
echo "python $*" >>"$CALLS"
case "$*" in
*"-m venv"*) for dir; do :; done; mkdir -p "$dir/bin"; cp "$0" "$dir/bin/python"; touch "$dir/bin/activate" ;;
*"-m pip"*) echo "pip says hello"; sleep "${PIP_SECONDS:-0}"; exit "${PIP_CODE:-0}" ;;
esac
"""
FAKE_CONDA = """#!/bin/sh
[ "$1" != --version ] || exit 0
echo "conda $*" >>"$CALLS"
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/bin" "$2/conda-meta"; cp "$(dirname "$0")/python3" "$2/bin/python"
"""


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path, "environment.sh", "requirements.txt", "pyproject.toml", "setup.py")
    made.fake("python3", FAKE_PYTHON)
    yield made
    made.kill_all()


def test_environment_is_made_once_and_the_command_runs_in_it(project, tmp_path):
    first = project.run("sh", str(project.folder / "environment.sh"), "sh", "-c", "pwd; exit 7", cwd=tmp_path)
    assert (first.returncode, first.stdout) == (7, f"{tmp_path.resolve()}\n"), first.stderr  # and no word of pip
    kinds = [call.split()[2] for call in project.calls()]
    assert kinds == ["venv", "pip"]
    assert project.calls()[1].endswith(f"-e {project.folder.resolve()}[all,dev]")

    second = project.run("sh", "environment.sh", "sh", "-c", 'echo "$VIRTUAL_ENV"; command -v python')
    env = project.folder.resolve() / ".venv"
    assert second.stdout.splitlines() == [str(env), str(env / "bin/python")]
    assert len(project.calls()) == 2, "the second call installed again"
    assert not list(project.folder.glob(".venv.*")), "lock or marker left behind"


def test_environment_without_arguments_says_how_to_activate(project):
    done = project.run("sh", "environment.sh")
    assert done.returncode == 0
    assert f". {project.folder.resolve()}/.venv/bin/activate" in done.stderr


def test_environment_interrupted_half_way_is_made_anew(project):
    process = project.start("sh", "environment.sh", "true", PIP_SECONDS="30")
    wait_for(lambda: len(project.calls()) == 2)
    (project.folder / ".venv/half_a_package").touch()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (project.folder / ".venv.lock").is_dir()  # the dead process left it

    assert project.run("sh", "environment.sh", "true").returncode == 0
    assert not (project.folder / ".venv/half_a_package").exists()
    assert [call.split()[2] for call in project.calls()] == ["venv", "pip", "venv", "pip"]


def test_environment_follows_requirements_and_keeps_what_was_there(project):
    assert project.run("sh", "environment.sh").returncode == 0
    (project.folder / ".venv/mine").touch()
    with (project.folder / "requirements.txt").open("a", encoding="utf-8") as file:
        file.write("left-pad>=1\n")
    assert project.run("sh", "environment.sh", PIP_CODE="1").returncode == 2  # no network, say
    assert project.run("sh", "environment.sh").returncode == 0
    assert [call.split()[2] for call in project.calls()] == ["venv", "pip", "pip", "pip"]
    assert (project.folder / ".venv/mine").exists()


def test_a_heartbeat_that_comes_late_leaves_no_lock(project):
    project.fake(
        "touch",
        f"""#!/bin/sh
case "$*" in *.lock) sleep 1; {shutil.which("touch")} "$@"; echo "touched" >>"$CALLS" ;; esac
""",
    )
    assert project.run("sh", "environment.sh").returncode == 0
    wait_for(lambda: "touched" in project.calls())
    assert not list(project.folder.glob(".venv.*")), "the next call would wait forever"

    (project.folder / ".venv.lock").touch()  # left by a heartbeat that made it
    (project.folder / "pyproject.toml").write_text("changed", encoding="utf-8")
    assert project.run("sh", "environment.sh").returncode == 0
    assert not list(project.folder.glob(".venv.*"))


def test_environment_of_a_moved_project_is_made_anew(project, tmp_path):
    assert project.run("sh", "environment.sh").returncode == 0
    project.folder.rename(tmp_path / "moved")
    assert project.run("sh", "environment.sh", cwd=tmp_path / "moved").returncode == 0
    assert [call.split()[2] for call in project.calls()] == ["venv", "pip"] * 2


def test_torch_index_is_used_for_torch_alone_and_remembered(project):
    assert project.run("sh", "environment.sh", TORCH_INDEX="https://example.org/cpu").returncode == 0
    (project.folder / "pyproject.toml").write_text("changed", encoding="utf-8")  # an extra more, say
    assert project.run("sh", "environment.sh").returncode == 0
    pips = [call for call in project.calls() if " pip " in call]
    assert ["--index-url https://example.org/cpu" in call for call in pips] == [True, False] * 2
    asked = (project.folder / ".venv/torch.txt").read_text(encoding="utf-8").split()
    assert [line.split(">")[0] for line in asked] == ["torch", "torchvision"]


def test_two_at_once_install_once(project):
    both = [project.start("sh", "environment.sh", "echo", "ran", PIP_SECONDS="1") for _ in range(2)]
    outs = [process.communicate(timeout=60) for process in both]
    assert [out for out, _ in outs] == ["ran\n", "ran\n"]
    assert sorted(call.split()[2] for call in project.calls()) == ["pip", "venv"]
    assert sum("waiting for another process" in err for _, err in outs) == 1


@pytest.mark.parametrize(
    ("owner", "minutes_old", "stale"),
    [
        ("elsewhere 1", 0, False),
        ("elsewhere 1", 5, True),
        (f"{os.uname().nodename} 99999999" if hasattr(os, "uname") else "", 0, True),
        (f"{os.uname().nodename} {os.getpid()}" if hasattr(os, "uname") else "", 0, False),
    ],
    ids=["another machine's", "another machine's, silent", "a dead process's", "a live process's"],
)
def test_only_a_lock_that_nobody_holds_is_broken(project, owner, minutes_old, stale):
    lock = project.folder / ".venv.lock"
    lock.mkdir()
    (lock / "owner").write_text(owner + "\n", encoding="utf-8")
    then = time.time() - 60 * minutes_old
    os.utime(lock, (then, then))
    process = project.start("sh", "environment.sh")
    if not stale:
        time.sleep(1.5)
        assert process.poll() is None and not project.calls()
        shutil.rmtree(lock)  # its holder is done
    assert process.wait(timeout=30) == 0, process.stderr.read()
    process.communicate()


def test_a_python_that_is_too_old_is_named(project):
    done = project.run("sh", "environment.sh", "true", FAKE_VERSION="3.9", PYTHON="python3")
    assert done.returncode == 2
    assert "needs Python 3.11 or newer, found: python3 is 3.9;" in done.stderr
    assert not (project.folder / ".venv").exists()


def test_conda_is_taken_on_a_cluster_only(project):
    project.fake("conda", FAKE_CONDA)
    assert project.run("sh", "environment.sh").returncode == 0
    assert not any(call.startswith("conda") for call in project.calls())

    shutil.rmtree(project.folder / ".venv")
    project.fake("qsub", "#!/bin/sh\n")
    done = project.run("sh", "environment.sh")
    assert f"conda activate {project.folder.resolve()}/.venv" in done.stderr
    (conda,) = [call for call in project.calls() if call.startswith("conda")]
    assert "--override-channels --channel conda-forge" in conda


def test_environment_from_the_queues_spool_folder(project, tmp_path):
    spool = tmp_path / "spool"
    spool.mkdir()
    shutil.move(project.folder / "environment.sh", spool / "123.SC")
    done = project.run("sh", str(spool / "123.SC"), cwd=tmp_path, PBS_O_WORKDIR=str(project.folder))
    assert done.returncode == 0, done.stderr
    assert (project.folder / ".venv/deep_cnn.stamp").exists()
