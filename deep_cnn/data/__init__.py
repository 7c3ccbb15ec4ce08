"""From a folder or a table to batches on the device. Knows neither networks nor tasks.

assemble         From sample numbers to normalised images on the device: two ways, one interface
augment/         Random changes of training images
balance          How rare each sample's target is, for --oversample and --class_weights; what is counted, the task says
cache            Decoded images in one file: written as the first epoch reads them, mapped into memory ever after
dataset          The data of one run: index, splits, canonical pixels and feeds
decode           File -> canonical image: the pixels that the cache stores and that training and evaluation start from
duplicates       Which image files hold the same bytes
feed             (samples, epoch, first step) -> batches on the device
files            The image files below a folder, as columns: one scandir pass, no Python object kept per file, kept on disk if asked
index            Which samples there are: class folders, or a folder of images with a table; columns as arrays
near_duplicates  Pairs of images that look the same, among any number of images, without comparing each with each
normalise        uint8 pixels -> normalised float32, in one pass over memory
place_pulse      Place Pulse 2.0 as its users have it: images LAT_LON_ID_CITY.JPG, and qscores.tsv with a row per image and study
preprocess       What is done to an image before a network sees it, apart from augmentation
public           --dataset: CIFAR-10 and CIFAR-100 as torchvision reads them, unpacked once into class folders
split            Train, validation and test: given ones kept, missing ones held out from train; saved, and read again by every command
statistics       Mean and spread of the training images' own pixels, for a network that no weights tie to others'
subset           --subset: a part of the training set
table            Tables of labels and scores: read as text, rows chosen, numbers parsed safely, rows matched to files
targets          From the cells of a table to targets: what its columns could be, classes, labels or numbers, and why
thumbnails       Every image of an index, read once: what cannot be read, how large the others are, and what they look like
"""
