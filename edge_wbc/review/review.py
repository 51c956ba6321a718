"""A session's review: what was recorded, and what people decided about it since.

What the network said stays as it was recorded. A person's decisions are rows of the chain (see `decisions`), and this
is what they amount to: the preliminary differential is the network's, the verified one that of the reviewed cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from edge_wbc.differential import Tally
from edge_wbc.manifest import LabelsGroup
from edge_wbc.review.chain import Row, rows
from edge_wbc.review.decisions import Decisions
from edge_wbc.review.decisions import Signature as Signature
from edge_wbc.sessions.archive import RUNNING, Contents, contents
from edge_wbc.types import LABELS, LEUKOCYTES, UNIDENTIFIED, CountedCell, Differential

NOT_CLASSED = "not classed"
"""Where a person puts a cell that they can't name, apart from the network's ``unidentified``."""
CLASSES_OF_A_REVIEW = (*LABELS, NOT_CLASSED)
"""Where a person may move a cell: every class edge-wbc has a name for, also those that the model does not know."""
PILES = (UNIDENTIFIED, NOT_CLASSED)
"""What signing needs empty or explained."""
_LABELS = LabelsGroup(names=LABELS, counted=LEUKOCYTES, unidentified_below=0.0, threshold_from="a person")


class Review(Decisions):
    """A session's review. Used by one thread at a time; several processes may append to the same chain."""

    def __init__(self, folder: Path, found: Iterable[Row] | None = None) -> None:
        """
        :param found: decisions, in place of those that lie in the folder.
        :raises SessionError: what was recorded, or the chain, can't be read, or the chain does not hold.
        """
        self._read(contents(folder))
        self._verified: tuple[tuple[int, int], Differential] | None = None
        super().__init__(folder, rows(folder) if found is None else found)

    def _read(self, recorded: Contents) -> None:
        self.recorded = recorded
        self.cells: Mapping[int, CountedCell] = {one.number: one for one in recorded.cells}

    def refresh(self) -> None:
        """Take in what others appended, and cells that a running session has counted since.

        :raises SessionError: it can't be read, or is no longer the chain that is known.
        """
        if self.running:
            self._read(contents(self.folder, self.recorded))
        self.take(rows(self.folder, self.last))

    @property
    def running(self) -> bool:
        return self.recorded.head.ended == RUNNING

    @property
    def label(self) -> str:
        """What the session is of, as last written."""
        return self.recorded.head.label if self.new_label is None else self.new_label

    def class_of(self, number: int) -> str:
        """Of a cell, as it stands: a class of the network or of a person, ``unidentified`` or ``not classed``."""
        row = self.moved_by(number)
        return self.cells[number].prediction.label if row is None else str(row.body["to"])

    def left(self, pile: str) -> tuple[int, ...]:
        """The cells in ``unidentified`` or ``not classed``."""
        return tuple(number for number in self.cells if self.class_of(number) == pile)

    @property
    def unexplained(self) -> Mapping[str, int]:
        """What keeps it from being signed: piles with cells of which nobody said why they stay, and how many.

        Of a running session a pile that was explained grows again.
        """
        counts = self.counts()
        explained = {pile: row.body["cells"] for pile, row in self.explained.items()}
        return {pile: counts[pile] for pile in PILES if counts[pile] and counts[pile] != explained.get(pile)}

    @property
    def preliminary(self) -> Differential:
        """The network's."""
        return self.recorded.differential

    @property
    def verified(self) -> Differential:
        """That of the cells as they stand; those not classed are in no percentage."""
        state = len(self.rows), len(self.cells)
        if self._verified is None or self._verified[0] != state:
            tally = Tally(_LABELS)
            tally.add(self.class_of(number) for number in self.cells)
            self._verified = state, tally.differential()
        return self._verified[1]

    def counts(self) -> Counter[str]:
        """Cells by class as they stand, ``not classed`` and ``unidentified`` among them."""
        return Counter(self.class_of(number) for number in self.cells)
