"""Any optimizer of timm as `--optimizer=timm/NAME`, with the program's own parameter groups."""

import inspect
from typing import Any

import torch

from deep_cnn.config.fields import wrong
from deep_cnn.runtime.errors import nearest

PREFIX, LOOKAHEAD = "timm/", "lookahead_"


def create(name: str, groups: list[dict], *, momentum: float) -> torch.optim.Optimizer:
    """timm's optimizer with its own defaults; rate and weight decay are each group's.

    Args:
        name: "timm/NAME", also "timm/lookahead_NAME"; see timm.optim.list_optimizers().
        momentum: for those that have one.

    Raises:
        ConfigError: no such optimizer, or one that this program cannot run.
    """
    from timm.optim import create_optimizer_v2, get_optimizer_class

    check_name(name)
    short = name.removeprefix(PREFIX)
    try:
        takes = inspect.signature(get_optimizer_class(short.removeprefix(LOOKAHEAD), bind_defaults=False)).parameters
        # Kron draws random numbers: from a generator of its own, which is saved with its state
        options: dict[str, Any] = {"deterministic": True} if "deterministic" in takes else {}
        # the groups' own rate and decay win; these two only fill in what a group lacks
        return create_optimizer_v2(groups, short, lr=1.0, weight_decay=0.0, momentum=momentum, **options)
    except (ImportError, AssertionError, TypeError, ValueError) as error:  # those of apex and bitsandbytes, for example
        raise wrong("optimizer", name, f"timm cannot create it ({error})", "choose another one") from error


def check_name(name: str) -> None:
    """ConfigError where timm is missing, has no such optimizer, or has one that this program cannot run."""
    try:
        import timm
        from timm.optim import get_optimizer_info, list_optimizers
    except ImportError:
        raise wrong("optimizer", name, "timm is not installed", "pip install timm") from None
    short = name.removeprefix(PREFIX)
    own = short.removeprefix(LOOKAHEAD)
    try:
        info: Any = get_optimizer_info(own)
    except ValueError:
        hint = nearest(own, map(str, list_optimizers())).replace("mean ", f"mean {PREFIX}")
        raise wrong("optimizer", name, f"timm {timm.__version__} has no such optimizer.{hint}") from None
    if info.second_order:
        raise wrong("optimizer", name, "needs second derivatives, which are not computed", "choose another one")
