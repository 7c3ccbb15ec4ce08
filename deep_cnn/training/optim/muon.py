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
            shapes: dict[tuple, list[torch.Tensor]] = {}
            for parameter in group["params"] if group["orthogonal"] else ():
                if parameter.grad is not None:
                    key = (parameter.flatten(1).shape, parameter.dtype, parameter.device)
                    shapes.setdefault(key, []).append(parameter)
            for alike in shapes.values():
                self._turn(alike, group)
                for parameter in alike:
                    parameter.grad = None  # so that SGD passes it by
        return super().step(closure)

    def _turn(self, parameters: list[torch.Tensor], group: dict[str, Any]) -> None:
        """Turn parameters of one shape (m, n) together: a GPU then has some 30 kernels for each shape, not for each layer."""
        momentum = group["momentum"]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]  # all have one
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        averages = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        torch._foreach_mul_(averages, momentum)
        torch._foreach_add_(averages, gradients)
        directions = torch._foreach_add(gradients, averages, alpha=momentum) if group["nesterov"] else averages
        steps = orthogonal(torch.stack([direction.flatten(1) for direction in directions]))  # (k, m, n)
        sizes, lengths = torch._foreach_norm(parameters), torch._foreach_norm(steps.unbind())
        steps *= (group["lr"] * torch.stack(sizes) / torch.stack(lengths).clamp(min=1e-12))[:, None, None]
        torch._foreach_sub_(parameters, [s.view_as(p) for s, p in zip(steps.unbind(), parameters, strict=True)])
        turned = torch.stack(torch._foreach_norm(parameters)).clamp(min=1e-12)
        torch._foreach_mul_(parameters, (torch.stack(sizes) / turned).unbind())


def is_matrix(parameter: torch.Tensor) -> bool:
    """Whether it has directions: filters (K, C, h, w) and matrices do; a bias, ConvNeXt's scales (C, 1, 1) and a token do not."""
    return parameter.ndim > 1 and min(parameter.flatten(1).shape) > 1


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """About U V^T of the singular value decompositions U S V^T, by Newton and Schulz's iteration: (..., m, n) -> (..., m, n)."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    size = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
    x = x / size.clamp(min=1e-12)  # singular values up to 1, from where the iteration comes to about 1
    for _ in range(STEPS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
