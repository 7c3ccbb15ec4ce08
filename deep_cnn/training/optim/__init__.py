"""Optimizers and the course of the learning rate.

average          moving average of the weights
muon             Muon: orthogonalised steps
optimizers       parameter groups and optimizers
range_test       --lr=auto: learning-rate range test
schedules        learning rate as a function of the step
timm_optimizers  timm's optimizers by name
"""
