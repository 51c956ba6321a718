"""What the rows of a session's chain amount to, by themselves: label, versions, signatures, who moved which cell.

    moved       cells {number: class before}, to, why            by one person, one or several cells at once
    undone      of (number of a ``moved`` row), cells, to each   takes the newest of one's own moves back
    explained   pile (``unidentified`` or ``not classed``),      cells that stay there when it is signed
                cells (how many), why
    labelled    label, before
    signed      version, cells, differential, not_classed,       see `decide.sign`
                digests of what was recorded
    amended     version (the new one), why                       opens a signed session again
    read        cells {number: class}                            a second reader's, who sees none of the others

Rows of other kinds are another version's, and change nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from edge_wbc.errors import SessionError
from edge_wbc.review.chain import FILE, Row, first_hash, rows

KINDS = ("moved", "undone", "explained", "labelled", "signed", "amended", "read")


@dataclass(frozen=True, slots=True)
class Signature:
    """A version of the review that was signed."""

    version: int
    """From 1."""
    row: Row
    """Who, when, and in its body what was signed."""


class Decisions:
    """The rows of a chain taken in one after another. Used by one thread at a time."""

    def __init__(self, folder: Path, found: Iterable[Row] = ()) -> None:
        """:raises SessionError: a row says what no row of its kind does."""
        self.folder = folder
        self.rows: tuple[Row, ...] = ()
        self._standing: dict[int, list[Row]] = {}
        self._undone: set[int] = set()
        self._explained: dict[str, Row] = {}
        self._blind: dict[str, dict[int, str]] = {}
        self._signatures: list[Signature] = []
        self._signed = False
        self._label: str | None = None
        self.take(found)

    def take(self, news: Iterable[Row]) -> None:
        """Rows that follow those known.

        :raises SessionError: a row says what no row of its kind does.
        """
        taken: list[Row] = []
        try:
            for row in news:
                try:
                    self._take(row)
                except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                    what = f"row {row.number} does not say what was {row.kind}"
                    advice = f"see `edge-wbc sessions verify {self.folder.name}`, restore it from a copy"
                    raise SessionError(f"{self.folder / FILE}: {what}; {advice}") from None
                taken.append(row)
        finally:
            self.rows += tuple(taken)

    @property
    def last(self) -> Row | None:
        """The newest decision."""
        return self.rows[-1] if self.rows else None

    @property
    def head(self) -> str:
        """The chain's: the hash of its last row. A report shows it, so that a rewritten chain is seen."""
        return self.rows[-1].hash if self.rows else first_hash(self.folder)

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
    def new_label(self) -> str | None:
        """What the session is of, as last written; None where nobody has since it was recorded."""
        return self._label

    @property
    def moved(self) -> Mapping[int, str]:
        """Cells that have a class by a person now, also where it is the network's."""
        return {number: str(rows[-1].body["to"]) for number, rows in self._standing.items() if rows}

    def moved_by(self, number: int) -> Row | None:
        """The row that gave a cell the class it has; None while that is the network's."""
        rows = self._standing.get(number)
        return rows[-1] if rows else None

    def history(self, number: int) -> tuple[Row, ...]:
        """The rows about one cell, but those of blind readings."""
        return tuple(row for row in self.rows if row.kind in ("moved", "undone") and str(number) in row.body["cells"])

    @property
    def explained(self) -> Mapping[str, Row]:
        """Piles with who said why they may stay as they are, unless cells were moved into or out of them since."""
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

    def _take(self, row: Row) -> None:
        body = row.body
        if row.kind == "moved":
            before = {int(number): label for number, label in body["cells"].items()}
            for number in before:
                self._standing.setdefault(number, []).append(row)
            self._changed((body["to"], *before.values()))
        elif row.kind == "undone":
            for number in map(int, body["cells"]):
                standing = self._standing[number]
                (undone,) = (one for one in standing if one.number == body["of"])
                standing.remove(undone)
                self._changed((undone.body["to"], undone.body["cells"][str(number)]))
            self._undone.add(body["of"])
        elif row.kind == "explained":
            self._explained[body["pile"]] = row
        elif row.kind == "labelled":
            self._label = str(body["label"])
        elif row.kind == "read":
            read = {int(number): str(label) for number, label in body["cells"].items()}
            self._blind.setdefault(row.who, {}).update(read)
        elif row.kind == "signed":
            self._signatures.append(Signature(int(body["version"]), row))
            self._signed = True
        elif row.kind == "amended":
            self._signed = False

    def _changed(self, piles: Iterable[str]) -> None:
        """A pile that has changed is explained anew."""
        for pile in piles:
            self._explained.pop(pile, None)


def decisions(folder: Path) -> Decisions:
    """:raises SessionError: the chain can't be read, or does not hold."""
    return Decisions(folder, rows(folder))
