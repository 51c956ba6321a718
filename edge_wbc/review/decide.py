"""What a person may decide about a session. Each is on the disk when it returns, or was not done.

All take a `Review` and take into it what others have appended meanwhile. Who may do what is for the caller to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

from edge_wbc.errors import SessionError
from edge_wbc.review.chain import Appending, Row, appending
from edge_wbc.review.recorded import digests
from edge_wbc.review.review import CLASSES_OF_A_REVIEW, NOT_CLASSED, PILES, Review
from edge_wbc.sessions.archive import protect

MOST_TEXT = 1000
"""Characters of a reason or a label."""
_SEEN = ("moved", "undone", "explained", "signed")
"""What nobody does without seeing the classes of cells."""


class Refused(SessionError):
    """A decision that the review as it stands does not allow."""


class Conflict(Refused):
    """Cells are no longer where the person saw them: another has moved them."""

    def __init__(self, message: str, cells: Mapping[int, str], rows: Mapping[int, Row | None]) -> None:
        """
        :param cells: the class each of them has now.
        :param rows: the decision that gave it.
        """
        super().__init__(message)
        self.cells = cells
        self.rows = rows


def move(review: Review, who: str, seen: Mapping[int, str], to: str, why: str = "") -> Row:
    """Give cells another class.

    :param seen: cells by number, with the class that the person saw each in.
    :raises Conflict: another has moved one of them since; nothing is moved.
    :raises Refused: signed, or no such cell or class.
    """
    _check_class(to)
    _check_text(why)
    with _open(review) as chain:
        _check_cells(review, seen)
        now = {number: review.class_of(number) for number in seen}
        if other := {number: label for number, label in now.items() if label != seen[number]}:
            rows = {number: _newest(review, number) for number in other}
            first, row = next(iter(rows.items()))
            by = f"{row.who} at {row.at_utc}" if row else "the network"
            raise Conflict(f"cell {first} was moved to {other[first]} by {by}; look again", other, rows)
        return chain.append(who, "moved", {"cells": _named(now), "to": to, "why": why})


def undo(review: Review, who: str) -> Row:
    """Take back the newest of one's own moves that still stands.

    :raises Conflict: another has moved one of its cells since.
    :raises Refused: signed, or nothing is left to undo.
    """
    with _open(review) as chain:
        last = review.last_move_of(who)
        if last is None:
            raise Refused("nothing is left to undo; move cells back by hand")
        cells = {int(number): str(label) for number, label in last.body["cells"].items()}
        if other := {number: review.class_of(number) for number in cells if review.moved_by(number) is not last}:
            rows = {number: _newest(review, number) for number in other}
            raise Conflict(f"cell {next(iter(other))} was moved again since; move the others back by hand", other, rows)
        return chain.append(who, "undone", {"of": last.number, "cells": _named(cells)})


def explain(review: Review, who: str, pile: str, why: str) -> Row:
    """Say why cells stay in ``unidentified`` or ``not classed``; good until cells are moved again.

    :raises Refused: signed, no such pile, or no reason.
    """
    if pile not in PILES:
        raise Refused(f"no pile {pile!r}; explained are {' and '.join(PILES)}")
    _check_text(why, needed=True)
    with _open(review) as chain:
        return chain.append(who, "explained", {"pile": pile, "why": why, "cells": len(review.left(pile))})


def label(review: Review, who: str, text: str) -> Row:
    """Say what a session is of. Also of one that is running.

    :raises Refused: signed.
    """
    _check_text(text)
    with _open(review) as chain:
        return chain.append(who, "labelled", {"label": text, "before": review.label})


def read(review: Review, who: str, cells: Mapping[int, str]) -> Row:
    """A second reader's classes of some cells.

    :raises Refused: signed, no such cell or class, or this person has reviewed cells and so has seen their classes.
    """
    for to in cells.values():
        _check_class(to)
    with _open(review) as chain:
        _check_cells(review, cells)
        if any(row.kind in _SEEN and row.who == who for row in review.rows):
            raise Refused(f"{who} has reviewed cells of this session and can't read it blind; ask another reader")
        return chain.append(who, "read", {"cells": _named(cells)})


def sign(review: Review, who: str) -> Row:
    """Close the review. What was recorded is protected from the quota from then on.

    :raises Refused: signed already, running, or cells are unidentified or not classed and nobody said why.
    """
    review.refresh()
    _check_signable(review)
    protect(review.folder, True)
    recorded = digests(review.folder)  # it takes long, and others may decide meanwhile
    with _open(review) as chain:
        _check_signable(review)
        body = {
            "version": review.version,
            "cells": len(review.cells),
            "differential": asdict(review.verified),
            "not_classed": len(review.left(NOT_CLASSED)),
            **recorded,
        }
        return chain.append(who, "signed", body)


def _check_signable(review: Review) -> None:
    _check_open(review)
    if review.running:
        raise Refused(f"session {review.folder.name} is running; end it first")
    for pile, left in review.unexplained.items():
        raise Refused(f"{left} cell{'s are' if left > 1 else ' is'} {pile}; give each a class, or say why they stay so")


def amend(review: Review, who: str, why: str) -> Row:
    """Open a signed session again as a new version; the signed one stays in the chain.

    :raises Refused: not signed, or no reason.
    """
    _check_text(why, needed=True)
    with _open(review, signed=True) as chain:
        return chain.append(who, "amended", {"version": len(review.signatures) + 1, "why": why})


@contextmanager
def _open(review: Review, *, signed: bool = False) -> Iterator[Appending]:
    """The chain held, the review up to date and signed or not as it must be. What is appended is taken in."""
    with appending(review.folder, review.last) as chain:
        review.take(chain.news)
        if not signed:
            _check_open(review)
        elif review.signed is None:
            raise Refused("not signed; there is nothing to amend")
        yield chain
    review.take(chain.appended)


def _check_open(review: Review) -> None:
    if review.signed is not None:
        raise Refused(f"signed by {review.signed.row.who} at {review.signed.row.at_utc}; amend it to change it")


def _newest(review: Review, number: int) -> Row | None:
    """The newest decision about a cell, also where it gave back the network's class."""
    return next(reversed(review.history(number)), None)


def _named(cells: Mapping[int, str]) -> dict[str, str]:
    return {str(number): label for number, label in cells.items()}


def _check_cells(review: Review, cells: Iterable[int]) -> None:
    cells = tuple(cells)
    if not cells:
        raise Refused("no cell was named; choose one")
    if unknown := [number for number in cells if number not in review.cells]:
        raise Refused(f"no cell {unknown[0]} in session {review.folder.name}; load the page again")


def _check_class(name: str) -> None:
    if name not in CLASSES_OF_A_REVIEW:
        raise Refused(f"no class {name!r}; known are {', '.join(CLASSES_OF_A_REVIEW)}")


def _check_text(text: str, *, needed: bool = False) -> None:
    if needed and not text.strip():
        raise Refused("no reason was given; write one")
    if len(text) > MOST_TEXT:
        raise Refused(f"{len(text)} characters; {MOST_TEXT} at most")
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, as JSON can hold
        raise Refused("a text that holds half characters; write it again") from None
