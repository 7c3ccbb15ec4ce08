"""What people look at: console, plots, report, comparisons, trackers.

advice            what learning curves mean
compare/          Finished runs side by side
examples          example images with predictions
methods/          The methods paragraph of a paper, from a run's own files
plots/            Figures
probe_advice      Is fine-tuning worth it, beside a probe?
rater_groups      subgroups of raters in words
report/           report.html
result_text       the console's table of a result
too_little        what a run had too little of: steps, epochs, test images
trackers/         Where an epoch's numbers go beside metrics.csv
tutorial_console  lines of PyTorch's classifier tutorial
"""
