"""What samples say: percentiles with support, medians with intervals, ratios of rounds taken side by side.

Nothing is thrown away: a sample far off stays in every figure, and is counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
CONFIDENCE = 0.95
RESAMPLES = 1000
"""Of a bootstrap: its standard error is then known to 2 %."""
LEAST_ROUNDS = 5
"""From how many on there are three blocks to draw from, and so an interval."""
FENCE = 3.0
"""Interquartile ranges above the third quartile from where a sample is far out (Tukey 1977, outer fence)."""

Floats = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """A figure with both ends of its interval, which are None where there are too few rounds to tell."""

    value: float
    low: float | None
    high: float | None

    def holds(self, value: float) -> bool:
        return self.low is None or self.high is None or self.low <= value <= self.high

    def ends(self, digits: int = 3) -> str:
        """From where to where, in words."""
        return "–" if self.low is None else f"{self.low:.{digits}f}–{self.high:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Summary:
    """Of all samples of one thing, in their own unit."""

    count: int
    mean: float
    least: float
    greatest: float
    percentiles: dict[str, float | None]
    """Keyed ``p50`` to ``p99.9``; None where there are too few samples."""
    outliers: int
    """Far out on the slow side; they are in every figure above."""


def summary(samples: Sequence[float] | Floats) -> Summary:
    """:raises ValueError: no samples."""
    ordered = np.sort(np.asarray(samples, float))
    if not len(ordered):
        raise ValueError("no samples")
    first, third = np.percentile(ordered, (25, 75))
    return Summary(
        len(ordered),
        float(ordered.mean()),
        float(ordered[0]),
        float(ordered[-1]),
        {f"p{percent:g}": percentile(ordered, percent) for percent in PERCENTILES},
        int((ordered > third + FENCE * (third - first)).sum()),
    )


def percentile(ordered: Floats, percent: float) -> float | None:
    """By the nearest rank; None where the samples do not support it.

    :param ordered: rising.
    """
    if len(ordered) < least_samples(percent):
        return None
    return float(ordered[max(0, math.ceil(round(len(ordered) * percent / 100, 9)) - 1)])


def least_samples(percent: float) -> int:
    """From how many samples a percentile can be told: the greatest of so many is above it with 95 % confidence (Wilks
    1941); 5, 29, 59, 299 and 2995 for the five of ``PERCENTILES``.
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(percent / 100))


def median_interval(values: Sequence[float] | Floats, confidence: float = CONFIDENCE) -> Interval:
    """The median and its interval.

    Neighbours in time are alike, so the bootstrap draws runs of them: circular blocks (Politis and Romano 1992) of
    n^(1/3), the rate of Hall, Horowitz and Jing (1995). Its standard error is taken by Student's quantile for as many
    blocks: percentiles of the bootstrap itself told equal things apart in 9 of 100 simulations that were to be 1.

    :param values: in the order they were measured; fewer than ``LEAST_ROUNDS`` have no interval.
    :raises ValueError: no values.
    """
    middle, reach = _median(np.asarray(values, float), confidence)
    return Interval(middle, None, None) if reach is None else Interval(middle, middle - reach, middle + reach)


def time_interval(values: Sequence[float] | Floats, confidence: float = CONFIDENCE) -> Interval:
    """The same of what is always above 0, by its logarithm: no end is below 0.

    :raises ValueError: no values.
    """
    return _exponential(*_median(np.log(np.asarray(values, float)), confidence))


def paired_ratio(
    first: Sequence[float] | Floats, second: Sequence[float] | Floats, confidence: float = CONFIDENCE
) -> Interval:
    """Median over the rounds of second ÷ first, both from the same round, with its interval.

    :raises ValueError: not as many of one as of the other, or none.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} rounds of one and {len(b)} of the other")
    return _exponential(*_median(np.log(b / a), confidence))


def unpaired_ratio(
    first: Sequence[float] | Floats, second: Sequence[float] | Floats, confidence: float = CONFIDENCE
) -> Interval:
    """Ratio of the medians over the rounds of two runs, second ÷ first, with its interval.

    The runs were not side by side: what the machine did differently in one is in the ratio, and not in its interval.

    :raises ValueError: no rounds of one.
    """
    (a, reach_a), (b, reach_b) = (_median(np.log(np.asarray(each, float)), confidence) for each in (first, second))
    return _exponential(b - a, None if reach_a is None or reach_b is None else math.hypot(reach_a, reach_b))


def _median(series: Floats, confidence: float) -> tuple[float, float | None]:
    """With how far to either side the interval goes."""
    if not len(series):
        raise ValueError("no values")
    middle = float(np.median(series))
    if len(series) < LEAST_ROUNDS:
        return middle, None
    places, blocks = _blocks(len(series))
    return middle, student((1 + confidence) / 2, blocks - 1) * float(np.median(series[places], axis=1).std())


def _exponential(middle: float, reach: float | None) -> Interval:
    if reach is None:
        return Interval(math.exp(middle), None, None)
    return Interval(math.exp(middle), math.exp(middle - reach), math.exp(middle + reach))


def student(share: float, freedom: int) -> float:
    """The quantile of Student's t by Abramowitz and Stegun 26.7.5: within 4 % from 2 degrees of freedom on at 97.5 %.

    :param share: above 0.5.
    """
    z = NormalDist().inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / math.pow(freedom, power) for power, term in enumerate(terms, 1))


def _blocks(count: int) -> tuple[npt.NDArray[np.intp], int]:
    """(RESAMPLES, count) places, drawn as circular runs; how many runs make one sample."""
    length = math.ceil(round(count ** (1 / 3), 9))
    runs = -(-count // length)
    starts = np.random.default_rng(0).integers(0, count, (RESAMPLES, runs, 1))
    return ((starts + np.arange(length)) % count).reshape(RESAMPLES, -1)[:, :count], runs
