"""--coverage: how the regions of some networks' predictions are made, from the errors that their checkpoints keep."""

import logging
from collections.abc import Sequence

from deep_cnn.config.fields import wrong
from deep_cnn.inference.load import TrainedNetwork
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.tasks.conformal import Calibration, Rule, mean_of
from deep_cnn.tasks.coverage import method_text

log = logging.getLogger(__name__)

TRAIN_AGAIN = "train again with a validation set, or predict without --coverage"


def rules_for(networks: Sequence[TrainedNetwork], coverage: float, tta: str) -> list[Rule | str]:
    """A rule for each target, or for the classes; says how they are made.

    Args:
        networks: one; all folds of one cross-validation, in any order; or several that were validated on the same images.

    Raises:
        ConfigError: there is none, for a reason that the message gives.
    """
    task = networks[0].task
    if not task.region_columns:
        raise wrong("coverage", coverage, f"not available for {task.title}", "leave the flag out")
    if tta != "none":
        raise wrong(
            "coverage", coverage, f"is calibrated on plain predictions, not on --tta={tta}", "omit one of the two"
        )
    rules = task.region_rules(calibrations_of(networks, coverage), coverage)
    missing = [rule for rule in rules if isinstance(rule, str)]
    if len(missing) == len(rules):
        of_groups = "calibration group" in missing[0]  # which a lower coverage does not make more
        hints = [] if of_groups else ["use a lower coverage"]
        if len(networks) == 1:
            hints.append(f"cross-validation (--folds) calibrates on all {'groups' if of_groups else 'images'}")
        raise wrong("coverage", coverage, f"there are only {missing[0]}", "; ".join(hints) or "train on more groups")
    log.info("Coverage %g (%s), for new %s like those of the calibration", coverage, method_text(rules), _units(rules))
    for name, rule in zip(task.names, rules, strict=False):
        if isinstance(rule, str):
            log.warning("No intervals of %s: %s", name, rule)
    if any(isinstance(rule, Rule) and ", few" in rule.method for rule in rules):
        log.warning(
            "There are few calibration images or groups, so the true coverage may be some points higher or lower; cross-validation "
            "(--folds) calibrates on all images"
        )
    return rules


def _units(rules: Sequence[Rule | str]) -> str:
    return "groups" if any(isinstance(rule, Rule) and rule.groups is not None for rule in rules) else "images"


def calibrations_of(networks: Sequence[TrainedNetwork], coverage: float) -> list[Calibration]:
    """That of the network or of the mean of networks, or one for each network of a cross-validation, in their order."""
    folds = [network.meta["fold_errors"] for network in networks if "fold_errors" in network.meta]
    if len(folds) == len(networks) > 1 and len({fold["plan"] for fold in folds}) == 1:
        numbers = sorted(fold["fold"] for fold in folds)
        if numbers == list(range(1, fold_count(networks[0]) + 1)):
            return [Calibration.from_dict(fold) for fold in folds]
        given = ", ".join(map(str, numbers))
        raise ConfigError(
            f"--coverage={coverage:g}: only the folds {given} of {fold_count(networks[0])} were given; give each fold once"
        )
    found = [calibration for network in networks if (calibration := network.calibration) is not None]
    if len(found) < len(networks):
        raise wrong(
            "coverage",
            coverage,
            "the checkpoint has no errors of validation images (no validation set, or version 0.1.0)",
            TRAIN_AGAIN,
        )
    mean = found[0] if len(found) == 1 else mean_of(found)
    if mean is None:
        raise wrong(
            "coverage",
            coverage,
            "the checkpoints were validated on different images",
            "give one of them, or all folds of one --folds",
        )
    return [mean]


def fold_count(network: TrainedNetwork) -> int:
    """How many folds the cross-validation has that this network is of."""
    return int(network.meta["fold_errors"]["folds"])
