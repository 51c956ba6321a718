"""Which cells count, and as what: every cell of every frame, or each cell of a slide once.

Frames are seen in the thread that locates, in order; predictions come later, in the thread that classifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_wbc.types import Cell, CountedCell, Frame, FrameRef, Pixels, Prediction, Sighting


@dataclass(frozen=True, slots=True)
class Seen:
    """What is to be done with the cells of one frame."""

    cells: tuple[Cell, ...]
    """To be classified."""
    again: tuple[Cell, ...] = ()
    """Not to be classified: decided before, or cut by the border."""
    tracks: tuple[int, ...] = ()
    """Which cell of the slide each of ``cells`` is, where cells are followed."""


class Counting(Protocol):
    """Call order: ``see`` for every frame, in one thread; ``count`` for every frame seen, in the same order, in
    another thread; ``finish`` once, after both."""

    def see(self, frame: Frame, cells: Sequence[Cell]) -> Seen: ...

    def count(
        self, frame: FrameRef, seen: Seen, predictions: Sequence[Prediction], crops: Sequence[Pixels]
    ) -> tuple[CountedCell, ...]:
        """The cells that count from now on.

        :param predictions: one for each of ``seen.cells``.
        :param crops: what each was made from, uint8 (S, S, 3) BGR.
        """
        ...

    def finish(self) -> tuple[CountedCell, ...]:
        """The cells that count although nothing more of them will be seen."""
        ...


class EachFrame:
    """Frames have nothing to do with one another: every located cell counts."""

    def __init__(self) -> None:
        self._counted = 0

    def see(self, frame: Frame, cells: Sequence[Cell]) -> Seen:
        return Seen(tuple(cells))

    def count(
        self, frame: FrameRef, seen: Seen, predictions: Sequence[Prediction], crops: Sequence[Pixels]
    ) -> tuple[CountedCell, ...]:
        counted = []
        for cell, prediction, crop in zip(seen.cells, predictions, crops, strict=True):
            self._counted += 1
            counted.append(CountedCell(self._counted, frame, cell, prediction, (Sighting(prediction, crop),)))
        return tuple(counted)

    def finish(self) -> tuple[CountedCell, ...]:
        return ()
