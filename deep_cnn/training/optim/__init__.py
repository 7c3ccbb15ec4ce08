"""Optimizers and the course of the learning rate.

average     The moving average of a network's weights
muon        Muon: a step whose directions are all of one size, for the filters of a network that is trained in few steps
optimizers  Parameter groups, optimizers, the moving average of weights, and the learning rate as a function of the step
range_test  --lr=auto: the learning rate by a range test, which leaves no trace in the state of the run
schedules   The learning rate as a function of the step
"""
