"""Where an epoch's numbers go beside metrics.csv.

all          Where an epoch's numbers go beside metrics.csv: each tracker has `log` and `close`, and none can end a run
interface    What a tracker is given, and what it must have
tensorboard  TensorBoard: event files in outputs/tensorboard/RUN
wandb        Weights & Biases, from a thread of its own: starting it can take 20 seconds without a network, and no step waits for it
"""
