"""How far the review of a session has come, for a list: read from its chain alone, and only when that has changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edge_wbc.errors import SessionError
from edge_wbc.review.chain import FILE
from edge_wbc.review.decisions import decisions


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one session."""

    label: str | None = None
    """As last written; None where that is the recorded one."""
    decisions: int = 0
    version: int = 1
    """Of what is open or signed now."""
    signed_by: str | None = None
    signed_utc: str | None = None
    wrong: str | None = None
    """Why the chain can't be read, or does not hold."""


def standing(folder: Path) -> Standing:
    try:
        found = (folder / FILE).stat()
    except OSError:
        return Standing()
    return _standing(folder, (found.st_ino, found.st_mtime_ns, found.st_size))


@lru_cache(maxsize=2048)
def _standing(folder: Path, _: tuple[int, ...]) -> Standing:
    try:
        decided = decisions(folder)
    except SessionError as error:
        return Standing(wrong=str(error))
    signed = decided.signed
    return Standing(
        label=decided.new_label,
        decisions=len(decided.rows),
        version=decided.version,
        signed_by=signed.row.who if signed else None,
        signed_utc=signed.row.at_utc if signed else None,
    )
