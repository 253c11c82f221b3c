"""How a quantity moves over time, with an interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

CONFIDENCE = 0.95
FEWEST = 12
"""Below this many independent samples nothing is said."""


@dataclass(frozen=True)
class Slope:
    """A slope by least squares.

    :param value: units per second
    :param low: lower end of its 95 % interval
    :param high: upper end
    """

    value: float
    low: float
    high: float


def slope(segments: Sequence[Sequence[tuple[float, float]]]) -> Slope | None:
    """Fit one slope to several processes of one kind, each with a level of its own.

    Successive samples of a process resemble each other. So the interval counts only as many samples as are independent,
    from the correlation of neighbouring residuals.

    :param segments: for each process its samples, as seconds and value
    :return: ``None`` if the samples do not suffice
    """
    centred = [_centred(segment) for segment in segments if len(segment) >= 3]
    points = [point for segment in centred for point in segment]
    spread = sum(x * x for x, _ in points)
    if not spread:
        return None
    value = sum(x * y for x, y in points) / spread
    rests = [[y - value * x for x, y in segment] for segment in centred]
    squares = sum(rest * rest for segment in rests for rest in segment)
    together = sum(a * b for segment in rests for a, b in pairwise(segment))
    correlation = min(max(together / squares, 0.0), 0.99) if squares else 0.0
    independent = len(points) * (1 - correlation) / (1 + correlation)
    free = independent - len(centred) - 1
    if len(points) < FEWEST or free < 1:
        return None
    error = math.sqrt(squares / (len(points) - len(centred) - 1) / spread * len(points) / independent)
    reach = _student(free) * error
    return Slope(value, value - reach, value + reach)


def _centred(segment: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    count = len(segment)
    x_mean, y_mean = sum(x for x, _ in segment) / count, sum(y for _, y in segment) / count
    return [(x - x_mean, y - y_mean) for x, y in segment]


def _student(free: float) -> float:
    """Quantile of Student's distribution, by Cornish and Fisher's expansion."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    if free < 3:
        # The expansion is too small there; 12.7 is the value for one degree of freedom.
        return 12.71
    return (
        z
        + (z**3 + z) / (4 * free)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    )
