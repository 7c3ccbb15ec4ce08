"""Finished runs side by side.

folds      Cross-validations (--folds) side by side, and their differences from a baseline on the same folds
front      The Pareto front: networks of which no other is both smaller and better
job        Compare finished runs, from their files to the table and the figure
labels     Names beside the points of a figure, none over another, nor over a point
page       report.html of a comparison: the tables and figures of all sets of data
paired     Is one row better than another, or was it luck? Differences on the same test images
picture    The figure of a comparison: a metric against the number of parameters
published  Accuracies on CIFAR-10 that others published, to be drawn beside one's own
rows       The table of a comparison: as text for the console, and as a CSV with every metric
runs       Which runs there are to compare, each read back from its files; and which of them differ only in the seed
"""
