"""From a folder or a table to batches on the device. Knows neither networks nor tasks.

archived_table   a table within an archive
archives         images inside .tar and .zip, read in place
assemble         sample numbers to images on the device
augment/         Random changes of training images
balance          weights for rare targets
bradley_terry    scores of images from their votes
cache            decoded images in one file
cells            what cells mean: missing, numbers, labels
certainty        how sure scores are: raters, standard errors, votes
colour_edges     mean colours and edges of images
contents         digests of files; whether they have changed
contradictions   the same picture with two labels
dataset          index, splits, pixels and feeds of one run
decode           file to canonical picture
depth            how many bits the 16-bit images of a data set use
division         which images there are, what is left out, how they are split
doubts           columns of text that may be several labels, or numbers
duplicates       files with the same bytes
feed             batches of a split, in order
files            image files below a folder
folders          classes and splits that folders name
folds            --folds: which fold tests each image
formats          bytes of a file to pixels, for each format
groups           --group and --split_column
index            samples: class folders, or files and a table
jpeg             JPEG to pixels, by the library that is installed
kept             arrays in a file for the next start
masks            masks beside the images of class folders
match            files that cells name; the column of images
mistaken         files that are not what their names say
near_duplicates  images that look the same
normalise        uint8 pixels to normalised floats
parquet          Parquet tables, and images in Parquet
picture          what the cache keeps of an image; centre and random crops
place_pulse      Place Pulse tables and file names
preprocess       size, crop, mean and std of the input
public           CIFAR-10 and CIFAR-100 as class folders
questions        which column says what question was asked
rater_groups     mean ratings of all raters and of subgroups of them
row_lengths      rows with more or fewer cells than the header
rows             rows of a table that are samples, with files
sources          images of a folder, an archive or shards, in one order
space            where images were taken: grid cells, distances, variogram
split            train, validation and test sets; splits.csv
split_names      names of folders that mean train, validation or test
statistics       mean and std of the training pixels
subset           --subset: a part of the training set
table            read tables as text
table_folders    splits that the folders of a table's images make
targets          table cells to classes, labels or numbers
thumbnails       read every image once, for `check`
turns            small images are read by one thread at a time
vote_columns     which columns of a table hold votes
vote_sides       which two columns of a table of votes name the images
vote_winners     who won a vote, from the cells of the winner
votes            votes between two images: read, counted, divided by splits
webdataset       classes and values beside the images of archives
written          names of images within HTML, Markdown and JSON, and beside numbers
"""
