"""Seeds share their test set; runs that version 0.1.0 began keep the splits of their seed."""

import pytest

from deep_cnn.config.identity import differences, run_identity
from deep_cnn.config.schema import Config
from deep_cnn.runtime.atomic import write_json
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.status import Status
from deep_cnn.training.run import Run
from deep_cnn.training.setup import _split_seed


def split_seed(tmp_path, flags=None, **given):
    files = RunFiles(tmp_path / "outputs", "run")
    if flags is not None:
        write_json(files.results / "config.json", {"identity": {"flags": flags}})
    config = Config(run_name="run", root_dir=str(tmp_path), **given)
    return _split_seed(Run(config, files, None, Status(files, writes=False), 0.0))


@pytest.mark.parametrize(
    ("saved", "given", "expected"),
    [
        (None, {"seed": 3}, None),  # a new run: the constant
        ({"seed": 3}, {"seed": 3}, 3),  # begun by 0.1.0
        ({"seed": 3, "split_seed": 3}, {"seed": 3}, 3),  # and gone on once
        ({"seed": 3}, {"seed": 4}, None),  # another run under its name
        ({"seed": 3, "split_seed": 0}, {"seed": 3}, None),
        ({"seed": 3}, {"seed": 3, "split_seed": 7}, 7),
    ],
)
def test_the_seed_of_the_splits(tmp_path, saved, given, expected):
    assert split_seed(tmp_path, saved, **given) == expected


def test_a_run_of_0_1_0_is_the_same_run_only_with_its_own_splits():
    old = run_identity(Config(seed=3), "data", "read")
    del old["flags"]["split_seed"]
    assert differences(run_identity(Config(seed=3, split_seed=3), "data", "read"), old) == []
    assert differences(run_identity(Config(seed=3), "data", "read"), old) == ["--split_seed was 3, is 0"]
    assert differences(run_identity(Config(split_seed=0), "data", "read"), run_identity(Config(), "data", "read")) == []


def test_the_same_splits_under_another_name_are_the_same_run(tmp_path):
    for name in ("first", "copy"):
        (tmp_path / "outputs/results" / name).mkdir(parents=True)
        (tmp_path / "outputs/results" / name / "splits.csv").write_text("file,class,split\n")
    first, copy = (
        run_identity(Config(root_dir=str(tmp_path), split_from=name), "d", "r") for name in ("first", "copy")
    )
    assert differences(first, copy) == []


def test_flags_that_contradict():
    with pytest.raises(ConfigError, match="--split_from=other: the splits are given by --folds=5 already"):
        Config(split_from="other", folds="5")
    with pytest.raises(ConfigError, match=r"--test_split=0\.3: --split_from=other gives the splits already"):
        Config(split_from="other", test_split=0.3)
    with pytest.raises(ConfigError, match="is this run itself"):
        Config(split_from="default")
