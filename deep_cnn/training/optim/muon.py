"""Muon: a step whose directions are all of one size, for the filters of a network that is trained in few steps.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024: the momentum of a layer, as a matrix, is
replaced by the nearest one whose rows (or columns) are orthonormal, so that directions in which the gradient is small are
learnt as fast as the others. Here a step is measured by the weights that it changes, and the weights keep their size: behind a
norm it has no meaning, and a learning rate is then the share by which a layer turns.
"""

from typing import Any

import torch

STEPS = 3  # of the iteration: singular values from 0.1 to 1 come to between 0.5 and 1.3, close enough (as for CIFAR-10 there)
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan's polynomial a x + b x^3 + c x^5, steepest at 0


class Muon(torch.optim.SGD):
    """SGD with momentum, but for the groups marked "orthogonal", whose parameters are turned as said above.

    There `lr` is the length of a step as a share of the parameter's own, and weight decay has no meaning.
    """

    def __init__(self, groups: list[dict], *, momentum: float, nesterov: bool):
        # not fused: with fp16 the scaler itself must leave out the steps that overflowed
        super().__init__(groups, momentum=momentum, nesterov=nesterov, fused=False)

    @torch.no_grad()
    def step(self, closure=None):
        """One step of all parameters that have a gradient; the gradients of the orthogonal groups are used up."""
        for group in self.param_groups:
            for parameter in group["params"] if group["orthogonal"] else ():
                if parameter.grad is not None:
                    self._turn(parameter, parameter.grad, group)
                    parameter.grad = None  # so that SGD passes it by
        return super().step(closure)

    def _turn(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state, momentum = self.state[parameter], group["momentum"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        average = state["momentum_buffer"].mul_(momentum).add_(gradient)
        direction = gradient.add(average, alpha=momentum) if group["nesterov"] else average
        step = orthogonal(direction.flatten(1)).view_as(parameter)
        size = parameter.norm()
        parameter.sub_(step * (group["lr"] * size / step.norm().clamp(min=1e-12)))
        parameter.mul_(size / parameter.norm().clamp(min=1e-12))


def is_matrix(parameter: torch.Tensor) -> bool:
    """Whether it has directions: filters (K, C, h, w) and matrices do; a bias, ConvNeXt's scales (C, 1, 1) and a token do not."""
    return parameter.ndim > 1 and min(parameter.flatten(1).shape) > 1


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """About U V^T of the singular value decomposition U S V^T, by Newton and Schulz's iteration: (m, n) -> (m, n)."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-12)  # singular values up to 1, from where the iteration comes to about 1
    for _ in range(STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
