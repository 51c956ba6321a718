"""Whether a review is as it was made: the chain holds, and what was recorded is what was signed.

A chain tells of a row that was changed or taken out. It can't tell of one that was written anew from some row on, or
cut off: for that a hash is needed that lies elsewhere, as the head that a report shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge_wbc.errors import SessionError, UsageError
from edge_wbc.review.chain import Row, Written, broken, first_hash, read_row, written
from edge_wbc.review.decisions import KINDS, Signature
from edge_wbc.review.recorded import DIGESTS, crops_gone, digests
from edge_wbc.review.review import NOT_CLASSED, Review

FEWEST_DIGITS = 16
"""Of a head that is looked for: as many as nobody can make another chain for (2**64 trials)."""
_SHORTLY = {"session_sha256": "the session", "cells_sha256": "the cells", "crops_sha256": "the crops"}


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found. Each line says one thing."""

    findings: tuple[str, ...]
    """What is not as it was."""
    notes: tuple[str, ...]
    """What may be as it should, and is worth knowing."""
    rows: int
    head: str
    signatures: tuple[Signature, ...]

    @property
    def holds(self) -> bool:
        return not self.findings


@dataclass(slots=True)
class _Found:
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(folder: Path, head: str | None = None) -> Verified:
    """Check a session's chain, and what was recorded against every signature.

    :param head: of a chain, as a report shows it: this one has to hold a row with that hash. Its first sixteen digits
        or more; spaces don't count.
    :raises SessionError: the chain can't be read, or is from a newer version.
    :raises UsageError: that is no hash.
    """
    wanted = None if head is None else _digits(head)
    chain = written(folder)
    found = _Found([str(one) for one in broken(chain, folder)])
    rows = list(_readable(chain))
    found.notes += _jumps(rows)
    signatures = _replay(folder, rows, found)
    if signatures:
        _recorded(folder, signatures, found)
    if wanted is not None:
        _look_for(wanted, chain, folder, found)
    last = chain[-1].hash if chain else first_hash(folder)
    return Verified(tuple(found.findings), tuple(found.notes), len(chain), last, signatures)


def _digits(head: str) -> str:
    digits = "".join(head.split()).lower()
    if not FEWEST_DIGITS <= len(digits) <= 64 or set(digits) - set("0123456789abcdef"):
        raise UsageError(f"{head!r} is no hash; give the chain's head as a report shows it, 64 hexadecimal digits")
    return digits


def _readable(chain: Sequence[Written]) -> Iterator[Row]:
    for one in chain:
        try:
            yield read_row(one)
        except ValueError:  # `broken` has said so
            continue


def _jumps(rows: Sequence[Row]) -> Iterator[str]:
    for before, row in pairwise(rows):
        try:
            back = datetime.fromisoformat(row.at_utc) < datetime.fromisoformat(before.at_utc)
        except (ValueError, TypeError):  # no time, or one without its zone
            yield f"row {row.number}: {row.at_utc!r} can't be compared with the time of the row before"
            continue
        if back:
            yield f"row {row.number} is of {row.at_utc}, the one before of {before.at_utc}: the clock was set back"


def _replay(folder: Path, rows: Sequence[Row], found: _Found) -> tuple[Signature, ...]:
    """Take every decision again, and look whether it could be made then."""
    try:
        review = Review(folder, ())
    except SessionError as error:
        found.findings.append(f"what was recorded can't be read: {error}")
        return ()
    for row in rows:
        try:
            found.findings += [f"row {row.number} {why}" for why in _impossible(review, row)]
            if row.kind not in KINDS:
                found.notes.append(f"row {row.number} was {row.kind}, of which this version knows nothing")
            review.take((row,))
        except (SessionError, KeyError, TypeError, ValueError, AttributeError):
            found.findings.append(f"row {row.number} says nothing that can be {row.kind}")
    return review.signatures


def _impossible(review: Review, row: Row) -> Iterator[str]:
    """What does not follow from the rows before."""
    body = row.body
    if row.kind == "amended":
        if review.signed is None:
            yield "amends what was not signed"
    elif review.signed is not None:
        yield f"comes after version {review.signed.version} was signed, which is read-only"
    if row.kind == "moved":
        for number, label in body["cells"].items():
            if int(number) not in review.cells:
                yield f"moves cell {number}, which was not recorded"
            elif review.class_of(int(number)) != label:
                yield f"moves cell {number} from {label}, where it was {review.class_of(int(number))}"
    elif row.kind == "signed":
        yield from _otherwise_signed(review, body)


def _otherwise_signed(review: Review, body: Mapping[str, Any]) -> Iterator[str]:
    verified = review.verified
    said = body["differential"]
    counts = {name: share.count for name, share in verified.shares.items()}
    if {name: share["count"] for name, share in said["shares"].items()} != counts or body["version"] != review.version:
        yield "signs another differential than the cells and decisions before it give"
    rest = (verified.total, verified.unidentified, len(review.left(NOT_CLASSED)), len(review.cells))
    if (said["total"], said["unidentified"], body["not_classed"], body["cells"]) != rest:
        yield "signs other numbers of cells than the cells and decisions before it give"


def _recorded(folder: Path, signatures: Sequence[Signature], found: _Found) -> None:
    now = digests(folder)
    gone = crops_gone(folder)
    for signature in signatures:
        under = f"signed as version {signature.version} by {signature.row.who} at {signature.row.at_utc}"
        for name in DIGESTS:
            if signature.row.body.get(name) == now[name]:
                continue
            if name == "crops_sha256" and gone:
                found.notes.append(f"the crops {under} are no longer there, and can't be checked")
            else:
                found.findings.append(f"{_SHORTLY[name]} recorded are not those {under}")


def _look_for(wanted: str, chain: Sequence[Written], folder: Path, found: _Found) -> None:
    hashes = [first_hash(folder), *(one.hash for one in chain)]
    at = next((place for place, one in enumerate(hashes) if one.startswith(wanted)), None)
    if at is None:
        found.findings.append(f"no row has the hash {wanted}: the chain was written anew or cut off since")
    elif more := len(chain) - at:
        found.notes.append(f"the head {wanted[:FEWEST_DIGITS]}… is that of row {at}; rows were appended since: {more}")
