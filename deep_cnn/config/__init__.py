"""The flags of a run: types, defaults, recipes, checks, and what makes two runs the same run. Imports no torch.

checks      Flags that contradict each other
fields      One flag of the command line: its type, range and choices; and values that are written as text
identity    When are two runs the same run? When nothing that changes their numbers differs
recipes     Recipes: named sets of defaults
registries  What a flag offers as choices, a row each: names, labels and where the code is
schema      Every flag of a training run: default, help, range and choices in one place
"""
