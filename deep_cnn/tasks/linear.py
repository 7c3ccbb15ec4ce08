"""Linear predictors on a few numbers of each image: what is reached without a network. Closed forms, without BLAS where sums are long,
so that results do not depend on the number of threads.
"""

import numpy as np

from deep_cnn.tasks.confidence import Floats

RIDGE = 1.0  # penalty, in images; numbers of images have unit variance
SHRINKAGE = 0.01  # of the covariance within classes


def standardised(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Both, (n, F) and (m, F), with mean 0 and variance 1 in the training set; a constant number becomes 0."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return (train - mean) / spread, (test - mean) / spread


def ridge_regression(train: Floats, targets: Floats, test: Floats) -> Floats:
    """Predictions (m,) of ridge regression (Hoerl and Kennard 1970). train: standardised (n, F); targets: (n,), none missing."""
    middle = targets.mean()
    normal = np.einsum("nf,ng->fg", train, train) + RIDGE * np.eye(train.shape[1])
    weights = np.linalg.solve(normal, np.einsum("nf,n->f", train, targets - middle))
    predicted: Floats = middle + np.einsum("nf,f->n", test, weights)
    return predicted


def discriminant(train: Floats, targets: np.ndarray, classes: int, test: Floats) -> Floats:
    """Probabilities (m, K) of linear discriminant analysis (Fisher 1936; Hastie, Tibshirani and Friedman 2009, 4.3).

    Each class is normal with a mean of its own and one covariance; a class counts one image more than it has.

    Args:
        train: standardised (n, F). targets: class numbers (n,).
    """
    counts = np.bincount(targets, minlength=classes)
    sums = np.zeros((classes, train.shape[1]))
    np.add.at(sums, targets, train)
    means = sums / np.maximum(counts, 1)[:, None]  # of a class without images 0, the middle of all
    within = train - means[targets]
    covariance = np.einsum("nf,ng->fg", within, within) / max(1, len(train) - classes) + SHRINKAGE * np.eye(
        train.shape[1]
    )
    directions = np.linalg.solve(covariance, means.T)  # (F, K)
    offsets = np.log((counts + 1) / (len(targets) + classes)) - 0.5 * np.einsum("kf,fk->k", means, directions)
    scores = np.einsum("nf,fk->nk", test, directions) + offsets
    likely = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: Floats = likely / likely.sum(axis=1, keepdims=True)
    return probabilities
