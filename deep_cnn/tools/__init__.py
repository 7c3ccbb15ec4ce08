"""Commands that make or examine whole runs.

preflight      Everything that can be known before a job is queued: the data, the network on this machine, the disk, the time
search/        Hyper-parameter search with Optuna
verify_resume  Does a run that is killed again and again end where one ends that never was? Asked of a short version of the user's own
"""
