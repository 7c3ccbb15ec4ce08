"""Random changes of training images.

kernels   Image operations on a whole batch, each sample with its own parameters: what a GPU needs to be kept busy
policies  TrivialAugment, RandAugment and AutoAugment: which of fourteen operations changes a sample, and how strongly
steps     Augmentations as functions of (image, draws): the steps that `--augment` names and the registry lists
"""
