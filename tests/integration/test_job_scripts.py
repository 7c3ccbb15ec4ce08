"""submit.pbs, cluster/submit_array.pbs, cluster/submit_folds.pbs and cluster/submit_chain.sh, with a program, a qsub and a qstat that are fakes."""

import json
import os
import shutil
import signal
import sys
import tarfile
from pathlib import Path

import pytest
from shell_project import ROOT, Project, wait_for, write_tool

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX shells and signals")

# The program: writes down its flags, then does what $PLAN says ("STATE CODE", a line per call; "wait" until TERM).
FAKE_PROGRAM = f"""#!{sys.executable}
import json, os, pathlib, signal, sys, time
calls = pathlib.Path(os.environ["CALLS"])
with calls.open("a") as file:
    print(*sys.argv[1:], file=file)
run = [flag.split("=")[1] for flag in sys.argv if flag.startswith("--run_name=")] or ["default"]
run += [f"{{run[-1]}}-fold{{flag.split('=')[1]}}" for flag in sys.argv if flag.startswith("--fold=")]
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
    made = Project(
        tmp_path, "submit.pbs", "cluster/submit_array.pbs", "cluster/submit_folds.pbs", "cluster/submit_chain.sh"
    )
    write_tool(made.folder / "environment.sh", '#!/bin/sh\nexec "$@"\n')
    for name, text in [("python", FAKE_PROGRAM), ("qsub", FAKE_QSUB), ("qstat", FAKE_QSTAT)]:
        made.fake(name, text)
    made.env |= {"PBS_O_WORKDIR": str(made.folder), "PBS_JOBID": "123[4].pbs-7", "PBS_JOBNAME": "deep_cnn"}

    def plan(*lines: str) -> None:
        Path(made.env["HOME"], "plan").write_text("\n".join(lines), encoding="utf-8")

    made.plan = plan
    made.submit = lambda script="submit.pbs", **env: made.run("bash", str(made.folder / script), cwd=tmp_path, **env)
    yield made
    made.kill_all()


def test_the_head_of_submit_pbs():
    lines = (ROOT / "submit.pbs").read_text(encoding="utf-8").splitlines()
    assert lines[9:12] == [f'export {name}="${{{name}:-}}"' for name in ("WB_KEY", "WB_PROJECT", "WB_USER")]
    for script in ("submit.pbs", "cluster/submit_array.pbs", "cluster/submit_folds.pbs"):
        head = (ROOT / script).read_text(encoding="utf-8")
        assert "#PBS -l select=1:ncpus=4:ngpus=1:mem=24gb\n" in head  # mem last: Slurm's wrapper needs it so
        assert "#PBS -koed\n" in head


def test_a_finished_job(jobs):
    jobs.plan("finished 0")
    done = jobs.submit(EPOCHS="3", MODEL="resnet18", ARGS="--note='two words' --lr 1e-3")
    assert done.returncode == 0, done.stderr
    assert jobs.calls() == ["-m deep_cnn --note=two words --lr 1e-3 --epochs=3 --model=resnet18 --device=cuda"]
    assert not list((jobs.folder / "outputs/jobs").iterdir())


@pytest.mark.parametrize(
    ("given", "cut", "whole"),
    [
        ("none,ARGS=--target=price,area,EPOCHS=3", "--target=price", "--target=price,area"),
        ("NONE,EPOCHS=3,ARGS=--augment=flip,crop,cutout", "--augment=flip", "--augment=flip,crop,cutout"),
        ("none,ARGS=--target=a,b=c,EPOCHS=3,HOME=/x", "--target=a", "--target=a,b=c"),
        ("none,ARGS=--study_id=A,B,EPOCHS=3", "--study_id=A", "--study_id=A,B"),
        ("none,ARGS=--lr=1,EPOCHS=3", "--lr=1", "--lr=1"),
        ("ALL", "--lr=1", "--lr=1"),
    ],
)
def test_values_that_slurm_has_cut_at_commas_are_whole_again(jobs, given, cut, whole):
    jobs.plan("finished 0")
    done = jobs.submit(EPOCHS="3", ARGS=cut, SLURM_EXPORT_ENV=given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert jobs.calls() == [f"-m deep_cnn {whole} --epochs=3 --device=cuda"]


def test_flags_that_slurm_has_lost_at_a_comma_are_refused(jobs):
    done = jobs.submit(EPOCHS="3", SLURM_EXPORT_ENV="none,--target=price,area,EPOCHS=3")
    assert done.returncode == 2 and not jobs.calls()
    assert "qsub has cut flags at a comma: --target=price,area,EPOCHS=3. Write them into a file" in done.stdout


def test_a_cut_value_is_mended_within_the_flags_of_an_array(jobs):
    jobs.plan("finished 0")
    given = "none,ARGS=--target=price,area,FOLDS=5"
    done = jobs.submit(
        "cluster/submit_folds.pbs", ARGS="--target=price", FOLDS="5", PBS_ARRAY_INDEX="2", SLURM_EXPORT_ENV=given
    )
    assert done.returncode == 0, done.stdout
    assert jobs.calls() == ["-m deep_cnn --target=price,area --folds=5 --fold=2 --device=cuda"]


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
    assert "qsub: not from here" in done.stdout and "cluster/submit_chain.sh" in done.stdout


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


SLOW_COPY = """#!/bin/sh
touch "$HOME/up"
exec sleep 60
"""


@pytest.fixture
def staging(jobs, tmp_path):
    """A function: variables -> the exit code and words of a job that SIGTERM reaches while it copies the data."""
    (jobs.folder / "photos").mkdir()
    (tmp_path / "node").mkdir()
    jobs.fake("cp", SLOW_COPY)

    def interrupted(**env: str) -> tuple[int, str]:
        up = Path(jobs.env["HOME"], "up")
        up.unlink(missing_ok=True)
        flags = {"STAGE": "1", "TMPDIR": str(tmp_path / "node"), "DATA_DIR": "photos", "FAKE_WALLTIME": "00:00:00"}
        process = jobs.start("bash", "submit.pbs", **flags | env)
        wait_for(up.exists)
        process.send_signal(signal.SIGTERM)  # to the shell alone
        out, _ = process.communicate(timeout=30)
        return process.returncode, out

    return interrupted


def test_a_signal_while_data_is_staged_submits_again(jobs, staging):
    code, out = staging(EPOCHS="3")
    assert code == 75 and "before the program had begun" in out and "submitted again" in out
    (qsub,) = jobs.calls()  # the program was not started
    assert "-v EPOCHS,DATA_DIR,STAGE,UNBEGUN,RESUBMITS submit.pbs" in qsub
    jobs.plan("finished 0")
    assert jobs.submit(RESUBMITS="1", UNBEGUN="1").returncode == 0
    assert "--resume" not in jobs.calls()[-1]  # there is nothing to resume
    assert staging(RESUBMITS="1")[0] == 75
    assert "UNBEGUN" not in jobs.calls()[-1]  # the job before this one had begun
    code, out = staging(FAKE_WALLTIME="24:00:00")
    assert code == 75 and "by qdel" in out and len(jobs.calls()) == 3


def test_a_link_of_a_chain_that_was_stopped_while_it_staged(jobs, staging):
    assert staging(CHAIN="c")[0] == 75
    jobs.plan("finished 0")
    assert jobs.submit(CHAIN="c").returncode == 0
    (program,) = jobs.calls()
    assert "--resume" not in program


@pytest.mark.parametrize("name", ["FLAGS_LINE", "GPUS", "RESUBMITS", "MAX_RESUBMITS"])
@pytest.mark.parametrize(
    "value", ["1e touch RUN;", "1p;1w RUN", "a[$(touch RUN)]", "-1", "1.5", "9999999999999999999999"]
)
def test_numbers_are_numbers(jobs, name, value):
    """sed executes what follows its command e, and a calculation of the shell the indices of arrays."""
    (jobs.folder / "flags.txt").write_text("--epochs=1\n", encoding="utf-8")
    jobs.plan("stopped 75")
    done = jobs.submit(FLAGS_FILE="flags.txt", **{name: value})
    assert done.returncode == 2 and f"{name}={value}: expected a whole number" in done.stdout
    assert not list(jobs.folder.rglob("RUN*")) and jobs.calls() == []


def test_values_with_commas_are_given_by_name(jobs):
    """`qsub -v A=1,2` ends the value at its comma; the scripts' own qsub gives names alone."""
    jobs.plan("stopped 75")
    jobs.fake("qsub", '#!/bin/sh\necho "qsub $* [$ARGS]" >>"$CALLS"\n')
    args = "--target=price,area --note='a, b'"
    assert jobs.submit(ARGS=args).returncode == 75
    program, qsub = jobs.calls()
    assert program.startswith("-m deep_cnn --target=price,area --note=a, b ")
    assert " -v ARGS,RESUBMITS submit.pbs" in qsub and qsub.endswith(f"[{args}]")


def test_flags_that_are_written_in_several_lines_are_not_lost(jobs):
    (jobs.folder / "flags.txt").write_text("# scores\n--metadata=t.csv\n--target=price\n", encoding="utf-8")
    done = jobs.submit(FLAGS_FILE="flags.txt")
    assert done.returncode == 2 and "write all flags of a run in one line" in done.stdout and jobs.calls() == []


def test_a_table_and_the_folder_of_weights_are_handed_on(jobs):
    jobs.plan("stopped 75")
    jobs.submit(METADATA="t.csv", TARGET="price", IMAGE_SIZE="64", RECIPE="probe", TORCH_HOME="/weights")
    program, qsub = jobs.calls()
    assert " --image_size=64 --recipe=probe --metadata=t.csv --target=price " in program
    assert "-v IMAGE_SIZE,RECIPE,METADATA,TARGET,TORCH_HOME,RESUBMITS submit.pbs" in qsub


def test_an_array_runs_a_line_each(jobs):
    lines = "# sweep\n--model=resnet18 --lr=1e-3\n\n--model=resnet50 --run_name=big\nsearch --trials=4\n"
    (jobs.folder / "flags.txt").write_text(lines, encoding="utf-8")
    jobs.plan(*["stopped 75", "finished 0", "finished 0"])
    assert jobs.submit("cluster/submit_array.pbs", PBS_ARRAY_INDEX="1").returncode == 75
    assert jobs.submit("cluster/submit_array.pbs", PBS_ARRAY_INDEX="2", RUN_NAME="sweep", EPOCHS="1").returncode == 0
    assert jobs.submit("cluster/submit_array.pbs", PBS_ARRAY_INDEX="3").returncode == 0
    beyond = jobs.submit("cluster/submit_array.pbs", PBS_ARRAY_INDEX="4")
    assert beyond.returncode == 2 and "no line 4" in beyond.stdout
    first, again, second, third = jobs.calls()
    assert first == "-m deep_cnn --model=resnet18 --lr=1e-3 --run_name=flags-1 --device=cuda"
    assert "-N deep_cnn-1" in again and "-v FLAGS_FILE,FLAGS_LINE,RESUBMITS submit.pbs" in again
    assert second.endswith("--run_name=sweep --epochs=1 --run_name=big --device=cuda")
    assert third == "-m deep_cnn search --trials=4 --device=cuda"


def test_an_array_trains_a_fold_each_and_its_own_status_decides(jobs):
    jobs.plan("stopped 75", "finished 0", "finished 0")
    given = {"FOLDS": "groups", "RUN_NAME": "cities", "ARGS": "--group=city"}
    assert jobs.submit("cluster/submit_folds.pbs", PBS_ARRAY_INDEX="3", **given).returncode == 75
    done = jobs.submit("cluster/submit_folds.pbs", PBS_ARRAY_INDEX="1", **given)
    assert done.returncode == 0 and "cities-fold1: finished" in done.stdout
    follower = jobs.submit(RESUBMITS="1", RUN_NAME="cities", ARGS="--group=city --folds=groups --fold=3")
    assert follower.returncode == 0 and "cities-fold3: finished" in follower.stdout
    third, again, first, after = jobs.calls()
    assert third == "-m deep_cnn --group=city --folds=groups --fold=3 --run_name=cities --device=cuda"
    assert "-N deep_cnn-fold3" in again and "-v RUN_NAME,ARGS,RESUBMITS submit.pbs" in again
    assert "--fold=1 " in first and after == f"{third} --resume=must"


def test_a_chain_gets_on_when_any_fold_does(jobs):
    jobs.plan("failed 1", "failed 1", "failed 1")
    for fold in (1, 2):
        assert jobs.submit(CHAIN="c", ARGS="--folds=5").returncode == 1
        last = jobs.folder / f"outputs/models/default-fold{fold}/last.pt"
        last.parent.mkdir(parents=True)
        last.touch()
    assert jobs.submit(CHAIN="c", ARGS="--folds=5").returncode == 1, "a third try, since a fold got on in each of them"


def test_a_chain_is_queued_in_order(jobs):
    done = jobs.run("sh", "cluster/submit_chain.sh", "3", "-l", "walltime=1:00:00", EPOCHS="90")
    assert done.returncode == 0, done.stderr
    first, second, third = jobs.calls()
    assert first.startswith("qsub -l walltime=1:00:00 -v CHAIN,EPOCHS submit.pbs [EPOCHS=90")
    assert second.startswith("qsub -W depend=afternotok:1 -l walltime=1:00:00")
    assert third.startswith("qsub -W depend=afternotok:2 ")
    assert "qdel 1 2 3" in done.stdout
    assert jobs.run("sh", "cluster/submit_chain.sh").returncode == 2
    assert jobs.run("sh", "cluster/submit_chain.sh", "2", "-v", "EPOCHS=9").returncode == 2


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


FAKE_MPIEXEC = """#!/bin/sh
if [ "$1" = --version ]; then echo "$MPI"; exit; fi
echo "mpiexec $*" | head -n 1 | sed 's/ bash .*//' >>"$CALLS"
while [ "$1" != bash ]; do shift; done
cd / && exec "$@"
"""


@pytest.mark.parametrize(
    ("mpi", "words"),
    [
        ("HYDRA build details", "-n 2 --ppn 1"),
        ("mpiexec (Open MPI) 4.1", "-n 2 --map-by ppr:1:node --bind-to none"),
    ],
)
def test_several_nodes(jobs, tmp_path, mpi, words):
    (jobs.folder / "cluster").mkdir(exist_ok=True)
    shutil.copy(ROOT / "cluster/submit_multinode.pbs", jobs.folder / "cluster")
    jobs.fake("mpiexec", FAKE_MPIEXEC)
    jobs.fake("torchrun", FAKE_PROGRAM)
    (tmp_path / "nodes").write_text("node-b\nnode-a\nnode-b\n", encoding="utf-8")
    jobs.plan("stopped 0")
    done = jobs.submit(
        "cluster/submit_multinode.pbs",
        PBS_NODEFILE=str(tmp_path / "nodes"),
        MPI=mpi,
        GPUS="8",
        EPOCHS="3",
        ARGS="--note='two words'",
        STAGE="1",
    )
    assert done.returncode == 75, done.stdout + done.stderr
    start, program, qsub = jobs.calls()
    assert start == f"mpiexec {words}"
    assert program == (
        "--nnodes=2 --nproc-per-node=8 --rdzv-backend=c10d --rdzv-id=123[4].pbs-7 --rdzv-endpoint=node-b:20123 "
        "-m deep_cnn --note=two words --epochs=3 --device=cuda"
    )
    assert qsub.split(" [")[0].endswith(" cluster/submit_multinode.pbs") and "GPUS" in qsub
    assert "not staged: the nodes would see different images" in done.stdout
