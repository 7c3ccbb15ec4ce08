"""python -m deep_cnn evaluate: score a split of a finished run again."""

from dataclasses import dataclass

from deep_cnn.config.fields import check_flags, flag, on_off, recalibration, run_name, tta_level, worker_count, wrong
from deep_cnn.config.schema import TTA

RECALIBRATIONS = ("none", "linear", "monotone")


@dataclass(frozen=True)
class Options:
    run_name: str = flag("default", "name of the run", group="command", kind=run_name)
    split: str = flag(
        "test",
        "split to evaluate; with --metadata test: the table's images that did not train the network, or all",
        group="command",
        choices=("train", "validation", "test", "all"),
    )
    metadata: str | None = flag(
        None, "table of another rated set, with --data_dir, its images", group="command", kind=str
    )
    image_column: str | None = flag(
        None, "column of --metadata with the paths of the images", group="command", kind=str
    )
    target: tuple[str, ...] = flag(
        (),
        "columns of --metadata with the ratings, if they are not named as the network's targets; in their order",
        group="command",
        kind=str,
        many="comma",
    )
    where: tuple[str, ...] = flag(
        (),
        'use only rows of --metadata that meet a condition, such as "city==Oslo"',
        group="command",
        kind=str,
        many="repeat",
    )
    group: str | None = flag(
        None, "column of --metadata whose values are groups, for the intervals", group="command", kind=str
    )
    rater_group: str | None = flag(
        None,
        "column of --metadata that says who rated, such as gender; the table then has one row per rating",
        group="command",
        kind=str,
    )
    recalibrate: str = flag(
        "none",
        "fit a new scale to some of the ratings of --metadata, measure it on the others, and write a checkpoint with it: linear (a line) "
        "or monotone (a rising curve, for a hundred ratings or more)",
        group="command",
        kind=recalibration,
        choices=RECALIBRATIONS,
        bare="linear",
    )
    ratings: int | None = flag(
        None,
        "number of ratings that --recalibrate fits; by default half of them, at most 400",
        group="command",
        kind=int,
        low=1,
    )
    root_dir: str = flag(".", "root directory of the project", group="command")
    data_dir: str | None = flag(None, "folder of images, if it was moved after training", group="command", kind=str)
    tta: str | None = flag(
        None,
        "test-time augmentation, reported beside the plain result; by default that of the run",
        group="command",
        kind=tta_level,
        choices=TTA,
        bare="flip",
    )
    raters: tuple[str, ...] = flag(
        (),
        "columns with the ratings of one rater each, for the noise ceiling of a run that was trained without them",
        group="command",
        kind=str,
        many="comma",
    )
    target_std: tuple[str, ...] = flag(
        (),
        "column with the standard error of each score, for the noise ceiling",
        group="command",
        kind=str,
        many="comma",
    )
    device: str = flag("auto", "device: auto, cpu, cuda, cuda:N or mps", group="command")
    workers: str = flag(
        "auto", "threads that read images; auto: the cores available to this job", group="command", kind=worker_count
    )
    cache: str = flag("auto", "cache of decoded images on disk: auto, off, or a folder", group="command", kind=on_off)

    def __post_init__(self):
        check_flags(self)
        if self.metadata is None:
            for name in ("image_column", "target", "where", "group", "rater_group", "recalibrate", "ratings"):
                if getattr(self, name) not in ((), None, "none"):
                    raise wrong(name, getattr(self, name), "works only with --metadata, the table of another rated set")
            if self.split == "all":
                raise wrong("split", "all", "works only with --metadata", "choose one of train, validation, test")
        elif self.split in ("train", "validation"):
            raise wrong("split", self.split, "a table of --metadata has no splits", "choose one of test, all")
        elif self.ratings and self.recalibrate == "none":
            raise wrong("ratings", self.ratings, "works only with --recalibrate")


def main(options: Options) -> int:
    from deep_cnn.inference.load import open_run
    from deep_cnn.inference.rescore import rescore
    from deep_cnn.reporting import result_text
    from deep_cnn.runtime import console, distributed

    console.console_only()
    if options.metadata is not None:
        return external(options)
    with distributed.process_group(options.device):
        run = open_run(options.run_name, options.root_dir, device=options.device)
        known = {"raters": options.raters, "target_std": options.target_std}
        result = rescore(
            run,
            options.split,
            tta=options.tta,
            root_dir=options.root_dir,
            data_dir=options.data_dir or run.network.meta["config"]["data_dir"],
            workers=options.workers,
            cache=options.cache,
            **{name: value for name, value in known.items() if value},
        )
        if result is not None:
            result_text.show_result(result)
    return 0


def external(options: Options) -> int:
    """Another rated set: --metadata."""
    import logging

    from deep_cnn.inference.external import Asked, evaluate_external, summary
    from deep_cnn.inference.load import open_run
    from deep_cnn.reporting import result_text
    from deep_cnn.reporting.rater_groups import rater_group_lines
    from deep_cnn.runtime import distributed
    from deep_cnn.runtime.atomic import write_json

    log = logging.getLogger("deep_cnn")
    assert options.metadata is not None
    asked = Asked(
        metadata=options.metadata,
        image_column=options.image_column,
        target=options.target,
        where=options.where,
        group=options.group,
        recalibrate=options.recalibrate,
        ratings=options.ratings,
        rater_group=options.rater_group,
        raters=options.raters,
        target_std=options.target_std,
        keep_trained=options.split == "all",
        tta=options.tta,
    )
    with distributed.process_group(options.device):
        run = open_run(options.run_name, options.root_dir, device=options.device)
        found = evaluate_external(
            run,
            asked,
            root_dir=options.root_dir,
            data_dir=options.data_dir or run.network.meta["config"]["data_dir"],
            workers=options.workers,
            cache=options.cache,
        )
        if found is None:
            return 0
        for note in found.notes:
            log.log(logging.INFO if note.startswith("--recalibrate") else logging.WARNING, note)
        result_text.show_result(found.result)
        for line in rater_group_lines(found.result["rater_groups"]) if options.rater_group else ():
            log.info("  %s", line)
        for line in summary(found, run.network.task.names):
            log.info("  %s", line)
        path = run.files.results / "external.json"
        write_json(path, found.result | ({"recalibrated": found.after} if found.after else {}))
        log.info("Written: %s", path)
    return 0
