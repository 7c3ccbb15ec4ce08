"""The table of commands."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """A row of the table of verbs: its module has a dataclass `Options` of flags and a function `main(options) -> int`."""

    module: str
    help: str
    several: bool = False  # whether torchrun's processes share its work


VERBS = {
    "train": Verb(
        "deep_cnn.cli.commands.train", "train, validate and test a network (the verb when none is given)", True
    ),
    "evaluate": Verb("deep_cnn.cli.commands.evaluate", "score a finished run again on one of its splits", True),
    "predict": Verb("deep_cnn.cli.commands.predict", "a table of predictions for any images", True),
    "search": Verb(
        "deep_cnn.cli.commands.search", "search hyper-parameters; takes the flags of training, fixed, and --space"
    ),
    "summary": Verb(
        "deep_cnn.cli.commands.summary", "a network's layers, shapes, parameters, multiply-adds and memory"
    ),
    "check": Verb(
        "deep_cnn.cli.commands.check", "look at data, network and machine before a run is queued; takes its flags"
    ),
    "compare": Verb("deep_cnn.cli.commands.compare", "finished runs side by side, and their metric against their size"),
    "report": Verb("deep_cnn.cli.commands.report", "write a run's report.html again"),
    "verify_resume": Verb(
        "deep_cnn.cli.commands.verify_resume",
        "prove on this machine that a killed run goes on bit by bit (takes training's flags)",
        True,
    ),
    "explain": Verb("deep_cnn.cli.commands.explain", "pictures of what raises or lowers a score or a class"),
    "export": Verb("deep_cnn.cli.commands.export", "the network as ONNX, TorchScript, PT2 or safetensors, checked"),
    "prefetch": Verb(
        "deep_cnn.cli.commands.prefetch", "download a network's weights ahead, for machines without internet"
    ),
}
