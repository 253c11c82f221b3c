"""How a quantity moves over time, with an interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist, fmean

CONFIDENCE = 0.95
BATCH_SECONDS = 120.0
"""Length of a batch."""
FEWEST = 3
"""Below this many degrees of freedom nothing is said."""


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

    Successive samples of a process resemble each other. So it is fitted to the means of batches, which hardly do.

    :param segments: for each process its samples, as seconds and value
    :return: ``None`` if the samples do not suffice
    """
    centred = [_centred(batches) for batches in map(_batch_means, segments) if len(batches) > 1]
    points = [point for segment in centred for point in segment]
    free = len(points) - len(centred) - 1
    if free < FEWEST:
        return None
    spread = sum(x * x for x, _ in points)
    value = sum(x * y for x, y in points) / spread
    squares = sum((y - value * x) ** 2 for x, y in points)
    reach = _student(free) * math.sqrt(squares / free / spread)
    return Slope(value, value - reach, value + reach)


def _batch_means(segment: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """The means of all whole batches."""
    if not segment:
        return []
    begin, end = segment[0][0], segment[-1][0]
    whole = [point for point in segment if point[0] < begin + (end - begin) // BATCH_SECONDS * BATCH_SECONDS]
    batches = (list(batch) for _, batch in groupby(whole, key=lambda point: (point[0] - begin) // BATCH_SECONDS))
    return [(fmean(at for at, _ in batch), fmean(value for _, value in batch)) for batch in batches]


def _centred(segment: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    count = len(segment)
    x_mean, y_mean = sum(x for x, _ in segment) / count, sum(y for _, y in segment) / count
    return [(x - x_mean, y - y_mean) for x, y in segment]


def _student(free: float) -> float:
    """Quantile of Student's distribution, by Cornish and Fisher's expansion."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return (
        z
        + (z**3 + z) / (4 * free)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    )
