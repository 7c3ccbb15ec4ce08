"""The table of commands."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A row: deep_cnn/cli/commands/NAME.py has a dataclass `Options` of flags and a function `main(options) -> int`.

    help: a phrase for -h. several: whether the processes of torchrun share its work.
    """

    help: str
    several: bool = False


COMMANDS = {
    "train": Command("train, validate and test a network (the default command)", several=True),
    "evaluate": Command("compute the metrics of a finished run on one of its splits again", several=True),
    "predict": Command("write a table of predictions for any images", several=True),
    "search": Command("search hyperparameters; takes --space and the flags of train"),
    "summary": Command("show a network's layers, shapes, parameters, multiply-adds and memory"),
    "check": Command("check data, network and machine before a training; takes the flags of train"),
    "compare": Command("compare finished runs in a table and a figure"),
    "report": Command("write a run's report.html again, its methods in words, or an index of all runs"),
    "verify_resume": Command(
        "prove on this machine that a killed run resumes with bit-identical results; takes the flags of train",
        several=True,
    ),
    "explain": Command("draw which parts of an image raise or lower a score or a class"),
    "export": Command("convert a network to ONNX, TorchScript, PT2 or safetensors, and check the result"),
    "prefetch": Command("download pretrained weights or a public data set, for machines without internet"),
}
