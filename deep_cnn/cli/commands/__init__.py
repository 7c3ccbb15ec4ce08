"""One command a file: its flags (`Options`) and its `main`.

check          python -m deep_cnn check: everything that would stop or spoil a run, found before it is queued
compare        python -m deep_cnn compare: finished runs side by side, as a table, and their metric against their size, as a figure
evaluate       python -m deep_cnn evaluate: score a split of a finished run again
explain        python -m deep_cnn explain: which parts of an image raise or lower a score or a class
export         python -m deep_cnn export: the network as other programs read it, checked on real images before it is called done
predict        python -m deep_cnn predict: a table of predictions for images that nobody has rated
prefetch       python -m deep_cnn prefetch: weights, or a public data set, ahead of time, on a machine that has internet
report         python -m deep_cnn report: write a run's report again from its files
search         python -m deep_cnn search: hyper-parameters by Optuna, in as many processes as there are
summary        python -m deep_cnn summary: a network before it is trained, or the names of all of them
train          python -m deep_cnn [train]: the run itself is in training/trainer.py
verify_resume  python -m deep_cnn verify_resume [train flags]: is a killed run's result that of an unbroken one, on this machine?
"""
