"""What is learnt: targets, loss, metrics and their intervals.

base         What is learnt: one class per image, several labels, or scores
calibration  Calibration: is a confidence of 0.8 right in 80% of cases?
intervals    How far the numbers of a test set can be trusted: bootstrap intervals, and the same metrics group by group
metrics      How good the predictions are: every sample counted once, undefined values None
rows         What a table of predictions says of an image: for predictions_test.csv and for `predict`, so that they cannot disagree
"""
