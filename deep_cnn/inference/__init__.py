"""A trained network in use.

coverage    how often regions contain the truth of the test images
evaluate    score all batches of a split
explain/    Which parts of an image raise or lower a score or a class
export/     The network in the formats of other programs
external    score a finished run on another rated set; a new scale for it
linear_baseline  what mean colours and edges alone predict
load        open trained networks
ood         distance from the training images
predict/    A table of predictions for any images
rescore     `evaluate`: score a finished run again
run_images  images of a run's splits
tta         test-time augmentation
"""
