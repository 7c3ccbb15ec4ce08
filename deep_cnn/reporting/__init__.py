"""What people look at: console, plots, report, comparisons, trackers.

advice            What learning curves mean, in plain words and with the numbers that show it
compare/          Finished runs side by side
examples          Images with what the network says of them: for the trackers and the report
plots/            Figures
report/           report.html
result_text       A result in words: the console's lines of metrics with their intervals
trackers/         Where an epoch's numbers go beside metrics.csv
tutorial_console  --console=tutorial: what PyTorch's tutorial "Training a classifier" prints, in its words
"""
