"""Where an epoch's numbers go beside metrics.csv.

interface    What a tracker is given, and what it must have
tensorboard  TensorBoard: event files in outputs/tensorboard/RUN
trackers     Where an epoch's numbers go beside metrics.csv: each tracker has `log` and `close`, and none can end a run
wandb        Weights & Biases, from a thread of its own: starting it can take 20 seconds without a network, and no step waits for it
"""
