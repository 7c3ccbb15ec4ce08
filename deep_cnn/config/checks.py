"""Flags that contradict each other."""

from typing import TYPE_CHECKING

from deep_cnn.config.fields import (
    grid_size,
    names_weights,
    parse_duration,
    parse_length,
    parse_subset,
    positive_integer,
    wrong,
)
from deep_cnn.config.registries import OPTIMIZERS, known_as

VERIFIED_SCHEMES, OTHER_SCHEMES = ("https", "file"), ("http", "ftp")  # of URLs of weights
SMALLEST_CLIP = 1e-6  # gradients of networks have norms of about 0.1 to 10
MOST_PIECES = 10**6  # of a batch: more than any batch has images

if TYPE_CHECKING:
    from deep_cnn.config.schema import Config

TEST_SPLIT = 0.15  # the default share of the test set


def check_combinations(config: "Config") -> None:
    """Raise ConfigError for flags that contradict each other, as far as that can be told without looking at the data."""
    if config.val_split + config.test_split >= 1:
        raise wrong(
            "val_split",
            f"{config.val_split:g} --test_split={config.test_split:g}",
            "nothing would be left to train on",
            "their sum must be below 1",
        )
    if config.freeze not in ("none", "backbone") and not positive_integer(config.freeze):
        raise wrong("freeze", config.freeze, "expected none, backbone, or a number of stages from 1 on")
    if config.unfreeze_epoch is not None and config.freeze == "none":
        raise wrong("unfreeze_epoch", config.unfreeze_epoch, "nothing is frozen", "add --freeze=backbone or --freeze=N")
    if config.views and (config.freeze != "backbone" or config.unfreeze_epoch is not None):
        raise wrong("views", config.views, "works only with a backbone that stays frozen", "add --freeze=backbone")
    if config.small_epochs and config.freeze == "backbone" and config.unfreeze_epoch is None:
        raise wrong(
            "small_epochs",
            config.small_epochs,
            "does not work with a frozen backbone, whose features are computed from full-size images",
            "use --small_epochs=0",
        )
    if config.nesterov:
        fitting = [row.name for row in OPTIMIZERS.values() if "nesterov" in row.flags]
        if known_as(config.optimizer, fitting) is None or config.momentum == 0:
            raise wrong(
                "nesterov",
                config.nesterov,
                f"works only with --optimizer={' or '.join(fitting)} and a --momentum above 0",
                "use --no_nesterov",
            )
    pieces = config.grad_accumulation
    if pieces != "auto" and not (positive_integer(pieces) and int(pieces) <= MOST_PIECES):
        raise wrong("grad_accumulation", pieces, f"expected auto or a whole number from 1 to {MOST_PIECES:,}")
    if 0 < config.clip < SMALLEST_CLIP:
        raise wrong(
            "clip", f"{config.clip:g}", "the network would hardly change", f"use {SMALLEST_CLIP:g} or more, or 0 (off)"
        )
    for flag in ("target", "trackers"):
        names = getattr(config, flag)
        if twice := [name for name in names if names.count(name) > 1]:
            raise wrong(flag, ",".join(names), f"{twice[0]} is given twice")
    scheme, is_url, _ = config.weights.lower().partition("://")
    if is_url and scheme not in VERIFIED_SCHEMES + OTHER_SCHEMES:
        raise wrong(
            "weights",
            config.weights,
            "only https, http, ftp and file URLs are supported",
            "download the file and give its path",
        )
    if is_url and scheme in OTHER_SCHEMES and config.weights_sha256 is None:
        raise wrong(
            "weights",
            config.weights,
            "expected an https:// or file:// URL; http:// and ftp:// can be changed on the way",
            "add --weights_sha256=DIGEST to use one of them",
        )
    if config.weights_sha256 is not None and (config.weights == "none" or names_weights(config.weights)):
        raise wrong("weights_sha256", config.weights_sha256, f"--weights={config.weights} is no file or URL")
    if config.subset_order != "stratified" and config.subset is None:
        raise wrong("subset_order", config.subset_order, "works only with --subset", "add --subset=15000, for example")
    if config.raters and config.target_std:
        raise wrong("target_std", ",".join(config.target_std), "--raters says the same already", "omit one of the two")
    if config.weigh_by == "std" and not config.target_std and config.study_id is None:
        raise wrong("weigh_by", "std", "needs --target_std, the column of standard errors")
    check_folds(config)
    check_split_from(config)
    parse_subset(config.subset)
    grid_size(config.group)
    if config.buffer is not None:
        parse_length("buffer", config.buffer)
    parse_duration("max_time", config.max_time)
    parse_duration("peer_timeout", config.peer_timeout)
    if not positive_integer(config.save_every):
        parse_duration("save_every", config.save_every)


def check_folds(config: "Config") -> None:
    """Raise ConfigError for --folds, --fold and other flags of the split that contradict each other."""
    if config.folds is None:
        if config.fold is not None:
            raise wrong("fold", config.fold, "works only with --folds", "add --folds=5, for example")
        return
    if config.folds == "groups":
        if config.group is None:
            raise wrong(
                "folds", config.folds, "needs --group, the column of the groups", "add --group=city, for example"
            )
    elif not positive_integer(config.folds) or int(config.folds) < 2:
        raise wrong("folds", config.folds, "expected a number of folds from 2 on, or groups")
    elif config.fold is not None and config.fold > int(config.folds):
        raise wrong("fold", config.fold, f"there are only {config.folds} folds", f"choose one from 1 to {config.folds}")
    if config.test_split not in (TEST_SPLIT, 0):
        raise wrong(
            "test_split",
            f"{config.test_split:g}",
            "with --folds each image is tested in its own fold",
            "omit --test_split",
        )


def check_split_from(config: "Config") -> None:
    """Raise ConfigError for --split_from beside other flags that give the splits."""
    source = config.split_from
    if source is None:
        return
    if config.folds is not None or config.split_column is not None:
        other = f"--folds={config.folds}" if config.folds is not None else f"--split_column={config.split_column}"
        raise wrong("split_from", source, f"the splits are given by {other} already", "omit one of the two")
    if config.test_split not in (TEST_SPLIT, 0):
        share = f"{config.test_split:g}"
        raise wrong("test_split", share, f"--split_from={source} gives the splits already", "omit one of the two")
    if source == config.run_name:
        raise wrong("split_from", source, "is this run itself", "give the name of another run")
