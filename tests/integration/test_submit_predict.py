"""cluster/submit_predict.pbs: a part of the images per job of an array, with a fake queue and a fake program."""

import pytest
from shell_project import write_tool
from test_job_scripts import FAKE_QSTAT, jobs, pytestmark  # noqa: F401 - the fixture, and where there are no shells


@pytest.fixture
def array(jobs):  # noqa: F811
    import shutil

    from shell_project import ROOT

    (jobs.folder / "cluster").mkdir(exist_ok=True)
    shutil.copy(ROOT / "cluster/submit_predict.pbs", jobs.folder / "cluster")
    jobs.env |= {
        "PBS_JOBID": "7[4].pbs-7",
        "IMAGES": "input/a city",
        "OUTPUT": "outputs/city.csv",
        "RUN_NAME": "safety",
    }
    return jobs


@pytest.mark.parametrize(
    ("submitted", "index", "shard"), [("1-8", "4", "4/8"), ("0-6:2", "4", "3/4"), ("1-20%2", "20", "20/20")]
)
def test_the_shard_is_the_place_in_the_array(array, submitted, index, shard):
    write_tool(array.bin / "qstat", f"{FAKE_QSTAT}\necho '    array_indices_submitted = {submitted}'\n")
    array.plan("silent 0")
    assert array.submit("cluster/submit_predict.pbs", PBS_ARRAY_INDEX=index, ARGS="--tta").returncode == 0
    assert array.calls() == [
        f"-m deep_cnn predict --images=input/a city --output=outputs/city.csv --shard={shard} --tta "
        "--run_name=safety --device=cuda"
    ]


def test_a_part_that_its_walltime_stops_goes_on_as_the_same_part(array):
    array.plan("silent 75", "silent 0")
    job = array.submit("cluster/submit_predict.pbs", PBS_ARRAY_INDEX="4", SHARDS="8")
    assert job.returncode == 75
    first, again = array.calls()
    assert "--shard=4/8" in first and "--resume" not in first
    assert "RUN_NAME,ARGS,RESUBMITS" in again and again.split(" [")[0].endswith("submit.pbs")
    follower = array.submit(
        "submit.pbs", RESUBMITS="1", ARGS="predict --images='input/a city' --shard=4/8", PBS_ARRAY_INDEX=""
    )
    assert follower.returncode == 0 and "--shard=4/8" in array.calls()[-1] and "--resume" not in array.calls()[-1]


def test_unreadable_images_and_mistakes(array):
    array.plan("silent 3")
    assert array.submit("cluster/submit_predict.pbs", PBS_ARRAY_INDEX="1", SHARDS="2").returncode == 3
    unknown = array.submit("cluster/submit_predict.pbs", PBS_ARRAY_INDEX="1")
    assert unknown.returncode == 2 and "SHARDS=8" in unknown.stdout
    assert array.submit("cluster/submit_predict.pbs").returncode != 0
    assert (
        "which images" in array.submit("cluster/submit_predict.pbs", PBS_ARRAY_INDEX="1", SHARDS="2", IMAGES="").stdout
    )


def test_names_with_quotes_spaces_and_commas_stay_one_word(array):
    array.plan("silent 0")
    names = {"IMAGES": "input/Anna's photos, 2024", "OUTPUT": 'outputs/"a b".csv', "CHECKPOINT": "a,b.pt"}
    assert array.submit("cluster/submit_predict.pbs", PBS_ARRAY_INDEX="1", SHARDS="2", **names).returncode == 0
    assert array.calls()[0].startswith(
        """-m deep_cnn predict --images=input/Anna's photos, 2024 --output=outputs/"a b".csv --shard=1/2 --checkpoint=a,b.pt """
    )
