"""Which epoch is the best, and when --patience and --schedule=plateau count it."""

from deep_cnn.training.state import Progress


def best_of(values: list[float], losses: list[float | None], higher_is_better: bool = True) -> Progress:
    progress = Progress()
    for value, loss in zip(values, losses, strict=True):
        progress.validated(value, loss, higher_is_better, plateau=False)
        progress.next_epoch(epochs=100, patience=0)
    return progress


def test_of_equal_epochs_the_one_with_the_lowest_loss_is_the_best():
    progress = best_of([0.5, 1.0, 1.0, 1.0, 0.9], [2.0, 1.0, 0.4, 0.6, 0.1])
    assert (progress.best, progress.best_loss, progress.best_epoch) == (1.0, 0.4, 2)


def test_a_better_value_counts_more_than_its_loss():
    assert best_of([0.8, 0.9], [0.1, 5.0]).best_epoch == 1
    assert best_of([3.0, 2.0, 2.0], [0.1, 5.0, 6.0], higher_is_better=False).best_epoch == 1


def test_patience_counts_only_epochs_of_a_better_value():
    assert best_of([0.9, 0.9, 0.9], [0.3, 0.2, 0.1]).epochs_without_better == 2


def test_without_losses_the_first_of_equal_epochs_is_the_best():
    """A run that 0.1.0 began does not know its best epoch's loss: it goes on as it would have."""
    assert best_of([0.9, 0.9], [None, 0.1]).best_epoch == 0
    assert best_of([float("nan"), float("nan")], [0.2, 0.1]).best_epoch == -1
    assert best_of([0.9, float("nan")], [float("nan"), 0.1]).best_epoch == 0
