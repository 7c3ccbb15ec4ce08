"""What `auto` of --batch_size comes to: by flags and the number of training images alone; what runs that are there began with."""

from dataclasses import replace

import pytest

from deep_cnn.config import defaults
from deep_cnn.config.identity import run_identity
from deep_cnn.config.recipes import with_recipe
from deep_cnn.config.schema import Config
from deep_cnn.runtime.errors import ConfigError


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (1, 8),
        (34, 8),
        (159, 8),
        (160, 16),
        (207, 16),
        (320, 32),
        (402, 32),
        (640, 64),
        (1279, 64),
        (1280, 128),
        (1_803_460, 128),
    ],
)
def test_an_epoch_has_ten_steps_or_the_batches_of_large_sets(images, expected):
    assert defaults.resolved(Config(), images).batch_size == expected


def test_a_flag_that_is_given_is_kept():
    assert defaults.resolved(Config(batch_size=128), 40).batch_size == 128
    assert defaults.resolved(with_recipe({"recipe": "tutorial"}), 40).batch_size == 4
    assert defaults.resolved(Config(batch_size="auto"), 40).batch_size == 8
    with pytest.raises(ConfigError, match="--batch_size=many: expected a whole number or auto"):
        Config(batch_size="many")
    with pytest.raises(ConfigError, match="--batch_size=0: out of range"):
        Config(batch_size=0)


def test_from_scratch_it_is_that_of_large_sets():
    assert defaults.resolved(Config(weights="none"), 40).batch_size == 128
    assert defaults.resolved(with_recipe({"recipe": "scratch"}), 40).batch_size == 128


def test_what_was_chosen_is_said_with_its_reason():
    asked = Config()
    line = defaults.chosen_line(asked, defaults.resolved(asked, 207), 207)
    assert line == (
        "--batch_size=16 --batchnorm=keep for 207 training images: with 128 an epoch would have only 2 steps, and training needs "
        "at least 10; the means of so few images are too noisy for BatchNorm"
    )
    assert defaults.chosen_line(asked, defaults.resolved(asked, 5000), 5000) is None
    assert " for 1,200 training votes: " in str(
        defaults.chosen_line(asked, defaults.resolved(asked, 1200), 1200, "votes")
    )
    given = replace(asked, batch_size=16, batchnorm="keep")
    assert defaults.chosen_line(given, given, 207) is None
    one = replace(asked, batch_size=16)
    assert defaults.chosen_line(one, defaults.resolved(one, 207), 207).startswith(
        "--batchnorm=keep for 207 training images: the means of"
    )


@pytest.mark.parametrize(
    ("images", "expected"), [(40, "keep"), (1279, "keep"), (1280, "update"), (1_803_460, "update")]
)
def test_statistics_are_kept_for_small_sets_that_are_fine_tuned(images, expected):
    assert defaults.resolved(Config(), images).batchnorm == expected
    assert defaults.resolved(Config(batchnorm="update"), images).batchnorm == "update"
    assert defaults.resolved(Config(weights="none"), images).batchnorm == "update"


def test_an_unfinished_run_of_an_older_version_goes_on_with_the_old_defaults():
    old = {"identity": {"flags": {"batch_size": 128}}}
    found = defaults.resolved(Config(), 40, defaults.chosen_before(old))
    assert (found.batch_size, found.batchnorm) == (128, "update")
    given = {"identity": {"flags": {"batch_size": 64}}}  # a flag was given then, and is not now: another run
    assert defaults.resolved(Config(), 40, defaults.chosen_before(given)).batch_size == 8
    assert defaults.chosen_before(None) == {} == defaults.chosen_before({})


def test_a_run_goes_on_with_what_was_chosen_for_it():
    """Also where a later version would choose otherwise; a flag that was given in spite of it makes another run."""
    record = {"identity": {"flags": {"batch_size": 32}}, "chosen": {"batch_size": 32}}
    assert defaults.resolved(Config(), 40, defaults.chosen_before(record)).batch_size == 32
    explicit = {"identity": {"flags": {"batch_size": 128}}, "chosen": {}}
    assert defaults.chosen_before(explicit) == {}


def identity_of(config: Config, **chosen) -> dict:
    return run_identity(replace(config, **chosen), "data", "read")


def test_only_the_run_that_is_asked_for_is_gone_on_with():
    config, chosen = Config(root_dir=".", seed=3), {"batch_size": 32, "batchnorm": "keep"}
    record = {"identity": identity_of(config, **chosen), "chosen": chosen}
    for finished in (False, True):
        assert defaults.begun_with(record, finished, config, ("data", "read")) == chosen
        assert defaults.begun_with(record, finished, replace(config, seed=4), ("data", "read")) == {}
    # of an unfinished run it is found out later that its images have changed; a finished one is trained again on others
    assert defaults.begun_with(record, False, config, ("other", "read")) == chosen
    assert defaults.begun_with(record, True, config, ("other", "read")) == {}


def test_a_run_of_a_version_that_chose_nothing():
    config = Config(root_dir=".", seed=3)
    identity = identity_of(config, batch_size=128, batchnorm="update")
    del identity["flags"]["batchnorm"]  # there was no such flag
    old = {"identity": identity}
    assert defaults.begun_with(old, False, config, ("data", "read")) == {"batch_size": 128, "batchnorm": "update"}
    assert (
        defaults.begun_with(old, True, config, ("data", "read"))
        == {}
        == defaults.begun_with(None, False, config, ("", ""))
    )
    # a flag that is given now and is not what the run had: another run, with today's defaults
    assert defaults.begun_with(old, False, replace(config, batch_size=16), ("data", "read")) == {}
    assert defaults.begun_with(old, False, replace(config, batch_size=128), ("data", "read")) == {"batchnorm": "update"}
