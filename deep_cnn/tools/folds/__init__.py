"""Cross-validation (--folds): many trainings under one name, and what they say together.

outcome  the common result: out-of-fold predictions, metrics of each fold and over all, the report
plan     which fold tests which image, what all folds have in common, and how far each of them is
runner   train the folds, one after the other, or one of them
"""
