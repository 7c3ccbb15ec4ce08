"""report.html.

images  Pictures and photographs as text inside a page
page    report.html: one page that tells a run, with everything in it: no network, no other file
record  A run as its files tell it: what outputs/results/RUN holds, read back
"""
