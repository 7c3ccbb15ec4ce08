"""The shell scripts, without a queue, a network or an installation.

PATH holds the system's tools and a few fakes (python, pip, conda, qsub, qstat) that write down how they were called, so
that each script runs for real, in milliseconds. tests/cluster/run.sh has the same scripts in a real queue.
"""

import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = (
    *("sh", "bash", "awk", "basename", "cat", "cksum", "cp", "curl", "cut", "date", "df", "dirname", "du", "echo"),
    *("env", "find", "grep", "head", "kill", "mkdir", "mv", "printf", "rm", "rmdir", "sed", "sleep", "sort", "tail"),
    *("tar", "touch", "tr", "true", "uname", "wc", "xargs"),
)

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
        for tool in TOOLS:
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        for script in scripts:
            shutil.copy(ROOT / script, self.folder / script)
        home = folder / "home"
        home.mkdir()
        self.env = {"PATH": str(self.bin), "HOME": str(home), "CALLS": str(self.calls_file), "LC_ALL": "C"}

    def fake(self, name: str, text: str) -> None:
        write_tool(self.bin / name, text)

    def calls(self) -> list[str]:
        return self.calls_file.read_text(encoding="utf-8").splitlines()

    def start(self, *command: str, cwd: Path | None = None, **env: str) -> subprocess.Popen:
        return subprocess.Popen(
            command,
            cwd=cwd or self.folder,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess:
        process = self.start(*command, cwd=cwd, **env)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def wait_for(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


# ---- environment.sh --------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path, "environment.sh", "requirements.txt", "setup.py")
    made.fake("python3", FAKE_PYTHON)
    return made


def test_environment_is_made_once_and_the_command_runs_in_it(project, tmp_path):
    first = project.run("sh", str(project.folder / "environment.sh"), "sh", "-c", "pwd; exit 7", cwd=tmp_path)
    assert (first.returncode, first.stdout) == (7, f"{tmp_path.resolve()}\n"), first.stderr  # and no word of pip
    kinds = [call.split()[2] for call in project.calls()]
    assert kinds == ["venv", "pip"]
    assert project.calls()[1].endswith(f"-e {project.folder.resolve()}")

    started = time.monotonic()
    second = project.run("sh", "environment.sh", "sh", "-c", 'echo "$VIRTUAL_ENV"; command -v python')
    assert time.monotonic() - started < 2.0
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


def test_environment_of_a_moved_project_is_made_anew(project, tmp_path):
    assert project.run("sh", "environment.sh").returncode == 0
    project.folder.rename(tmp_path / "moved")
    assert project.run("sh", "environment.sh", cwd=tmp_path / "moved").returncode == 0
    assert [call.split()[2] for call in project.calls()] == ["venv", "pip"] * 2


def test_torch_index_is_used_for_torch_alone_and_remembered(project):
    assert project.run("sh", "environment.sh", TORCH_INDEX="https://example.org/cpu").returncode == 0
    (project.folder / "setup.py").write_text("changed", encoding="utf-8")
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


# ---- submit.pbs, submit_array.pbs, submit_chain.sh -------------------------------------------------------------------

# The program: writes down its flags, then does what $PLAN says ("STATE CODE", a line per call; "wait" until TERM).
FAKE_PROGRAM = f"""#!{sys.executable}
import json, os, pathlib, signal, sys, time
calls = pathlib.Path(os.environ["CALLS"])
with calls.open("a") as file:
    print(*sys.argv[1:], file=file)
run = [flag.split("=")[1] for flag in sys.argv if flag.startswith("--run_name=")] or ["default"]
results = pathlib.Path("outputs/results") / run[-1]
results.mkdir(parents=True, exist_ok=True)
plan = pathlib.Path(os.environ["HOME"], "plan")
time.sleep(1.1 if sys.platform == "darwin" else 0)  # its bash 3.2 compares times of files in whole seconds
now, *later = plan.read_text().splitlines()
plan.write_text("\\n".join(later))
words = now.split()
if "wait" in words:
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    pathlib.Path(os.environ["HOME"], "up").touch()
    while not stopped:
        time.sleep(0.01)
if "progress" in words:
    models = pathlib.Path("outputs/models") / run[-1]
    models.mkdir(parents=True, exist_ok=True)
    (models / "last.pt").touch()
if words[0] != "silent":
    (results / "status.json").write_text(json.dumps({{"state": words[0], "reason": "", "step": 3}}))
sys.exit(int(words[1]))
"""
FAKE_QSUB = """#!/bin/sh
[ -z "${QSUB_REFUSES:-}" ] || { echo "qsub: not from here"; exit 32; }
echo "qsub $* [EPOCHS=${EPOCHS:-} RESUBMITS=${RESUBMITS:-}]" >>"$CALLS"
wc -l <"$CALLS" | tr -d ' '
"""
FAKE_QSTAT = """#!/bin/sh
printf 'Job Id: 7\\n    Job_Name = x\\n    Resource_List.select = 1:mem=24gb:ncpus=4\\n\\t:ngpus=1\\n'
printf '    Resource_List.walltime = %s\\n    queue = gpu72\\n' "${FAKE_WALLTIME:-00:00:01}"
"""


@pytest.fixture
def jobs(tmp_path):
    made = Project(tmp_path, "submit.pbs", "submit_array.pbs", "submit_chain.sh")
    write_tool(made.folder / "environment.sh", '#!/bin/sh\nexec "$@"\n')
    for name, text in [("python", FAKE_PROGRAM), ("qsub", FAKE_QSUB), ("qstat", FAKE_QSTAT)]:
        made.fake(name, text)
    made.env |= {"PBS_O_WORKDIR": str(made.folder), "PBS_JOBID": "123[4].pbs-7", "PBS_JOBNAME": "deep_cnn"}

    def plan(*lines: str) -> None:
        Path(made.env["HOME"], "plan").write_text("\n".join(lines), encoding="utf-8")

    made.plan = plan
    made.submit = lambda script="submit.pbs", **env: made.run("bash", str(made.folder / script), cwd=tmp_path, **env)
    return made


def test_the_head_of_submit_pbs():
    lines = (ROOT / "submit.pbs").read_text(encoding="utf-8").splitlines()
    assert lines[9:12] == [f'export {name}="${{{name}:-}}"' for name in ("WB_KEY", "WB_PROJECT", "WB_USER")]
    for script in ("submit.pbs", "submit_array.pbs"):
        head = (ROOT / script).read_text(encoding="utf-8")
        assert "#PBS -l select=1:ncpus=4:ngpus=1:mem=24gb\n" in head  # mem last: Slurm's wrapper needs it so
        assert "#PBS -koed\n" in head


def test_a_finished_job(jobs):
    jobs.plan("finished 0")
    done = jobs.submit(EPOCHS="3", MODEL="resnet18", ARGS="--note='two words' --lr 1e-3")
    assert done.returncode == 0, done.stderr
    assert jobs.calls() == ["-m deep_cnn --note=two words --lr 1e-3 --epochs=3 --model=resnet18 --device=cuda"]
    assert not list((jobs.folder / "outputs/jobs").iterdir())


def test_a_stopped_job_submits_itself_again(jobs):
    jobs.plan("stopped 75")
    done = jobs.submit(EPOCHS="3", WB_KEY="secret", MAX_RESUBMITS="2", RESUBMITS="1")
    assert done.returncode == 75
    assert "submitted again as 2 (2 of at most 2)" in done.stdout
    program, qsub = jobs.calls()
    assert program.endswith("--resume=must")
    assert "-N deep_cnn -l walltime=00:00:01 -l select=1:mem=24gb:ncpus=4:ngpus=1" in qsub
    assert "-v EPOCHS,MAX_RESUBMITS,WB_KEY,RESUBMITS submit.pbs [EPOCHS=3 RESUBMITS=2]" in qsub
    assert "secret" not in qsub

    jobs.plan("stopped 75")
    done = jobs.submit(MAX_RESUBMITS="2", RESUBMITS="2")
    assert done.returncode == 75 and "MAX_RESUBMITS" in done.stdout
    assert len(jobs.calls()) == 3


def test_where_nodes_may_not_submit(jobs):
    jobs.plan("stopped 75")
    done = jobs.submit(QSUB_REFUSES="1")
    assert done.returncode == 75
    assert "qsub: not from here" in done.stdout and "submit_chain.sh" in done.stdout


@pytest.mark.parametrize(
    ("plan", "code", "again"),
    [
        ("stopped 0", 75, True),  # under torchrun a clean stop exits 0 ...
        ("mistake 1", 2, False),  # ... and every other code is 1
        ("stopped 143", 75, True),
        ("silent 0", 0, False),
        ("silent 75", 75, True),
        ("silent 2", 2, False),
        ("failed 1", 1, False),
        ("silent 137", 137, False),
    ],
)
def test_status_json_is_the_last_word(jobs, plan, code, again):
    results = jobs.folder / "outputs/results/default"
    results.mkdir(parents=True)
    old = results / "status.json"  # of an earlier job: says nothing about this one
    old.write_text(json.dumps({"state": "finished"}), encoding="utf-8")
    os.utime(old, (1e9, 1e9))
    jobs.plan(plan)
    assert jobs.submit().returncode == code
    assert any(call.startswith("qsub") for call in jobs.calls()) == again


@pytest.mark.parametrize(("walltime", "again"), [("00:00:00", True), ("24:00:00", False)])
def test_the_signal_reaches_the_program_and_qdel_is_the_end(jobs, walltime, again):
    jobs.plan("stopped 75 wait")
    process = jobs.start("bash", "submit.pbs", FAKE_WALLTIME=walltime)
    wait_for(Path(jobs.env["HOME"], "up").exists)
    process.send_signal(signal.SIGTERM)  # to the shell alone
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 75
    assert any(call.startswith("qsub") for call in jobs.calls()) == again
    assert ("by qdel" in out) != again


def test_wandb_values_come_from_the_users_file(jobs):
    Path(jobs.env["HOME"], ".deep_cnn.env").write_text("WB_KEY=fromfile\nWB_USER=file\n", encoding="utf-8")
    write_tool(jobs.folder / "environment.sh", '#!/bin/sh\necho "$WB_KEY $WB_USER"\n')
    assert "fromfile given\n" in jobs.submit(WB_USER="given").stdout


def test_staging(jobs, tmp_path):
    node = tmp_path / "node [4]"  # in arrays TMPDIR has brackets
    node.mkdir()
    (jobs.folder / "photos/train/a").mkdir(parents=True)
    (jobs.folder / "photos/train/a/1.jpg").write_bytes(b"x")
    jobs.plan(*["finished 0"] * 3)
    assert "data staged" in jobs.submit(STAGE="1", TMPDIR=str(node), DATA_DIR="photos/").stdout
    assert (node / "data/photos/train/a/1.jpg").read_bytes() == b"x"
    assert jobs.calls()[-1].endswith(f"--data_dir={node}/data/photos")

    shutil.rmtree(node / "data")
    with tarfile.open(jobs.folder / "photos.tar", "w") as tar:
        tar.add(jobs.folder / "photos", "photos")
    shutil.rmtree(jobs.folder / "photos")
    assert "data staged" in jobs.submit(STAGE="1", TMPDIR=str(node), DATA_DIR="photos").stdout
    assert (node / "data/photos/train/a/1.jpg").exists()

    jobs.fake("df", "#!/bin/sh\nprintf 'head\\nfs 10 10 0 100%% /\\n'\n")  # a full node: trained where the data lie
    assert "not staged" in jobs.submit(STAGE="1", TMPDIR=str(node), DATA_DIR="photos").stdout
    assert "--data_dir=photos" in jobs.calls()[-1] and str(node) not in jobs.calls()[-1]


def test_an_array_runs_a_line_each(jobs):
    lines = "# sweep\n--model=resnet18 --lr=1e-3\n\n--model=resnet50 --run_name=big\nsearch --trials=4\n"
    (jobs.folder / "flags.txt").write_text(lines, encoding="utf-8")
    jobs.plan(*["stopped 75", "finished 0", "finished 0"])
    assert jobs.submit("submit_array.pbs", PBS_ARRAY_INDEX="1").returncode == 75
    assert jobs.submit("submit_array.pbs", PBS_ARRAY_INDEX="2", RUN_NAME="sweep", EPOCHS="1").returncode == 0
    assert jobs.submit("submit_array.pbs", PBS_ARRAY_INDEX="3").returncode == 0
    beyond = jobs.submit("submit_array.pbs", PBS_ARRAY_INDEX="4")
    assert beyond.returncode == 2 and "no line 4" in beyond.stdout
    first, again, second, third = jobs.calls()
    assert first == "-m deep_cnn --model=resnet18 --lr=1e-3 --run_name=flags-1 --device=cuda"
    assert "-N deep_cnn-1" in again and "-v FLAGS_FILE,FLAGS_LINE,RESUBMITS submit.pbs" in again
    assert second.endswith("--run_name=sweep --epochs=1 --run_name=big --device=cuda")
    assert third == "-m deep_cnn search --trials=4 --device=cuda"


def test_a_chain_is_queued_in_order(jobs):
    done = jobs.run("sh", "submit_chain.sh", "3", "-l", "walltime=1:00:00", EPOCHS="90")
    assert done.returncode == 0, done.stderr
    first, second, third = jobs.calls()
    assert first.startswith("qsub -l walltime=1:00:00 -v CHAIN,EPOCHS submit.pbs [EPOCHS=90")
    assert second.startswith("qsub -W depend=afternotok:1 -l walltime=1:00:00")
    assert third.startswith("qsub -W depend=afternotok:2 ")
    assert "qdel 1 2 3" in done.stdout
    assert jobs.run("sh", "submit_chain.sh").returncode == 2
    assert jobs.run("sh", "submit_chain.sh", "2", "-v", "EPOCHS=9").returncode == 2


def test_a_chain_goes_on_finishes_and_then_ends_at_once(jobs):
    jobs.plan("stopped 75 progress", "finished 0")
    assert jobs.submit(CHAIN="c").returncode == 75
    assert jobs.submit(CHAIN="c").returncode == 0
    third = jobs.submit(CHAIN="c")
    assert third.returncode == 0 and "finished by an earlier job" in third.stdout
    first, second = jobs.calls()  # no third, and no qsub
    assert "--resume" not in first and second.endswith("--resume=must")


def test_a_chain_without_progress_stops(jobs):
    jobs.plan("failed 1", "failed 1 progress", "failed 1", "silent 137", "finished 0")
    codes = [jobs.submit(CHAIN="c").returncode for _ in range(4)]
    assert codes == [1, 1, 1, 137]  # the second one got on, so that the next two are the two failures
    stopped = jobs.submit(CHAIN="c")
    assert stopped.returncode == 0 and "the chain stops here" in stopped.stdout
    assert len(jobs.calls()) == 4


# ---- data_download.sh ------------------------------------------------------------------------------------------------


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves files with `Range:`, and cuts the first `cuts` answers short: a line that drops."""

    cuts, starts = 0, []

    def do_GET(self):
        data = Path(self.translate_path(self.path)).read_bytes()
        first = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.starts.append(first)
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(data) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        cut = type(self).cuts > 0
        type(self).cuts -= cut
        self.wfile.write(data[first : first + 20_000 if cut else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def places(tmp_path):
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    made = Project(tmp_path, "data_download.sh")
    (made.folder / "deep_cnn").mkdir()
    source = tmp_path / "source/places365_standard"
    for number, name in enumerate(["alley", "butte", "street", "airfield", "sky"]):
        for split in ("train", "val"):
            (source / split / name).mkdir(parents=True)
            (source / split / name / f"{number}.jpg").write_bytes(os.urandom(9_000))
    served = tmp_path / "source/places.tar"
    with tarfile.open(served, "w") as tar:
        tar.add(source, "places365_standard")
    made.served = served
    made.target = made.folder / "input/places365standard_easyformat/places365_standard"
    made.classes = lambda split="train": sorted(path.name for path in (made.target / split).iterdir())
    made.env["PLACES_URL"] = served.as_uri()
    return made


def test_places_are_downloaded_and_the_listed_classes_unpacked(places):
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 0, done.stderr
    assert places.classes() == places.classes("val") == ["alley", "butte", "street"]
    source = places.served.parent / "places365_standard/train/butte/1.jpg"
    assert (places.target / "train/butte/1.jpg").read_bytes() == source.read_bytes()
    assert "Zhou" in done.stdout and "not for commercial use" in done.stdout

    # Classes added later come from the kept file
    (places.folder / "input/keep.txt").write_text("airfield  # planes\nsk*\nairfeild\n", encoding="utf-8")
    places.served.unlink()
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 0, done.stderr
    assert places.classes() == ["airfield", "alley", "butte", "sky", "street"]
    assert "no class is called airfeild" in done.stderr


def test_a_download_goes_on_where_it_stopped(places):
    Ranges.cuts, Ranges.starts[:] = 2, []
    handler = partial(Ranges, directory=str(places.served.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = places.run("sh", "data_download.sh", PLACES_URL=f"http://127.0.0.1:{server.server_port}/places.tar")
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert Ranges.starts == [0, 20_000, 40_000]
    assert (places.folder / "input/places.tar").read_bytes() == places.served.read_bytes()


def test_a_failed_download_keeps_what_it_has(places):
    part = places.folder / "input/places.tar.part"
    part.parent.mkdir()
    part.write_bytes(places.served.read_bytes()[:30_000])
    gone = places.served.with_name("elsewhere.tar")
    places.served.rename(gone)
    done = places.run("sh", "data_download.sh", PLACES_TRIES="1")
    assert done.returncode == 2 and "goes on from there" in done.stderr
    assert part.stat().st_size == 30_000
    gone.rename(places.served)
    assert places.run("sh", "data_download.sh").returncode == 0
    assert places.classes() == ["alley", "butte", "street"]


def test_a_full_disk_is_seen_before_anything_is_written(places):
    places.fake("df", "#!/bin/sh\nprintf 'head\\nfs 10 10 1 100%% /\\n'\n")
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 2 and "Make room" in done.stderr
    assert not list((places.folder / "input").iterdir())


def test_a_failed_unpacking_leaves_whole_folders_only(places):
    assert places.run("sh", "data_download.sh").returncode == 0
    shutil.rmtree(places.target / "val/alley")
    tar = Path(shutil.which("tar"))
    places.fake("tar", f'#!/bin/sh\n"{tar}" "$@"; exit 2\n')  # a quota that ends half way
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 2 and "untouched" in done.stderr
    assert places.classes("val") == ["butte", "street"] and places.classes() == ["alley", "butte", "street"]
    places.fake("tar", f'#!/bin/sh\nexec "{tar}" "$@"\n')
    assert places.run("sh", "data_download.sh").returncode == 0
    assert places.classes("val") == ["alley", "butte", "street"]


def test_a_truncated_archive_is_refused(places):
    with places.served.open("r+b") as file:
        file.truncate(40_000)
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 2 and "is damaged" in done.stderr
    assert not places.target.exists()


def test_a_second_download_is_refused_while_one_runs(places):
    lock = places.folder / "input/.download.lock"
    lock.mkdir(parents=True)
    (lock / "owner").write_text(f"{os.uname().nodename} {os.getpid()}\n", encoding="utf-8")
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 2 and f"process {os.getpid()}" in done.stderr
    (lock / "owner").write_text(f"{os.uname().nodename} 99999999\n", encoding="utf-8")
    assert places.run("sh", "data_download.sh").returncode == 0
