"""How the results were computed: estimand, intervals, baselines, noise ceiling, calibration, prediction intervals, place, comparisons."""

from functools import partial
from typing import Any

from deep_cnn.config.registries import METRICS, shown
from deep_cnn.reporting.compare.rows import metric_label, shown_p
from deep_cnn.reporting.methods.material import between
from deep_cnn.reporting.methods.study import Study
from deep_cnn.runtime.format import listed, percent, plural, quantity
from deep_cnn.tasks.differences import LINEAR_BASELINE
from deep_cnn.tasks.intervals import FEWEST_GROUPS
from deep_cnn.tasks.spatial import NEIGHBOURS, PERMUTATIONS

# what a method's name in interval_methods begins with -> the same in words, with its papers
INTERVALS = (
    (
        "Wilson with the jackknife's variance over groups",
        "Wilson's with a variance from leaving out one group at a time [@wilson,tukey]",
    ),
    (
        "Wilson with the jackknife's variance",
        "Wilson's with the variance of the jackknife, or MOVER where it is wider [@wilson,tukey,zou]",
    ),
    ("Wilson", "Wilson's [@wilson]"),
    ("Bonett-Wright", "Bonett and Wright's [@bonett]"),
    ("jackknife over groups", "a jackknife that leaves out one group at a time [@tukey]"),
    ("jackknife", "a jackknife over images [@tukey]"),
    ("Nadeau-Bengio over folds", "Nadeau and Bengio's over the folds [@nadeau]"),
    (
        "dyadic cluster-robust",
        "cluster-robust for dyadic data, as votes that share an image depend on each other [@fafchamps,aronow]",
    ),
)


def metrics(study: Study) -> list[str]:
    """Each metric with its value and interval, then what the intervals are of and how they were made."""
    test = study.test
    if not test:
        return ["The network was not tested."]
    names = [name for name in METRICS if isinstance(test.get(name), (int, float))]
    values: dict[str, list[str]] = {}
    for name in names:
        values.setdefault(_over(study, name), []).append(_with_interval(test, name))
    found = [f"On {over}, {listed(said)}." for over, said in values.items()]
    methods: dict[str, list[str]] = {}
    for name in names:
        if test.get("intervals", {}).get(name):
            methods.setdefault(_in_words(test.get("interval_methods", {}).get(name, "")), []).append(_label(name))
    methods.pop("", None)
    if methods:
        level = percent(test.get("interval_level", 0.95), 0)
        made = "; ".join(f"of {listed(labels)}, {words}" for words, labels in methods.items())
        papers = " [@bayle]" if study.of_folds else ""
        found.append(f"Brackets give {level} confidence intervals; the estimand is {test['estimand']}{papers}.")
        found.append(f"The intervals are: {made}.")
    elif (bootstrap := test.get("bootstrap", {})).get("repeats"):  # of version 0.1.0
        found.append(
            f"Brackets give {percent(bootstrap['level'], 0)} percentile bootstrap intervals ({bootstrap['repeats']:,} resamples of "
            f"{bootstrap['resampled']})."
        )
    return [*found, *_groups(study), *_vote_details(study)]


def _over(study: Study, name: str) -> str:
    """What a metric is of: votes or images; of a cross-validation also whether of all together or the mean of the folds."""
    test, of_votes = study.test, study.of_votes and name in study.task.headline
    units = _votes(study, name) if of_votes else plural(test["count"], "image" if study.of_folds else "test image")
    if not study.of_folds:
        return units
    together = "number_of_groups" in test and name in test.get("pooled", [name])
    how = "all together" if together else f"mean of {test['folds']} folds"
    return f"{units} ({how})" if of_votes else f"the {units} ({how})"


def _votes(study: Study, name: str) -> str:
    """The votes that a metric is of: a tie has a loss, but is neither right nor wrong."""
    each = [member.test["votes"] for member in study.members if member.test]
    decided, every = (sum(votes[key] for votes in each) for key in ("test_decided", "test"))
    between_images = f"between test images{' of the same fold' if study.of_folds else ''}"
    if name == "pair_accuracy":
        return f"{plural(decided, 'decided vote')} {between_images}"
    return f"{plural(every, 'vote')} {between_images}{', ties included' if every > decided else ''}"


def _with_interval(test: dict[str, Any], name: str) -> str:
    ends = test.get("intervals", {}).get(name)
    write = partial(shown, name)
    return f"{_label(name)} was {write(test[name])}" + (f" [{write(ends[0])} to {write(ends[1])}]" if ends else "")


def _label(name: str) -> str:
    return {"pearson": "Pearson's correlation", "spearman": "Spearman's correlation"}.get(name, METRICS[name].label)


def _in_words(method: str) -> str:
    """A method of test.json in words; itself where it is not known here, and '' where there is none."""
    if not method or method.startswith("none"):
        return ""
    words = next((words for start, words in INTERVALS if method.startswith(start)), method)
    parts = method.split(", ")
    scale = next((part for part in parts if part.endswith(" scale")), "")
    if scale and scale != "plain scale":
        words = words.replace(" [@", f" on the {scale} [@", 1)
    if "or Wilson with its variance if wider" in method:
        words = words.replace(" [@tukey]", ", or Wilson's with its variance where it is wider [@tukey,wilson]")
    elif method.startswith(("dyadic", "jackknife over groups")) and method.endswith("Wilson"):
        words = words.replace(" [@", ", in Wilson's form [@wilson,", 1)
    for units in ("images", "votes"):
        if f"or Wilson of all {units} if wider" in method:
            words += f", or Wilson's of all {units} where it is wider [@wilson]"
    if "variance x K / (K - 1)" in method:
        words += ", its variance multiplied by K / (K - 1) for K folds, which share training images [@nadeau]"
    return words


def _groups(study: Study) -> list[str]:
    test, group = study.test, study.flag("group")
    if "number_of_groups" not in test:
        return []
    number = test["number_of_groups"]
    if number < FEWEST_GROUPS:
        return [
            f"The test images are of {plural(number, 'group')} ({group}), too few for an interval: results of each group are reported instead."
        ]
    effective = test.get("effective_groups")
    worth = f", worth {quantity(effective, 3)} groups of equal size" if effective else ""
    found = [f"The test images are of {number:,} groups ({group}){worth}."]
    for target, within in test.get("within_groups", {}).items():
        if isinstance(within, dict):
            found.append(
                f"Within groups, with the mean of each group removed, R2 of {target} was {quantity(within['r2'])} and Pearson's correlation "
                f"{quantity(within['pearson'])}."
            )
    return found


def _vote_details(study: Study) -> list[str]:
    if not study.of_votes:
        return []
    found = [
        "Pearson's and Spearman's correlations are with reference scores: regularised Bradley-Terry scores of the test images from their "
        "votes, none of them between two training images [@bradley]."
    ]
    for question, ceiling in (study.first.test or {}).get("pair_ceiling", {}).items():
        if ceiling["pair_accuracy"] is None:
            continue  # the assumption does not hold
        found.append(
            f"The largest pair accuracy that any scores could reach on votes of these people was estimated as "
            f"{percent(ceiling['pair_accuracy'])}{_of(question, study)}, under the assumption that true scores are normal."
        )
    return found


def _of(name: str, study: Study) -> str:
    return f" for {name}" if len(study.task.names) > 1 else ""


def baselines(study: Study) -> list[str]:
    """What is reached without the network."""
    found = []
    if (
        study.of_folds and not study.test.get("differences") and (mean := study.test.get("mean_predictor"))
    ):  # of an older version
        said = [f"{_label(name)} {shown(name, value)}" for name, value in mean.items() if name in METRICS]
        found.append(f"Always predicting the mean of the training set gave {listed(said)} (means of the folds).")
    for name, compared in study.test.get("differences", {}).items():
        metric = next((metric for metric in METRICS if compared.get(metric)), None)
        if metric is None:
            continue
        value, ends = compared[metric]["value"], compared[metric]["interval"]
        points = " percentage points" if METRICS[metric].share else ""
        better = "higher" if METRICS[metric].higher_is_better else "lower"
        between_ends = f" [{_signed(metric, ends[0])} to {_signed(metric, ends[1])}]" if ends else ""
        found.append(
            f"Compared with {_baseline_words(name, study)}, {METRICS[metric].label} differed by "
            f"{_signed(metric, value)}{between_ends}{points} ({better} is better)."
        )
    return found


def _baseline_words(name: str, study: Study) -> str:
    if name == LINEAR_BASELINE:
        kind = "ridge regression" if study.of_scores else "a linear predictor"
        return f"{kind} on mean colours and edges of the images, learnt from the same training images"
    known = {
        "majority_class": "always the most frequent class",
        "mean_predictor": "always the mean of the training set",
        "coin_flip": "a coin flip",
    }
    return known.get(name, name.replace("_", " "))


def _signed(metric: str, value: float) -> str:
    if METRICS[metric].share:
        return f"{100 * value:+.2f}"
    return f"{'+' if value > 0 else ''}{shown(metric, value)}"


# ---- noise ceiling ------------------------------------------------------------------------------------------------------


def ceilings(study: Study) -> list[str]:
    """The reliability of the scores, and what share of the largest results was reached."""
    if study.of_folds:
        return _ceilings_of_folds(study)
    found = []
    for target, ceiling in study.test.get("noise_ceiling", {}).items():
        at_most = "at most " if ceiling["upper_bound"] else ""
        found.append(
            f"The reliability of the test scores of {target}, {_reliability_words(ceiling['method'])}, was {at_most}"
            f"{_value(ceiling, 'reliability')}; {_shares(ceiling)}"
        )
    return found


def _value(ceiling: dict[str, Any], name: str) -> str:
    ends = ceiling["intervals"].get(name)
    return quantity(ceiling[name]) + (f" [{quantity(ends[0])} to {quantity(ends[1])}]" if ends else "")


def _shares(ceiling: dict[str, Any]) -> str:
    if ceiling["reliability"] <= 0:
        return "the noise is as large as the spread of the scores, so no share of a ceiling is given."
    at_most = "at most " if ceiling["upper_bound"] else ""
    r2 = (
        f"the largest R2 that is possible is {at_most}{quantity(ceiling['largest_r2'])}, "
        if ceiling["share_r2"] is not None
        else ""
    )
    reached = [
        f"{_value(ceiling, key)} of the largest {label}"
        for key, label in (("share_r2", "R2"), ("share_pearson", "correlation"))
        if ceiling.get(key) is not None
    ]
    return (
        f"{r2}the largest Pearson correlation {at_most}{quantity(ceiling['largest_pearson'])} [@spearman1904]; the network reached "
        f"{listed(reached)}. A bias that raters share is not noise here."
    )


def _reliability_words(method: str) -> str:
    if method.startswith("ICC"):
        return f"{method} of the raters [@shrout]"
    if method == "standard errors":
        return "1 less the mean squared standard error over the variance of the scores"
    if method.startswith("posterior"):
        return "from posterior means and standard deviations (an upper bound that is exact only if the prior has the spread of the true scores)"
    return f"by the agreement of {method}, stepped up by the Spearman-Brown formula [@spearman1910,brown]"


def _ceilings_of_folds(study: Study) -> list[str]:
    by_target: dict[str, list[dict[str, Any]]] = {}
    for member in study.members:
        for target, ceiling in ((member.test or {}).get("noise_ceiling") or {}).items():
            by_target.setdefault(target, []).append(ceiling)
    found = []
    for target, each in by_target.items():
        values = [ceiling["reliability"] for ceiling in each]
        at_most = "at most " if each[0]["upper_bound"] else ""
        is_r2 = (
            "it is the largest R2 that is possible, and its root" if each[0]["share_r2"] is not None else "its root is"
        )
        found.append(
            f"The reliability of the scores of {target}, {_reliability_words(each[0]['method'])}, was {at_most}{quantity(min(values))} to "
            f"{quantity(max(values))} in the test sets of the folds; {is_r2} the largest Pearson correlation [@spearman1904]."
        )
    return found


# ---- probabilities, regions, views, place, comparisons ---------------------------------------------------------------------


def calibration(study: Study) -> list[str]:
    """How probabilities were calibrated."""
    all_found = [found for member in study.members if (found := (member.test or {}).get("calibration"))]
    if not all_found or not all(found["validation_images"] for found in all_found):
        return []
    temperatures = [found["temperature"] for found in all_found]
    low, high = quantity(min(temperatures), 3), quantity(max(temperatures), 3)
    value = low if low == high else f"{low} to {high}"
    said = (
        f"Probabilities were calibrated by temperature scaling [@guo] on {between([found['validation_images'] for found in all_found])} "
        f"validation images{' in each fold' if study.of_folds else ''} (temperature {value})"
    )
    found = all_found[0]
    if not study.of_folds and "ece" in found:
        low, high = (percent(value, 1) for value in found["ece_null"])
        said += (
            f"; the expected calibration error was {percent(found['ece'], 1)}, where {low} to {high} is due to chance"
        )
    return [said + "."]


def coverage(study: Study) -> list[str]:
    """Prediction intervals and sets on the test images."""
    found = study.test.get("coverage")
    if not found:
        return []
    level = percent(found["level"], 0)
    each = found.get("per_target") or {"": found}
    sentences = []
    for name, about in each.items():
        if "reached" not in about:
            continue
        what = (
            "Prediction sets"
            if "per_target" not in found
            else "Prediction intervals" + (f" of {name}" if len(each) > 1 else "")
        )
        ends = about["interval"]
        interval = f" [{percent(ends[0])} to {percent(ends[1])}]" if ends else ""
        sentences.append(
            f"{what} for {level} of new images, by {about['method']}{_papers_of(about['method'], study)}, calibrated on "
            f"{plural(about['calibration_images'], 'validation image')}, contained the truth of {percent(about['reached'])}{interval} of the "
            "test images."
        )
    return sentences


def _papers_of(method: str, study: Study) -> str:
    if method.startswith("split conformal"):
        return " [@vovk,lei]" if study.of_scores else " [@vovk,sadinle]"
    if method.startswith("HCP"):
        return " [@lee]"
    return ""


def views(study: Study) -> list[str]:
    """Test-time augmentation."""
    found = study.test.get("tta")
    if not found:
        return []
    what = {"flip": "an image and its mirror image", "shift": "an image, its mirror image and both moved by one pixel"}
    return [f"Beside the plain test, predictions were averaged over {what.get(found['views'], found['views'])}."]


def place(study: Study) -> list[str]:
    """Whether errors of neighbours are alike."""
    found = []
    for target, about in study.test.get("space", {}).items():
        p = "below 0.01" if about["p"] < 0.01 else quantity(about["p"], 2)
        found.append(
            f"Moran's I [@moran] of the test errors{_of(target, study)} ({NEIGHBOURS} nearest neighbours"
            f"{' of the same group' if study.flag('group') else ''}, {PERMUTATIONS} permutations) was {about['morans_i']:.3f}, with "
            f"{about['expected']:.3f} expected without a pattern (p {p})."
        )
    return found


def comparisons(study: Study) -> list[str]:
    """The last `compare` that this result is in."""
    table = study.comparison
    if table is None:
        return []
    column = next(str(name) for name in table if str(name).endswith("_p_holm"))
    metric = column.removeprefix("difference_").removesuffix("_p_holm")
    known = table[table[column] != ""]
    to = next((name for name in known.get(f"difference_{metric}_to", []) if name), "")
    against = f" with {to.replace('_', ' ') if to == LINEAR_BASELINE else to}" if to else ""
    number = len(known)
    said = [f"{row['run']} (p {_equal(shown_p(float(row[column])))})" for _, row in known.iterrows()]
    if number == 1:
        return [f"In {metric_label(metric)}, 1 comparison{against} was made: {said[0]}."]
    return [
        f"In {metric_label(metric)}, {number} comparisons{against} were made on the same test images: {listed(said)}; the p values are corrected "
        "by Holm's method [@holm]."
    ]


def _equal(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"
