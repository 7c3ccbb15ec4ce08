"""A trained network in use.

evaluate    All outputs of a network on a feed, under a progress bar, and their metrics
explain/    Which parts of an image raise or lower a score or a class
export/     The network in the formats of other programs
load        Open trained networks: one checkpoint, an ensemble of several, or the best one of a finished run
ood         Out-of-distribution images: the distance of an image's features from the training images'
predict/    A table of predictions for any images
rescore     Score a split of a finished run again, as its training did
run_images  The images of a finished run's splits: where they lie, their targets, and what the network predicts
tta         Test-time augmentation: the mean answer of a network to several views of each image
"""
