"""The flags of a run: types, defaults, recipes, checks, and what makes two runs the same run. Imports no torch.

checks      flags that contradict each other
defaults    defaults that depend on the training set
fields      one flag: type, range, choices, errors
identity    what makes two runs the same run
prediction  every flag of predict
recipes     named sets of defaults
registries  tables: metrics, optimizers, losses, image formats, ...
schema      every flag of a training run
"""
