"""Counts per class, percentages of leukocytes, exact intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from scipy.special import betaincinv

from edge_wbc.manifest import LabelsGroup
from edge_wbc.types import UNIDENTIFIED, Differential, Share

ERYTHROBLAST = "erythroblast"


class Tally:
    """Counts cells as they are decided. Used by one thread."""

    def __init__(self, labels: LabelsGroup) -> None:
        self._labels = labels
        self._counts: Counter[str] = Counter()

    def add(self, labels: Iterable[str]) -> None:
        self._counts.update(labels)

    def differential(self) -> Differential:
        """Where the count stands. Unidentified cells and classes outside the denominator are in no percentage."""
        total = sum(self._counts[name] for name in self._labels.counted)
        shares = {}
        for name in self._labels.names:
            count = self._counts[name]
            if name in self._labels.counted and total:
                low, high = exact_interval(count, total)
                shares[name] = Share(count, 100 * count / total, 100 * low, 100 * high)
            else:
                shares[name] = Share(count, None, None, None)
        known = ERYTHROBLAST in self._labels.names and total
        per_100 = 100 * self._counts[ERYTHROBLAST] / total if known else None
        return Differential(total, self._counts[UNIDENTIFIED], shares, per_100)


def exact_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper–Pearson interval of a proportion (Biometrika 26:404, 1934), by quantiles of the beta distribution.

    :returns: lower and upper end, 0 to 1.
    """
    tail = (1 - confidence) / 2
    low = float(betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return low, high
