"""From a name to a network with a new head, and weights into it.

build          From a name to a network with a new head, and weights into it
checkpoint     Checkpoints on disk: written atomically, flushed, never with non-finite weights, loaded with weights_only=True
complexity     How large a network is and what it costs: its parameters, and the multiply-adds of one image
fast_conv      Training in bf16 on a CPU: where a convolution's output is small, the gradient of its weights as one matrix product
freeze         Which part of a network is frozen, and its training mode
layer_table    A network layer by layer: shapes, parameters and memory by torchinfo, multiply-adds by counting.py
memory         How much memory a training step needs, and in how many micro-batches it therefore computes a batch
preprocessing  Which preprocessing a network's images get: --pre, --image_size and --fit
weights        Files of weights: where they lie, how they are fetched, what is inside, and how they are fitted to a network
zoo/           The networks themselves; `networks.py` has their table
"""
