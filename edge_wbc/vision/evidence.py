"""What is known of a cell that is not counted yet: how often it was seen, and what the network said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_wbc.types import UNIDENTIFIED, Prediction

LEAST_SEEN = 0.25
"""Of the clear frames that showed its place wholly, the share in which a cell must have been found."""
LEAST_WEIGHT = 1e-3


@dataclass(slots=True)
class Evidence:
    """Of one track."""

    hits: int = 0
    """Frames in which it was found, whole."""
    chances: int = 0
    """Clear frames that showed its place wholly, found or not."""
    best: float = 0.0
    """Its sharpest sighting."""
    asked: int = 0
    """Sightings to be classified…"""
    answered: int = 0
    """… and those that were."""
    last_seen: int = 0
    in_view: bool = True
    _weight: float = 0.0
    _sums: dict[str, float] = field(default_factory=dict)

    @property
    def is_cell(self) -> bool:
        """Whether it was found whole, and not missed too often; once while the stage stood over it is a flicker."""
        return self.hits > 0 and self.hits >= LEAST_SEEN * self.chances

    def hear(self, probabilities: Mapping[str, float], weight: float) -> None:
        """One more prediction."""
        weight = max(weight, LEAST_WEIGHT)
        self.answered += 1
        self._weight += weight
        for name, value in probabilities.items():
            self._sums[name] = self._sums.get(name, 0.0) + weight * value

    def take(self, other: Evidence) -> None:
        """Another track was the same cell."""
        self.hits += other.hits
        self.chances = max(self.chances, other.chances, self.hits)
        self.best = max(self.best, other.best)
        self.asked += other.asked
        self.answered += other.answered
        self.last_seen = max(self.last_seen, other.last_seen)
        self.in_view |= other.in_view
        self._weight += other._weight
        for name, value in other._sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def pooled(self, unidentified_below: float) -> Prediction:
        """The weighted mean of all predictions, labelled as one would be. At least one was heard."""
        mean = {name: value / self._weight for name, value in self._sums.items()}
        best = max(mean, key=mean.__getitem__)
        label = best if mean[best] >= unidentified_below else UNIDENTIFIED
        rounded = {name: round(value, 6) for name, value in mean.items()}
        return Prediction(label, rounded[best], rounded)
