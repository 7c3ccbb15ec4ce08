"""What is learnt: targets, loss, metrics and their intervals, and how an answer is written down.

base            interface of a task
calibration     expected calibration error
classification  one class per image
confidence      formulas of confidence intervals
differences     two sides on the same test images, with intervals
intervals       which metric has which interval; metrics per group
left_out        metrics without each image or group, for the jackknife
metrics         all metrics
multilabel      several labels per image
named           shared by classification and multilabel
regression      one or several scores per image
"""
