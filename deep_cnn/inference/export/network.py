"""The network as it is exported: plain, or with everything between uint8 pixels and the answer inside."""

import numpy as np
import torch
from torch import Tensor, nn

from deep_cnn.data.augment.steps import center_crop
from deep_cnn.data.normalise import Normaliser
from deep_cnn.inference.load import TrainedNetwork
from deep_cnn.tasks.base import Task


class WithPreprocessing(nn.Module):
    """uint8 RGB (B, 3, R, R), canonical images -> probabilities, or scores in their units, float32 (B, K)."""

    scale: Tensor  # buffers: `register_buffer` tells no type
    shift: Tensor

    def __init__(self, trained: TrainedNetwork):
        super().__init__()
        self.model, self.activation = trained.model, trained.task.activation()
        # the centre crop as two constants: TorchScript's tracing makes tensors of shapes, which do not round
        self.start = round((trained.pre.resize - trained.pre.crop) / 2)
        self.stop = self.start + trained.pre.crop
        scaling = Normaliser(trained.pre.mean, trained.pre.std)
        self.register_buffer("scale", scaling.scale.view(1, 3, 1, 1))
        self.register_buffer("shift", scaling.shift.view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Crop, normalise, compute, decode."""
        cropped = images[:, :, self.start : self.stop, self.start : self.stop]  # (B, 3, S, S)
        return self.activation(self.model(cropped.float() * self.scale + self.shift))  # (B, K)


def exported_network(trained: TrainedNetwork, preprocessing: bool) -> nn.Module:
    """float32, in eval mode, on the CPU."""
    model = trained.model.float().cpu().eval()
    return WithPreprocessing(trained).eval() if preprocessing else model.to(memory_format=torch.contiguous_format)


def inputs_for(trained: TrainedNetwork, canonical: Tensor, preprocessing: bool) -> Tensor:
    """What the exported network is given for canonical images, uint8 (B, 3, R, R)."""
    if preprocessing:
        return canonical.contiguous()
    return Normaliser(trained.pre.mean, trained.pre.std)(center_crop(canonical, trained.pre.crop)).contiguous()


def answers(task: Task, outputs: np.ndarray, preprocessing: bool) -> np.ndarray:
    """Probabilities or scores, float64 (B, K), of what an exported network gave."""
    return outputs.astype(np.float64) if preprocessing else task.decode(outputs)
