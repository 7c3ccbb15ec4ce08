"""What `train`, `predict` and `load_model` raise, for programs that catch it: `from deep_cnn.errors import DeepCNNError`."""

from deep_cnn.runtime.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DeepCNNError,
    LostPeer,
    MachineError,
    NonFiniteLoss,
)

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DeepCNNError",
    "LostPeer",
    "MachineError",
    "NonFiniteLoss",
]
