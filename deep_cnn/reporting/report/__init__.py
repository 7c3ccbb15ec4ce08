"""report.html.

charts     The charts of a report, as SVG inside the page
confusion  Which classes are taken for which: a table of all of them, or of many classes the most confused pairs
folds      report.html of a cross-validation: one page about all folds
front      The first screen: what was learnt from what, the main number with its interval and baseline, and a verdict in words
images     Photographs and pictures as text inside a page
index      index.html: all runs below one folder of outputs, with links to their reports
page       report.html: one page about a run with everything in it: no network, no script, no other file
record     A run as its files tell it: what outputs/results/RUN holds, read back
sections   The sections of report.html: a function for each row of the registry REPORT_SECTIONS
tables     The tables of a report, from the values of its files
"""
