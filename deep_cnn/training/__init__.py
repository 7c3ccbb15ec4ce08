"""The run: from the first image to the test result.

api              deep_cnn from Python: `from deep_cnn import train, load_model, predict`, with DataFrames in and out
checkpointing    Saves the state of a run when it is due, and stops the run when it must, both between two steps
ddp              Gradients summed over all ranks: DistributedDataParallel, with the order of its sums fixed
epoch_log        What an epoch leaves on the console, in metrics.csv and timing.csv, and in the trackers
frozen_features  A frozen backbone gives the same features of an image in every epoch: computed once, kept, and the head trains on them
loop             The loop that trains and the loop that scores
mixup            Mixup and CutMix: a batch blended with its own permutation
nan_guard        Is the loss still a number? Asked at once on the CPU; on a GPU only now and then, since asking waits for the device
ood_reference    At the end of training: what the training images look like to the best network, kept in best.pt for `predict`
optim/           Optimizers and the course of the learning rate
outputs          What a run has found, as files: metrics.csv, timing.csv, test.json, predictions_test.csv and the pictures
profiling        Where the time of a run went, and what would make it faster: --profile
resume           A run whose name exists: does it go on, is it done already, or is it another run that is moved aside?
setup            All that happens before the first step: folders, machine, data, network, and the state to begin or go on with
state            The whole state of a run: weights, optimizer, scaler, moving average, best so far, and the step
trainer          One run: train, validate and test a network
"""
