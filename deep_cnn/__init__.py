"""Fine-tune pretrained convolutional networks on your own images, from one command.

From Python: `from deep_cnn import train, load_model, predict`.
"""

from typing import Any

__version__ = "0.2.0"
__all__ = ["load_model", "predict", "train"]


def __getattr__(name: str) -> Any:
    """The three functions, looked up when they are asked for: `import deep_cnn` alone imports no torch (4 s)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from deep_cnn.training import api

    return getattr(api, name)
