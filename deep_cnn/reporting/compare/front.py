"""The Pareto front: networks of which no other is both smaller and better."""

from collections.abc import Sequence


def pareto_front(sizes: Sequence[float], values: Sequence[float], lower_is_better: bool) -> list[int]:
    """Numbers of the points that no other beats in one of size and value and equals or beats in the other.

    Returns:
        from the smallest to the largest; of points equal in both, all.
    """
    sign = 1 if lower_is_better else -1
    front: list[int] = []
    for i in sorted(range(len(sizes)), key=lambda i: (sizes[i], sign * values[i])):
        best = front[-1] if front else None
        equal = best is not None and (sizes[i], values[i]) == (sizes[best], values[best])
        if best is None or equal or sign * values[i] < sign * values[best]:
            front.append(i)
    return front
