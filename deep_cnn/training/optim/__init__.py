"""Optimizers and the course of the learning rate.

average          The moving average of a network's weights
muon             Muon: a step whose directions are all of one size, for the filters of a network that is trained in few steps
optimizers       Parameter groups, the optimizers of the registry, and the learning rate of each group
range_test       --lr=auto: the learning rate by a range test, which leaves no trace in the state of the run
schedules        The learning rate as a function of the step: one function a schedule, named in the registry SCHEDULES
timm_optimizers  Any optimizer of timm as `--optimizer=timm/NAME`, with the program's own parameter groups
"""
