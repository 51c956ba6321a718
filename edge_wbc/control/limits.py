"""When a figure of quality control is outside its limits.

A chart as Levey and Jennings drew it (Am J Clin Pathol 20:1059, 1950): the mean of the first 20 values and 3 standard
deviations to either side, rule 1-3s of Westgard et al. (Clin Chem 27:493, 1981). While there are fewer, Student's
prediction interval for one further value, as probable to be left by chance and so wider; with fewer than 5 only the
fixed limits hold. From 10 values on those that are far out of the others do not make limits: one first run on a busy
computer would else hide every later one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist, fmean, quantiles, stdev
from typing import NamedTuple

from edge_wbc.differential import beta_quantile

SETTLED = 20
"""Values that make the limits for good: as many as laboratories are told to collect (CLSI C24)."""
ENOUGH = 5
"""With 4 Student's interval goes 10 standard deviations to either side and would say nothing; with 5 it is 7."""
DEVIATIONS = 3.0
FENCED = 10
"""Values from which on those beyond Tukey's outer fence (1977), 3 quartile ranges outside the quartiles, are left out.
Of normal values that raises false alarms twofold with 10 and by a twentieth with 20; with 5 it would be fivefold."""
FENCE = 3.0


class Limits(NamedTuple):
    """Of one figure."""

    mean: float
    low: float | None
    """None: a value may be as low as it will."""
    high: float | None
    values: int
    """How many there were to make them: from 20 on they stay as they are."""
    left_out: int
    """Of these, far out of the others."""


class Figure(NamedTuple):
    """Something that is charted."""

    name: str
    title: str
    unit: str
    """Of the values as they are stored."""
    digits: int
    least: float
    """The limits are at least this far from the mean."""
    part: float = 0.0
    """The same as a part of the mean."""
    below: bool = True
    """Whether a value may be too low."""
    above: bool = True
    floor: float | None = None
    """A fixed limit besides."""
    ceiling: float | None = None

    def words(self, value: float) -> str:
        return f"{value:.{self.digits}f} {self.unit}".strip()


def limits(figure: Figure, values: Sequence[float]) -> Limits | None:
    """From the first 20 values, in their order; None with fewer than 5."""
    first = values[:SETTLED]
    if len(first) < ENOUGH:
        return None
    kept = _inside_fence(first)
    mean, count = fmean(kept), len(kept)
    if len(first) < SETTLED:
        share = NormalDist().cdf(DEVIATIONS)
        times = student(share, count - 1) * math.sqrt(1 + 1 / count)
    else:
        times = DEVIATIONS
    reach = max(times * stdev(kept), figure.least, figure.part * abs(mean))
    low, high = mean - reach if figure.below else None, mean + reach if figure.above else None
    return Limits(mean, low, high, len(first), len(first) - count)


def _inside_fence(values: Sequence[float]) -> Sequence[float]:
    if len(values) < FENCED:
        return values
    first, _, third = quantiles(values, n=4, method="inclusive")
    reach = FENCE * (third - first)
    return [value for value in values if first - reach <= value <= third + reach]


def outside(figure: Figure, value: float, before: Sequence[float]) -> str | None:
    """What is wrong with a value, in words; None if nothing is.

    :param before: earlier values of the same kind that were inside, in their order.
    """
    if figure.floor is not None and value < figure.floor:
        return f"{figure.title} {figure.words(value)}, below the floor of {figure.words(figure.floor)}"
    if figure.ceiling is not None and value > figure.ceiling:
        return f"{figure.title} {figure.words(value)}, above the ceiling of {figure.words(figure.ceiling)}"
    found = limits(figure, before)
    if found is None:
        return None
    if found.low is not None and value < found.low:
        return f"{figure.title} {figure.words(value)}, below the limit of {figure.words(found.low)}"
    if found.high is not None and value > found.high:
        return f"{figure.title} {figure.words(value)}, above the limit of {figure.words(found.high)}"
    return None


@lru_cache
def student(share: float, freedom: int) -> float:
    """The quantile of Student's t, by that of the beta distribution (Abramowitz and Stegun 26.7.1, 26.5.2).

    :param share: from a half up, below 1.
    """
    part = beta_quantile(0.5, freedom / 2, 2 * share - 1)
    return math.sqrt(freedom * part / (1 - part))
