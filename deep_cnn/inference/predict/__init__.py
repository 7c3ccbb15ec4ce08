"""A table of predictions for any images.

areas         Means of areas from a table of predictions
convert       A finished table of predictions in other formats, row by row, so that memory does not grow with it
inputs        Which images `predict` is asked for: a folder, a table, a list of paths, or the standard input
job           One table of predictions from start to end: load, look where an earlier start came to, predict, append
output_table  The table of predictions on disk: rows are only ever appended, and each one that is whole is true for good
redo          A table whose images have changed: unchanged rows are copied, the others predicted again
regions       --coverage: the rules of intervals and sets
row_maker     Blocks of predictions -> the columns and rows of a table
shards        A list of images in parts, one per job of an array, and the parts put together again
stream        Images in, predictions out, block by block: memory does not grow with the number of images
"""
