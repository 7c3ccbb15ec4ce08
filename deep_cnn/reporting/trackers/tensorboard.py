"""TensorBoard: event files in outputs/tensorboard/RUN. The writer has a thread of its own; nothing waits for the disk."""

from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from deep_cnn.reporting.examples import contact_sheet
from deep_cnn.reporting.trackers.interface import Epoch, flat_numbers
from deep_cnn.runtime.run_files import RunFiles

FOLDERS = {"train": "train", "val": "validation"}  # train_loss -> train/loss


class TensorBoardTracker:
    """See `Tracker`."""

    def __init__(self, config: dict[str, Any], files: RunFiles, summary: str, epoch: int):
        """epoch: what an earlier process wrote from it on is hidden, since this one writes it again."""
        self.config = config
        self.last: dict[str, float] = {}
        self.writer = SummaryWriter(str(files.tensorboard), purge_step=epoch if epoch else None)
        self.writer.add_text("network", f"```\n{summary}\n```", epoch)
        rows = "\n".join(f"| --{name} | {value} |" for name, value in config.items())
        self.writer.add_text("config", f"| flag | value |\n|---|---|\n{rows}", epoch)

    def log(self, epoch: Epoch) -> None:
        """Its numbers, and its examples where there are some."""
        number = epoch.row["epoch"]
        for name, value in epoch.row.items():
            if name != "epoch" and value is not None:
                split, _, metric = name.partition("_")
                tag = f"{FOLDERS[split]}/{metric}" if split in FOLDERS else f"training/{name}"
                self.writer.add_scalar(tag, value, number)
                self.last[tag] = float(value)
        self.writer.add_scalar("training/images_per_second", epoch.speed, number)
        if shown := epoch.examples():
            self.writer.add_image("validation examples", contact_sheet(shown), number, dataformats="HWC")
        self.writer.flush()

    def close(self, state: str, result: dict[str, Any] | None) -> None:
        """The numbers of the test, and the end of the run."""
        if state == "finished":
            tested = {f"test/{name}": float(value) for name, value in flat_numbers(result or {}).items()}
            metrics = {f"hparam/{name}": value for name, value in (self.last | tested).items()}
            flags = {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in self.config.items()}
            for part in hparams(flags, metrics):  # not add_hparams: it would make a second run beside this one
                self.writer._get_file_writer().add_summary(part)
            for name, value in metrics.items():
                self.writer.add_scalar(name, value, 0)
        self.writer.close()
