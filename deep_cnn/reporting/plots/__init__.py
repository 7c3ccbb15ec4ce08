"""Figures, one a file.

confusion_matrix   Where the images of each class went
fold_values        The result of each fold, beside that of all folds
learning_curves    Loss, metrics and learning rate by epoch
map_areas          Which test images share a map, and where they are on it in metres
of_task            The figures of a test set, as the registry FIGURES lists them for a task
panel              One pair of axes: several of them make a PNG, each by itself an SVG inside a page
predicted_vs_true  Predictions against true values
reliability        Accuracy against confidence
residuals          Errors against predictions
score_map          Maps of predictions and residuals
style              What all figures share: colours, numbers on axes, labels, and how a figure is saved
svg                A panel as SVG inside a page
"""
