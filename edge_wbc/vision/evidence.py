"""What is known of a cell that is not counted yet: how often it was seen, and whether the network has answered."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_SEEN = 0.25
"""Of the clear frames that showed its place wholly, the share in which a cell must have been found."""


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

    @property
    def is_cell(self) -> bool:
        """Whether it was found whole, and not missed too often; once while the stage stood over it is a flicker."""
        return self.hits > 0 and self.hits >= LEAST_SEEN * self.chances

    def take(self, other: Evidence) -> None:
        """Another track was the same cell."""
        self.hits += other.hits
        self.chances = max(self.chances, other.chances, self.hits)
        self.best = max(self.best, other.best)
        self.asked += other.asked
        self.answered += other.answered
        self.last_seen = max(self.last_seen, other.last_seen)
        self.in_view |= other.in_view
