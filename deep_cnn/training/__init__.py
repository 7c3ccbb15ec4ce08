"""The run: from the first image to the test result.

api              deep_cnn from Python: `from deep_cnn import train, load_model, predict`, with DataFrames in and out
checkpointing    Saves the state of a run when it is due, and stops the run when it must, both between two steps
ddp              A network whose gradients are summed over all processes: DistributedDataParallel, with the order of its sums fixed
frozen_features  A frozen backbone gives the same features of an image in every epoch: computed once, kept, and the head trains on them
loop             The loop that trains and the loop that scores
mixup            Mixup and CutMix: a batch blended with its own permutation
nan_guard        Is the loss still a number? Asked at once on the CPU; on a GPU only now and then, since asking waits for the device
ood_reference    At the end of training: what the training images look like to the best network, kept in best.pt for `predict`
optim/           Optimizers and the course of the learning rate
outputs          What a run has found, as files: metrics.csv, timing.csv, test.json, predictions_test.csv and the pictures
plan             A run as one value: what was decided, what it learns from, and everything that its steps work with
profiling        Where the time of a run went, and what would make it faster: --profile
resume           A run whose name exists: does it go on, is it done already, or is it another run that is moved aside?
run              One run from start to end: check, index, split, build, train, validate, test
setup            All that happens before the first step: the machine, the data, the network, and the state to begin or go on with
state            The whole state of a run: weights, optimizer, scaler, moving average, best so far, and the step
"""
