"""Random changes of training images.

compiled  a batch's chain as compiled functions, on a GPU
kernels   pixel operations
policies  RandAugment, AutoAugment, TrivialAugment
steps     crop, flip, colour, ...: parameters and order
"""
