"""Whether probabilities mean what they say, and what a threshold on them costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edge_wbc.errors import SourceError
from edge_wbc.types import NOT_A_CELL, Prediction
from training.evaluate import Scored

BINS = 15
REJECTS = 0.05
"""Share of known cells that a chosen threshold rejects."""
DRAWS = 500
"""Simulated perfectly calibrated models."""
_ALWAYS_REJECTED = -1.0

_Values: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """Crops whose most probable class has a probability above ``low`` and up to ``high``."""

    low: float
    high: float
    crops: int
    confidence: float
    """Mean probability of the most probable class."""
    accuracy: float
    """Share in which that class is the true one."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Calibration of the most probable class, whether or not it passed the threshold."""

    crops: int
    """Those that were classified: missed and unreadable ones have no probability."""
    ece: float
    by_chance: float
    """Mean ECE of a perfectly calibrated model on as many crops with the same probabilities, crops independent."""
    by_chance_clustered: float
    """The same where a photograph's crops are right or wrong together; real crops lie between the two."""
    bins: list[Bin]
    """Those that hold crops."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a threshold does to known cells."""

    threshold: float
    rejected: float
    """Share below the threshold, or said to be no cell."""
    error: float | None
    """Share of wrong classes among the rest; None if nothing is left."""

    @property
    def words(self) -> str:
        rest = "leaves nothing" if self.error is None else f"errs on {self.error:.1%} of the rest"
        return f"rejects {self.rejected:.1%}, {rest}"


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """The trade between cells rejected and errors on the rest."""

    known: int
    model: OperatingPoint
    """Where the model's own threshold lies."""
    points: list[OperatingPoint]
    """By rising threshold."""


def reliability(scored: Sequence[Scored], seed: int = 1) -> Reliability | None:
    """Expected calibration error over ``BINS`` equal bins (Naeini et al., AAAI 2015; Guo et al., ICML 2017).

    Every classified crop counts, boxes without a cell too where ``scored`` holds them; a class that the model does not
    know is always wrong.

    :returns: None if nothing was classified.
    """
    items = [(item.sample, item.prediction) for item in scored if item.prediction is not None]
    if not items:
        return None
    confidence = np.array([_top(prediction)[1] for _, prediction in items])
    right = np.array([_top(prediction)[0] == sample.label for sample, prediction in items], np.float64)
    groups = np.unique([sample.group for sample, _ in items], return_inverse=True)[1].reshape(-1)
    bins = _bin_of(confidence)
    rng = np.random.default_rng(seed)
    alone, together = np.empty(DRAWS), np.empty(DRAWS)
    for i in range(DRAWS):
        alone[i] = _ece(bins, confidence, rng.random(len(items)) < confidence)
        together[i] = _ece(bins, confidence, rng.random(int(groups.max()) + 1)[groups] < confidence)
    return Reliability(
        crops=len(items),
        ece=_ece(bins, confidence, right),
        by_chance=float(alone.mean()),
        by_chance_clustered=float(together.mean()),
        bins=[
            Bin(
                low=int(number) / BINS,
                high=(int(number) + 1) / BINS,
                crops=int((bins == number).sum()),
                confidence=float(confidence[bins == number].mean()),
                accuracy=float(right[bins == number].mean()),
            )
            for number in np.unique(bins)
        ],
    )


def risk_coverage(scored: Sequence[Scored], threshold: float, points: int = 100) -> RiskCoverage | None:
    """The curve over thresholds (El-Yaniv and Wiener, J. Mach. Learn. Res. 11:1605, 2010).

    *Known* cells are classified cells of a class the model knows. Boxes without a cell are not among them, rejecting
    one costs nothing; a known cell said to be ``not_a_cell`` is lost to the differential as an ``unidentified`` one is,
    so it counts as rejected at any threshold.

    :param threshold: the model's own.
    :returns: None if no known cell was classified.
    """
    probability, wrong = _known(scored)
    if not len(probability):
        return None
    thresholds = sorted({_threshold(probability, share / points) for share in range(points)})
    return RiskCoverage(
        known=len(probability),
        model=_point(probability, wrong, threshold),
        points=[_point(probability, wrong, each) for each in thresholds],
    )


def threshold_for(scored: Sequence[Scored], rejects: float = REJECTS, at_least: float = 0.0) -> OperatingPoint:
    """The highest threshold, in steps of 0.0001, that rejects no more than a share of the known cells.

    :param at_least: the threshold is never lower, though it then rejects more.
    :raises SourceError: no known cell was classified.
    """
    probability, wrong = _known(scored)
    if not len(probability):
        raise SourceError("no cell of a known class to choose a threshold on; give cells of the model's classes")
    return _point(probability, wrong, max(at_least, _threshold(probability, rejects)))


def rejected(prediction: Prediction, threshold: float) -> bool:
    """Whether a crop counts in no percentage: not sure enough, or said to be no cell."""
    label, probability = _top(prediction)
    return label == NOT_A_CELL or probability < threshold


def _known(scored: Sequence[Scored]) -> tuple[_Values, npt.NDArray[np.bool_]]:
    """Per known cell, by rising probability: that probability, and whether the most probable class is wrong."""
    rows = []
    for item in scored:
        label = item.sample.label
        if item.prediction is not None and label != NOT_A_CELL and label in item.prediction.probabilities:
            said, probability = _top(item.prediction)
            rows.append((_ALWAYS_REJECTED if said == NOT_A_CELL else probability, said != label))
    rows.sort()
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows], bool)


def _threshold(probability: _Values, rejects: float) -> float:
    last = probability[min(len(probability) - 1, math.floor(rejects * len(probability) + 1e-9))]
    return max(0.0, math.floor(float(last) * 1e4) / 1e4)


def _point(probability: _Values, wrong: npt.NDArray[np.bool_], threshold: float) -> OperatingPoint:
    below = int(np.searchsorted(probability, threshold))
    error = float(wrong[below:].mean()) if below < len(wrong) else None
    return OperatingPoint(threshold, below / len(wrong), error)


def _top(prediction: Prediction) -> tuple[str, float]:
    return max(prediction.probabilities.items(), key=lambda pair: pair[1])


def _bin_of(confidence: _Values) -> npt.NDArray[np.int64]:
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def _ece(bins: npt.NDArray[np.int64], confidence: _Values, right: npt.NDArray[np.bool_] | _Values) -> float:
    """Σ over bins of |right − confidence|, summed within the bin, over all crops: the weighted mean of the gaps."""
    return float(np.abs(np.bincount(bins, weights=right - confidence)).sum() / len(bins))
