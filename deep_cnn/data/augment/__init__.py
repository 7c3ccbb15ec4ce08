"""Random changes of training images.

kernels   pixel operations
policies  RandAugment, AutoAugment, TrivialAugment
steps     crop, flip, colour, ...: parameters and order
"""
