"""Flags that contradict each other."""

from typing import TYPE_CHECKING

from deep_cnn.config.fields import parse_duration, parse_subset, positive_integer
from deep_cnn.runtime.errors import ConfigError

if TYPE_CHECKING:
    from deep_cnn.config.schema import Config


def check_combinations(config: "Config") -> None:
    """Raise ConfigError for flags that contradict each other, as far as that can be told without looking at the data."""
    if config.val_split + config.test_split >= 1:
        raise ConfigError(
            f"--val_split={config.val_split:g} --test_split={config.test_split:g}: "
            "nothing would be left to train on; their sum must be below 1"
        )
    if config.freeze not in ("none", "backbone") and not (config.freeze.isdecimal() and int(config.freeze) > 0):
        raise ConfigError(f"--freeze={config.freeze}: expected none, backbone, or a number of stages from 1 on")
    if config.unfreeze_epoch is not None and config.freeze == "none":
        raise ConfigError("--unfreeze_epoch: nothing is frozen; add --freeze=backbone or --freeze=N")
    if config.views and (config.freeze != "backbone" or config.unfreeze_epoch is not None):
        raise ConfigError("--views: only with --freeze=backbone and without --unfreeze_epoch")
    if config.small_epochs and config.freeze == "backbone" and config.unfreeze_epoch is None:
        raise ConfigError(
            "--small_epochs: not with a frozen backbone, whose features are of images as they are tested "
            "(--small_epochs=0 where a recipe sets it)"
        )
    if config.nesterov and (config.optimizer not in ("sgd", "muon") or config.momentum == 0):
        raise ConfigError("--nesterov: only with --optimizer=sgd or muon, and a --momentum above 0")
    if config.grad_accumulation != "auto" and not positive_integer(config.grad_accumulation):
        raise ConfigError(f"--grad_accumulation={config.grad_accumulation}: expected auto or a whole number from 1 on")
    if config.workers != "auto" and not config.workers.isdecimal():
        raise ConfigError(f"--workers={config.workers}: expected auto or a whole number")
    if not config.run_name or set(config.run_name) & set('/\\:*?"<>|\n') or config.run_name in (".", ".."):
        raise ConfigError(f"--run_name={config.run_name}: it names files, so use letters, digits, '.', '_' and '-'")
    if config.subset_order != "stratified" and config.subset is None:
        raise ConfigError(f"--subset_order={config.subset_order}: orders what --subset takes; add --subset=15000")
    parse_subset(config.subset)
    parse_duration("max_time", config.max_time)
    parse_duration("peer_timeout", config.peer_timeout)
    if not positive_integer(config.save_every):
        parse_duration("save_every", config.save_every)
