"""From a name to a network with a new head, and weights into it.

build          build a network by name, with a new head
checkpoint     save and load checkpoints
complexity     parameters and multiply-adds
determinism    --deterministic on a GPU: poolings as matrix products, networks that are refused
fast_conv      faster bf16 gradients on CPUs
freeze         frozen parts and training mode
layer_table    `summary`: the table of layers
memory         memory of a training step
preprocessing  choose the preprocessing (--pre, --image_size)
weights        read weights and fit them to a network
weights_package  weights that come as a Python package
zoo/           The networks themselves; `networks.py` has their table
"""
