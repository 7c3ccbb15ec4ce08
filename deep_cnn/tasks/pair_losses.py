"""Losses of votes between two images, by the difference of their scores."""

from torch import Tensor
from torch.nn.functional import softplus


def bradley_terry(difference: Tensor, outcome: Tensor, tie: Tensor) -> Tensor:
    """Bradley and Terry 1952: -log sigmoid of the winner's lead; a tie is half a vote for each.

    Args:
        difference: score of the left image less that of the right one, (B,). outcome: 1, 0, or 0.5 for a tie, (B,). tie: not used.

    Returns:
        Nats, (B,).
    """
    return softplus(-difference) * outcome + softplus(difference) * (1 - outcome)


def davidson(difference: Tensor, outcome: Tensor, tie: Tensor) -> Tensor:
    """Davidson, "On extending the Bradley-Terry model to accommodate ties in paired comparison experiments", 1970.

    P(left), P(tie), P(right) are in the ratio exp(d / 2) : nu : exp(-d / 2). Arguments as above; tie: log nu, (B,).
    """
    left, right = difference / 2, -difference / 2
    highest = left.maximum(right).maximum(tie).detach()  # so that no exponential overflows
    total = highest + ((left - highest).exp() + (tie - highest).exp() + (right - highest).exp()).log()
    tied = outcome == 0.5
    return total - left * (outcome == 1) - right * (outcome == 0) - tie * tied
