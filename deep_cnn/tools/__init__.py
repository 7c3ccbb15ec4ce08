"""Commands that make or examine whole runs.

preflight      `check`: data, network, machine before a run
search/        Hyper-parameter search with Optuna
verify_resume  prove that a killed run resumes bit for bit
"""
