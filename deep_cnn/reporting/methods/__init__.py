"""The methods paragraph of a paper, made from a run's own files: one function a topic, each returns sentences.

citations  Papers of the methods, and how a sentence cites them
evaluation How the results were computed: estimand, intervals, baselines, ceiling, calibration
material   Images, targets and splits
page       methods.md: the paragraph, its references and the REFORMS checklist
reforms    The REFORMS checklist, answered from the record or left to the author
study      A run or a cross-validation as the paragraph needs it
training   Network, preprocessing, augmentation, optimisation, machine
"""
