"""A trained network in use.

evaluate  All outputs of a network on a feed, under a progress bar: for validation, test and the commands that score
explain/  Which parts of an image raise or lower a score or a class
export/   The network in the formats of other programs
finished  A run that is finished, to be used: its best network, and the images of its splits with what is known of them
load      A checkpoint of ours as a network, ready to be used
members   The networks that predict: one, or several checkpoints as an ensemble
ood       Which images are unlike those that a network was trained on: the distance of their features to the training set's
predict/  A table of predictions for any images
tta       Test-time augmentation: the mean answer of a network to several views of each image
"""
