"""A session's review as its chain tells it: which class each cell has by now, who moved it, who signed.

What the network said stays as it was recorded. A person's decisions are rows of the chain, and this is what they amount
to: the preliminary differential is the network's, the verified one that of the reviewed cells.

    moved       cells {number: class before}, to, why            by one person, one or several cells at once
    undone      of (number of a ``moved`` row), cells, to each   takes the newest of one's own moves back
    explained   pile (``unidentified`` or ``not classed``), why  cells that stay there when it is signed
    labelled    label, before
    signed      version, cells, differential, digest of what was recorded
    amended     version (the new one), why                       opens a signed session again
    read        cells {number: class}                            a second reader's, who sees none of the others
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edge_wbc.differential import Tally
from edge_wbc.manifest import LabelsGroup
from edge_wbc.review.chain import Row, check, first_hash, rows
from edge_wbc.sessions.archive import Contents, contents, continued
from edge_wbc.types import LABELS, LEUKOCYTES, UNIDENTIFIED, CountedCell, Differential

NOT_CLASSED = "not classed"
"""Where a person puts a cell that they can't name, apart from the network's ``unidentified``."""
CLASSES_OF_A_REVIEW = (*LABELS, NOT_CLASSED)
"""Where a person may move a cell: every class edge-wbc has a name for, also those that the model does not know."""
PILES = (UNIDENTIFIED, NOT_CLASSED)
"""What signing needs empty or explained."""
_LABELS = LabelsGroup(names=LABELS, counted=LEUKOCYTES, unidentified_below=0.0, threshold_from="a person")


@dataclass(frozen=True, slots=True)
class Signature:
    """A version of the review that was signed."""

    version: int
    """From 1."""
    row: Row
    """Who, when, and in its body what was signed."""


class Review:
    """A session's review. Used by one thread at a time; several processes may append to the same chain."""

    def __init__(self, folder: Path) -> None:
        """:raises SessionError: what was recorded, or the chain, can't be read, or the chain does not hold."""
        self.folder = folder
        self.rows: tuple[Row, ...] = ()
        self._labels: dict[int, str] = {}
        self._moved: dict[int, Row] = {}
        self._undone: set[int] = set()
        self._explained: dict[str, Row] = {}
        self._blind: dict[str, dict[int, str]] = {}
        self._signatures: list[Signature] = []
        self._signed = False
        self._label: str | None = None
        self._read(contents(folder))
        found = rows(folder)
        check(found, folder)
        self.take(found)

    def _read(self, recorded: Contents) -> None:
        self.recorded = recorded
        self.cells: Mapping[int, CountedCell] = {one.number: one for one in recorded.cells}

    def refresh(self) -> None:
        """Take in what others appended, and cells that a running session has counted since.

        :raises SessionError: it can't be read.
        """
        if self.running:
            self._read(continued(self.recorded))
        self.take(rows(self.folder, len(self.rows)))

    def take(self, news: Iterable[Row]) -> None:
        """Rows that follow those known."""
        news = tuple(news)
        for row in news:
            self._take(row)
        self.rows += news

    @property
    def running(self) -> bool:
        return self.recorded.head.ended == "running"

    @property
    def signed(self) -> Signature | None:
        """The signature under the review as it stands; None while it is open."""
        return self._signatures[-1] if self._signed else None

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """Of every version, oldest first."""
        return tuple(self._signatures)

    @property
    def version(self) -> int:
        """Of what is open or signed now."""
        return len(self._signatures) + (not self._signed)

    @property
    def head(self) -> str:
        """The chain's: the hash of its last row. A report shows it, so that a rewritten chain is seen."""
        return self.rows[-1].hash if self.rows else first_hash(self.folder)

    @property
    def label(self) -> str:
        """What the session is of, as last written."""
        return self.recorded.head.label if self._label is None else self._label

    def class_of(self, number: int) -> str:
        """Of a cell, as it stands: a class of the network or of a person, ``unidentified`` or ``not classed``."""
        return self._labels.get(number) or self.cells[number].prediction.label

    def moved_by(self, number: int) -> Row | None:
        """The row that gave a cell the class it has; None while that is the network's."""
        return self._moved.get(number)

    def history(self, number: int) -> tuple[Row, ...]:
        """The rows about one cell, but those of blind readings."""
        return tuple(row for row in self.rows if row.kind in ("moved", "undone") and str(number) in row.body["cells"])

    def left(self, pile: str) -> tuple[int, ...]:
        """The cells in ``unidentified`` or ``not classed``."""
        return tuple(number for number in self.cells if self.class_of(number) == pile)

    @property
    def explained(self) -> Mapping[str, Row]:
        """Piles that may stay as they are, with who said why."""
        return MappingProxyType(self._explained)

    def blind(self, reader: str) -> Mapping[int, str]:
        """What a second reader has said of which cells, without seeing the rest."""
        return MappingProxyType(self._blind.get(reader, {}))

    @property
    def readers(self) -> tuple[str, ...]:
        """Those who have read blind."""
        return tuple(self._blind)

    def last_move_of(self, who: str) -> Row | None:
        """The newest move of a person's that was not undone, in the version that is open."""
        for row in reversed(self.rows):
            if row.kind in ("signed", "amended"):
                return None
            if row.kind == "moved" and row.who == who and row.number not in self._undone:
                return row
        return None

    @property
    def preliminary(self) -> Differential:
        """The network's."""
        return self.recorded.differential

    @property
    def verified(self) -> Differential:
        """That of the cells as they stand; those not classed are in no percentage."""
        tally = Tally(_LABELS)
        tally.add(self.class_of(number) for number in self.cells)
        return tally.differential()

    def counts(self) -> Counter[str]:
        """Cells by class as they stand, ``not classed`` and ``unidentified`` among them."""
        return Counter(self.class_of(number) for number in self.cells)

    def _take(self, row: Row) -> None:
        body: Mapping[str, Any] = row.body
        if row.kind == "moved":
            for number in map(int, body["cells"]):
                self._labels[number], self._moved[number] = body["to"], row
            self._explained.clear()  # a pile that has changed is explained anew
        elif row.kind == "undone":
            self._undone.add(body["of"])
            for text, label in body["cells"].items():
                self._labels[int(text)], self._moved[int(text)] = label, row
            self._explained.clear()
        elif row.kind == "explained":
            self._explained[body["pile"]] = row
        elif row.kind == "labelled":
            self._label = body["label"]
        elif row.kind == "read":
            read = self._blind.setdefault(row.who, {})
            read.update((int(number), label) for number, label in body["cells"].items())
        elif row.kind == "signed":
            self._signatures.append(Signature(body["version"], row))
            self._signed = True
        elif row.kind == "amended":
            self._signed = False
