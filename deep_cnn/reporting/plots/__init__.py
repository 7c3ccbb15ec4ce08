"""Figures.

figures         Pictures of a run's results, as PNG files: each function takes values and a path
of_task         The pictures of a test set that a task asks for by name
report_figures  Pictures that only the report shows: calibration and residuals; as plots.py: values in, a PNG at a path
"""
