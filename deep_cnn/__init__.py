"""Fine-tune pretrained convolutional networks on your own images, from one command."""

__version__ = "0.1.0"
