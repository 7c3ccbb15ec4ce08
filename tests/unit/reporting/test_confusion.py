"""Confusions as a table of cells, or as the pairs that are confused most."""

import numpy as np

from deep_cnn.reporting.report.confusion import MAX_CLASSES, PAIRS, STRONGEST, confusion


def test_few_classes_have_a_matrix_of_counts_and_shares():
    found = confusion(np.array([[3, 1, 0], [0, 8, 0], [0, 0, 0]]), ["a", "b", "none"])
    (name, total, cells), full, empty = found.matrix
    assert (name, total, found.pairs, found.wrong) == ("a", "4", [], 1)
    assert [(c.count, c.share, c.right) for c in cells] == [("3", "75%", True), ("1", "25%", False), ("", "", False)]
    assert full[2][1].opacity == STRONGEST and cells[1].opacity == round(STRONGEST / 4, 2)
    assert [c.count for c in empty[2]] == ["", "", ""], "a class without test images"


def test_many_classes_have_their_most_confused_pairs():
    size = MAX_CLASSES + 1
    matrix = np.eye(size, dtype=int) * 10
    matrix[3, 7], matrix[5, 0], matrix[4, 0] = 6, 2, 2
    matrix[4, 4] = 2  # the two wrong ones are a larger share of class 4
    found = confusion(matrix, [f"class {k}" for k in range(size)])
    assert found.matrix == [] and found.wrong == 10 and found.more == 0
    assert found.pairs == [
        ("class 3", "class 7", "6", "38%"),
        ("class 4", "class 0", "2", "50%"),
        ("class 5", "class 0", "2", "17%"),
    ]
    everywhere = confusion(np.ones((365, 365), dtype=int), [str(k) for k in range(365)])
    assert len(everywhere.pairs) == PAIRS and everywhere.more == 365 * 364 - PAIRS
