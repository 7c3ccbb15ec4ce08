"""What is learnt: targets, loss, metrics and their intervals, and how an answer is written down.

base            interface of a task
calibration     expected calibration error
classification  one class per image
intervals       bootstrap intervals, metrics per group
metrics         all metrics
multilabel      several labels per image
named           shared by classification and multilabel
regression      one or several scores per image
"""
