"""python -m deep_cnn report: a run's page, made again from its files; its methods in words; or an index of all runs."""

import dataclasses
from dataclasses import dataclass

from deep_cnn.config.fields import check_flags, flag, run_name, wrong


@dataclass(frozen=True)
class Options:
    run_name: str = flag("default", "name of the run", group="command", kind=run_name)
    root_dir: str = flag(".", "root directory of the project", group="command")
    data_dir: str | None = flag(None, "folder of images, if it was moved after training", group="command", kind=str)

    all: bool = flag(False, "write outputs/index.html, a list of all runs with links to their reports", group="command")
    methods: bool = flag(
        False,
        "print the methods paragraph of a paper and the REFORMS checklist, made from the run's files, and write methods.md",
        group="command",
    )
    unit: tuple[str, ...] = flag(
        (),
        "unit of the target (USD), or of each of several targets (USD,m2), if not that of the run",
        group="command",
        kind=str,
        many="comma",
    )

    def __post_init__(self):
        check_flags(self)
        for switch, takes in (("all", ("root_dir",)), ("methods", ("root_dir", "run_name", "data_dir"))):
            for f in dataclasses.fields(self) if getattr(self, switch) else ():
                value = getattr(self, f.name)
                if f.name not in (switch, *takes) and value != f.default:
                    words = ",".join(value) if isinstance(value, tuple) else value
                    raise wrong(f.name, words, f"has no effect with --{switch}", "omit one of the two")


def main(options: Options) -> int:
    from pathlib import Path

    from deep_cnn.config.schema import Config
    from deep_cnn.data import dataset
    from deep_cnn.inference.load import given_folders
    from deep_cnn.reporting.methods.page import write_methods
    from deep_cnn.reporting.report.folds import read_folds, write_folds_report
    from deep_cnn.reporting.report.index import write_index
    from deep_cnn.reporting.report.page import write_report
    from deep_cnn.reporting.report.record import read_record
    from deep_cnn.runtime import console
    from deep_cnn.runtime.errors import DataError
    from deep_cnn.runtime.run_files import RunFiles

    console.console_only()
    root = Path(options.root_dir).expanduser()
    if options.all:
        console.log.info("All runs: %s", write_index(root / "outputs"))
        return 0
    files = RunFiles(root / "outputs", options.run_name)
    if options.methods:
        path, text = write_methods(files)
        print(text)
        console.log.info("Methods: %s", path)
        return 0
    folds = files.fold_plan.exists()
    flags = (read_folds if folds else read_record)(files).config["config"]
    config = Config(root_dir=options.root_dir, data_dir=options.data_dir or flags["data_dir"])
    given_folders(root, options.data_dir)  # a file that holds no images is not one
    try:
        data = dataset.data_dir(config)
    except DataError as missing:
        if options.data_dir:
            raise
        console.log.warning("%s; the report shows no images; use --data_dir if they were moved", missing)
        data = None
    page = write_folds_report(files, data, options.unit) if folds else write_report(files, data, units=options.unit)
    console.log.info("Report: %s", page)
    return 0
