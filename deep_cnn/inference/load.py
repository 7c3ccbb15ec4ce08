"""A checkpoint of ours as a network, ready to be used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from deep_cnn.data.augment.steps import center_crop
from deep_cnn.data.decode import decode
from deep_cnn.data.normalise import Normaliser
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.models import checkpoint
from deep_cnn.models.build import ModelSpec, empty_model
from deep_cnn.tasks.base import Task, task_from_dict


@dataclass(frozen=True)
class Transform:
    """An image's file -> what the network is given of it in validation."""

    preprocessing: Preprocessing

    def __call__(self, path: str | Path) -> Tensor:
        """float32 (3, S, S), normalised; DataError for a file that cannot be read."""
        pre = self.preprocessing
        return Normaliser(pre.mean, pre.std)(center_crop(decode(path, pre), pre.crop)[None])[0]


def load_model(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a best.pt or last.pt, in eval mode on the CPU, and what the checkpoint says of it.

    Returns:
        The network: float32 images (B, 3, S, S), normalised -> outputs (B, K); and a dict with, among others, `model` (how it
        was built), `task`, `preprocessing`, `transform` (a function: file -> image (3, S, S)), `config` and `validation`.
    Raises:
        CheckpointError: no such file, or not a checkpoint of ours.
    """
    meta = checkpoint.load(Path(path))
    model = empty_model(ModelSpec.from_dict(meta["model"]))
    average, weights = meta.pop("average", None), meta.pop("weights")
    model.load_state_dict(average or weights)  # a last.pt with --ema: the average is what was validated
    for name in ("optimizer", "scaler", "sums"):
        meta.pop(name, None)
    return model.eval(), meta | {"transform": Transform(Preprocessing.from_dict(meta["preprocessing"]))}


def task_and_preprocessing(meta: dict[str, Any]) -> tuple[Task, Preprocessing]:
    return task_from_dict(meta["task"]), Preprocessing.from_dict(meta["preprocessing"])
