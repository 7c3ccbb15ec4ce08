"""Commands that make or examine whole runs.

folds/         --folds: cross-validation
preflight      `check`: data, network, machine before a run
search/        Hyper-parameter search with Optuna
verify_resume  prove that a killed run resumes bit for bit
"""
