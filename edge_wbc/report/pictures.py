"""Which cells of a class a report shows, and their crops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from edge_wbc.review.review import PILES, Review
from edge_wbc.sessions.schema import opened

MOST = 6
"""Crops of one class: they fit beside its figures on a page of A4."""
HALF = MOST // 2
HOW = (
    f"Cells shown: at most {MOST} of each class, the {HALF} to which the network gave it the highest probability, then "
    f"the {HALF} to which it gave the lowest; below each its number and that probability. Framed: moved by a person."
)
"""How the cells were chosen, for people."""
_PIXELS = (
    "SELECT pixels FROM (SELECT pixels, 0 AS part, 0 AS less FROM crops WHERE cell = ?1 "
    "UNION ALL SELECT crop, rowid, -weight FROM sightings WHERE cell = ?1) ORDER BY less, part LIMIT 1"
)
"""Of several sightings the sharpest."""


def probability(review: Review, number: int) -> float:
    """What the network gave the class that a cell has now, 0 to 1; of a cell without a class, its most probable one."""
    said, now = review.cells[number].prediction, review.class_of(number)
    return said.probability if now in PILES else said.probabilities.get(now, 0.0)


def chosen(review: Review, cells: Iterable[int]) -> tuple[int, ...]:
    """Those of a class's cells that are shown, the most probable first; see `HOW`."""
    sorted_ = sorted(cells, key=lambda number: (-probability(review, number), number))
    return tuple(sorted_ if len(sorted_) <= MOST else sorted_[:HALF] + sorted_[-HALF:])


def pictures(folder: Path, size_px: int, cells: Iterable[int]) -> Mapping[int, bytes]:
    """Crops as PNG, of those cells that have one: as the network saw them, to the last bit.

    :raises SessionError: the session can't be read.
    """
    found = {}
    with opened(folder) as connection:
        for number in cells:
            row = connection.execute(_PIXELS, (number,)).fetchone()
            if row is not None and len(row[0]) == 3 * size_px**2:
                crop = np.frombuffer(row[0], np.uint8).reshape(size_px, size_px, 3)
                found[number] = cv2.imencode(".png", crop)[1].tobytes()
    return found
