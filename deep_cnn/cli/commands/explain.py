"""python -m deep_cnn explain: which parts of an image raise or lower a score or a class."""

from dataclasses import dataclass

from deep_cnn.config.fields import check_flags, flag, run_name, worker_count, wrong


@dataclass(frozen=True)
class Options:
    run_name: str = flag("default", "name of the run; its best network is explained", group="command", kind=run_name)
    split: str = flag(
        "test", "split whose most wrong images are explained", group="command", choices=("train", "validation", "test")
    )
    count: int = flag(12, "number of these images", group="command", low=1)
    images: tuple[str, ...] = flag(
        (), "images to explain instead (A.jpg,B.jpg)", group="command", kind=str, many="comma"
    )
    target: tuple[str, ...] = flag(
        (),
        "class or score to explain; by default the predicted class, or each score",
        group="command",
        kind=str,
        many="comma",
    )
    layer: str | None = flag(
        None,
        "layer whose feature maps are used; by default the last one with at least 7 x 7 cells",
        group="command",
        kind=str,
    )
    root_dir: str = flag(".", "root directory of the project", group="command")
    data_dir: str | None = flag(None, "folder of images, if it was moved after training", group="command", kind=str)
    device: str = flag("auto", "device: auto, cpu, cuda, cuda:N or mps", group="command")
    workers: str = flag(
        "auto", "threads that read images; auto: the cores available to this job", group="command", kind=worker_count
    )

    def __post_init__(self):
        check_flags(self)
        for name, usual in (("split", Options.split), ("count", Options.count)):
            if self.images and getattr(self, name) != usual:
                raise wrong(name, getattr(self, name), "--images names the images already", "omit one of the two")


def main(options: Options) -> int:
    import logging

    from deep_cnn.runtime.extras import require_extra

    require_extra("explain", ("captum",), "explain")
    from deep_cnn.inference.explain import job
    from deep_cnn.inference.load import open_run
    from deep_cnn.inference.run_images import own_folder
    from deep_cnn.reporting.report.page import write_report
    from deep_cnn.runtime import console
    from deep_cnn.runtime.device import workers_of

    console.console_only()
    # float32 on any machine: gradients in bf16 would blur small maps
    run = open_run(
        options.run_name, options.root_dir, data_dir=options.data_dir, device=options.device, precision="fp32"
    )
    workers = workers_of(options.workers)
    chosen = job.choose(run, options.split, options.images, options.count, workers)
    title = "chosen images" if options.images else f"the most wrong of {options.split}"
    job.explain(run, chosen, options.target, options.layer, title)
    log = logging.getLogger("deep_cnn")
    log.info("Everything is in %s", run.files.explanations)
    if (run.files.results / "report.html").exists():
        log.info("Added to the report: %s", write_report(run.files, own_folder(run)))
    return 0
