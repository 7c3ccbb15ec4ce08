"""Hyper-parameter search with Optuna.

agreement  Whether a study's own journal can be believed: its trials agree with the space, their epochs and their files
pictures   Pictures of a study: its history, which flags matter, and which values go with good trials
searching  A search from start to end: check, join the study, train trials, show what was found, train and test the best
several    A trial that several processes train together: torchrun starts them, and the first of them reports to the study
space      What is searched: '--space lr=1e-5..1e-1:log model=resnet18,resnet50', and points in it as functions of (seed, trial)
study      One study, any number of processes: who trains which trial, and what has been found so far
summary    What a study has found, as files below outputs/search/NAME and on the console
trials     Trains trials of a study, one after the other, until the study is complete or the time is over
"""
