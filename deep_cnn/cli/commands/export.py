"""python -m deep_cnn export: the network as other programs read it, checked on real images before it is called done."""

from dataclasses import dataclass

from deep_cnn.config.fields import check_flags, flag, run_name, wrong


@dataclass(frozen=True)
class Options:
    run_name: str = flag("default", "name of the run; its best network is exported", group="command", kind=run_name)
    checkpoint: str | None = flag(
        None,
        "another checkpoint in a run's folder instead, such as the best.TABLE.pt of evaluate --recalibrate",
        group="command",
        kind=str,
    )
    format: str = flag(
        "onnx", "format of the file", group="command", choices=("onnx", "torchscript", "pt2", "safetensors")
    )
    output: str | None = flag(
        None,
        "file to write; by default outputs/models/RUN/RUN (RUN.TABLE for best.TABLE.pt) with the ending of the format",
        group="command",
        kind=str,
    )
    preprocess: bool = flag(
        False, "include the preprocessing: uint8 pixels in, probabilities or scores in their units out", group="command"
    )
    split: str = flag(
        "test",
        "split whose images are used to check the file (validation if there is no test set)",
        group="command",
        choices=("train", "validation", "test"),
    )
    count: int = flag(32, "number of images for the check", group="command", low=1)
    root_dir: str = flag(".", "root directory of the project", group="command")
    data_dir: str | None = flag(None, "folder of images, if it was moved after training", group="command", kind=str)

    def __post_init__(self):
        check_flags(self)
        if self.checkpoint is not None and self.run_name != "default":
            raise wrong("checkpoint", self.checkpoint, "already says which network is exported", "omit --run_name")


def main(options: Options) -> int:
    from pathlib import Path

    from deep_cnn.inference.export import formats, job
    from deep_cnn.inference.load import open_run, open_run_of
    from deep_cnn.runtime import console
    from deep_cnn.runtime.errors import check_place

    console.console_only()
    chosen = formats.check_format(options.format, options.preprocess, options.output)
    if options.output:
        check_place("output", options.output, Path(options.output).expanduser())
        job.check_replaceable(Path(options.output).expanduser())
    name = options.run_name
    if options.checkpoint is None:
        run = open_run(name, options.root_dir, data_dir=options.data_dir, device="cpu", precision="fp32")
    else:
        path = Path(options.checkpoint).expanduser()
        run = open_run_of(path, data_dir=options.data_dir, device="cpu", precision="fp32")
        name = run.files.name + path.stem.removeprefix("best")
    default = run.files.models / f"{name}{chosen.ending}"
    output = Path(options.output).expanduser() if options.output else default
    job.export(run, chosen, options.format, output, options.preprocess, options.split, options.count)
    return 0
