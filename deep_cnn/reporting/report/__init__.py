"""report.html.

folds     report.html of a cross-validation: one page about all folds
images    Pictures and photographs as text inside a page
page      report.html: one page about a run with everything in it: no network, no other file
record    A run as its files tell it: what outputs/results/RUN holds, read back
sections  The sections of report.html: a function for each row of the registry REPORT_SECTIONS
"""
