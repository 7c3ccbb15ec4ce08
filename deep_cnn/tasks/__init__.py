"""What is learnt: targets, loss, metrics and their intervals, and how an answer is written down.

base            What a task must answer: how it is learnt, scored and written down. Nobody outside this folder asks which task it is
calibration     Calibration: is a confidence of 0.8 right in 80% of cases?
classification  Classification: one class per image
intervals       How far the numbers of a test set can be trusted: bootstrap intervals, and the same metrics group by group
metrics         How good the predictions are: every sample counted once, undefined values None
multilabel      Multi-label classification: several labels per image, or none
named           What classification and multi-label classification share: each output is a probability of something that has a name
regression      Regression: one or several numbers per image, any of which may be missing
"""
