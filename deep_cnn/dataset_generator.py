"""From the flags to the data of one run: index, splits, preprocessing and feeds."""

from deep_cnn.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

# The table of --pre. To add your own, add a row: its name, the side to which images are resized, the side that the network
# sees, and the mean and standard deviation of each channel. `auto` is the one that belongs to the weights.
PREPROCESSINGS: dict[str, Preprocessing] = {
    "resnet": Preprocessing(256, 224, IMAGENET_MEAN, IMAGENET_STD),
    "vgg": Preprocessing(256, 224, IMAGENET_MEAN, IMAGENET_STD),
    "densenet": Preprocessing(256, 224, IMAGENET_MEAN, IMAGENET_STD),
    "inception": Preprocessing(342, 299, IMAGENET_MEAN, IMAGENET_STD),
    "half": Preprocessing(256, 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # values in [-1, 1]
    "none": Preprocessing(256, 224, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # values in [0, 1]
    "cifar10": Preprocessing(32, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
