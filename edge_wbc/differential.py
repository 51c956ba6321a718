"""Counts per class, percentages of leukocytes, exact intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from edge_wbc.manifest import LabelsGroup
from edge_wbc.types import UNIDENTIFIED, Differential, Share

ERYTHROBLAST = "erythroblast"


class Tally:
    """Counts cells as they are decided. Used by one thread."""

    def __init__(self, labels: LabelsGroup) -> None:
        self._labels = labels
        self._counts: Counter[str] = Counter()
        self._made: tuple[dict[str, int], Differential] | None = None

    def add(self, labels: Iterable[str]) -> None:
        self._counts.update(labels)

    @property
    def total(self) -> int:
        """Leukocytes so far."""
        return sum(self._counts[name] for name in self._labels.counted)

    def differential(self) -> Differential:
        """Where the count stands. Unidentified cells and classes outside the denominator are in no percentage.

        From any thread; intervals take some 20 ms, so nothing is made again while no cell came.
        """
        counts, made = dict(self._counts), self._made
        if made is None or made[0] != counts:
            made = self._made = counts, self._differential(Counter(counts))
        return made[1]

    def _differential(self, counts: Counter[str]) -> Differential:
        total = sum(counts[name] for name in self._labels.counted)
        shares = {}
        for name in self._labels.names:
            count = counts[name]
            if name in self._labels.counted and total:
                low, high = exact_interval(count, total)
                shares[name] = Share(count, 100 * count / total, 100 * low, 100 * high)
            else:
                shares[name] = Share(count, None, None, None)
        known = ERYTHROBLAST in self._labels.names and total
        per_100 = 100 * counts[ERYTHROBLAST] / total if known else None
        return Differential(total, counts[UNIDENTIFIED], shares, per_100)


@lru_cache(maxsize=1024)  # a move between two classes leaves those of the others
def exact_interval(count: float, total: float, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper–Pearson interval of a proportion (Biometrika 26:404, 1934), by quantiles of the beta distribution.

    :param count: of ``total``; both may be fractions, as effective numbers of observations are.
    :returns: lower and upper end, 0 to 1.
    """
    tail = (1 - confidence) / 2
    low = beta_quantile(count, total - count + 1, tail) if count else 0.0
    high = beta_quantile(count + 1, total - count, 1 - tail) if count < total else 1.0
    return low, high


def beta_quantile(a: float, b: float, probability: float) -> float:
    """The value, 0 to 1, that a beta-distributed one stays below with this probability.

    By Halley's method from where a normal distribution has it, between ends that close in: some 4 steps where halving
    takes 50.
    """
    low, high = 0.0, 1.0
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    mean = a / (a + b)
    x = mean + _normal_quantile(probability) * math.sqrt(mean * (1 - mean) / (a + b + 1))
    if not low < x < high:
        x = mean
    for _ in range(100):
        error = _beta_cdf(a, b, x) - probability
        low, high = (x, high) if error < 0 else (low, x)
        density = math.exp((a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - log_beta)
        step = error / density if density else math.inf
        bend = ((a - 1) / x - (b - 1) / (1 - x)) * step / 2
        nearer = x - step / max(1 - bend, 0.5)
        if abs(nearer - x) <= 1e-6 * min(x, 1 - x):  # a step leaves the third power of that
            return nearer
        x = nearer if low < nearer < high else (low + high) / 2
        if not low < x < high:  # no float is left between them
            return x
    return x


def _normal_quantile(probability: float) -> float:
    """To 0.003: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.22."""
    tail = min(probability, 1 - probability)
    t = math.sqrt(-2 * math.log(max(tail, 1e-300)))
    far = t - (2.30753 + 0.27061 * t) / (1 + 0.99229 * t + 0.04481 * t * t)
    return far if probability > 0.5 else -far


def _beta_cdf(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function by its continued fraction (DLMF 8.17.22), from the innermost term out.

    SciPy has it, at 15 MB of a running pipeline's memory and 0.1 s of its start.
    """
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1 - _beta_cdf(b, a, 1 - x)
    if x <= 0:
        return 0.0
    fraction = 1.0
    for m in range(30 + round(4 * math.sqrt(a + b)), 0, -1):  # twice the terms that a float can tell apart
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1))
        fraction = 1 + odd / (1 + even / fraction)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / (a * fraction)
