"""The audit chain of a session: rows that are only ever appended, each carrying the hash of the one before.

``SESSION_ID/review.sqlite``, beside what was recorded, which a review never touches. A row's text is JSON with sorted
keys; its hash is the SHA-256 of that text, which holds the hash of the row before. The first row holds one made of the
session's id, so that a chain does not fit another session.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_wbc.errors import SessionError
from edge_wbc.sessions.schema import LOCKED, connect, reading, said

FILE = "review.sqlite"
FORMAT = 1
"""Written to ``user_version``; a file with a larger number is from a newer version."""
APPLICATION_ID = 0x45574252
"""``EWBR``."""
_TABLE = "CREATE TABLE rows (number INTEGER PRIMARY KEY, text TEXT NOT NULL, hash TEXT NOT NULL)"


@dataclass(frozen=True, slots=True)
class Row:
    """One decision."""

    number: int
    """From 1, without gaps."""
    at_utc: str
    """ISO 8601, by the clock of the computer that wrote it, which may jump; the order is that of the numbers."""
    who: str
    kind: str
    """What happened, as `review` knows it: ``moved``, ``signed`` …"""
    body: Mapping[str, Any]
    """What it says besides."""
    previous: str
    """Hash of the row before."""
    hash: str


def first_hash(folder: Path) -> str:
    """What the first row of a session's chain has for the hash of the row before."""
    return hashlib.sha256(f"edge-wbc review of session {folder.name}".encode()).hexdigest()


def rows(folder: Path, after: int = 0) -> tuple[Row, ...]:
    """The chain from row ``after + 1`` on; empty where nothing was reviewed.

    :raises SessionError: it can't be read, or is from a newer version.
    """
    if not (folder / FILE).is_file():
        return ()
    with _opened(folder) as connection:
        return _rows(connection, after) if _has_tables(connection) else ()


class Appending:
    """A transaction that holds the chain: what was read in it still stands when it appends."""

    def __init__(self, connection: sqlite3.Connection, folder: Path, after: int) -> None:
        self.news = _rows(connection, after)
        """Rows that others have appended after row ``after``."""
        self._connection = connection
        self._last = self._end(folder)

    def _end(self, folder: Path) -> tuple[int, str]:
        last = self._connection.execute("SELECT number, hash FROM rows ORDER BY number DESC LIMIT 1").fetchone()
        return (0, first_hash(folder)) if last is None else (int(last[0]), str(last[1]))

    def append(self, who: str, kind: str, body: Mapping[str, Any]) -> Row:
        """:raises sqlite3.Error: it can't be written; the whole transaction is then taken back."""
        number, previous = self._last[0] + 1, self._last[1]
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        text = _text(number, now, who, kind, body, previous)
        self._last = number, _hash(text)
        self._connection.execute("INSERT INTO rows VALUES (?, ?, ?)", (number, text, self._last[1]))
        return Row(number, now, who, kind, json.loads(text)["body"], *(previous, self._last[1]))


@contextmanager
def appending(folder: Path, after: int) -> Iterator[Appending]:
    """Append rows: all of them are on the disk when this is left, or none.

    :param after: the last row that is known; see `Appending.news`.
    :raises SessionError: the chain can't be written; nothing of this was.
    """
    try:
        with _opened(folder, write=True) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Appending(connection, folder, after)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
    except (sqlite3.Error, OSError) as error:
        words = said(error)
        advice = "try again" if words == LOCKED else "make room or check the folder's rights, and try again"
        raise SessionError(f"{folder / FILE}: nothing was saved ({words}); {advice}") from None


@dataclass(frozen=True, slots=True)
class Broken:
    """Where a chain does not hold."""

    number: int
    """Of the first row that is not as it was written."""
    why: str


def check(found: Sequence[Row], folder: Path) -> None:
    """:raises SessionError: a row does not carry the hash of the one before."""
    if (broken := broken_at(found, folder)) is not None:
        raise SessionError(f"{folder / FILE}: row {broken.number} {broken.why}; it was changed after it was written")


def broken_at(found: Sequence[Row], folder: Path) -> Broken | None:
    """The first row at which a whole chain does not hold, if there is one."""
    before = first_hash(folder)
    for number, row in enumerate(found, 1):
        if row.number != number:
            return Broken(number, "is missing")
        if row.previous != before:
            return Broken(number, "does not follow the one before it")
        if row.hash != _hash(_text(row.number, row.at_utc, row.who, row.kind, row.body, row.previous)):
            return Broken(number, "does not fit its hash")
        before = row.hash
    return None


def _text(number: int, at_utc: str, who: str, kind: str, body: Mapping[str, Any], previous: str) -> str:
    row = {"number": number, "at_utc": at_utc, "who": who, "kind": kind, "body": body, "previous": previous}
    return json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _rows(connection: sqlite3.Connection, after: int) -> tuple[Row, ...]:
    query = "SELECT number, text, hash FROM rows WHERE number > ? ORDER BY number"
    return tuple(_row(*row) for row in connection.execute(query, (after,)))


def _row(number: int, text: str, hash_: str) -> Row:
    """:raises ValueError: no row's text."""
    said = json.loads(text)
    try:
        words = str(said["at_utc"]), str(said["who"]), str(said["kind"])
        return Row(number, *words, dict(said["body"]), str(said["previous"]), hash_)
    except (KeyError, TypeError):
        raise ValueError(f"row {number} is no row of a chain") from None


@contextmanager
def _opened(folder: Path, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    path = folder / FILE
    if write:
        connection = connect(path, new=True)
        try:
            _make_or_check(connection, path)
            yield connection
        finally:
            connection.close()
        return
    with reading(path):
        connection = connect(path)
        try:
            if _has_tables(connection):
                _check(connection, path)
            connection.execute("PRAGMA query_only=1")
            yield connection
        finally:
            connection.close()


def _make_or_check(connection: sqlite3.Connection, path: Path) -> None:
    if _has_tables(connection):
        _check(connection, path)
        return
    connection.execute("BEGIN IMMEDIATE")
    if not _has_tables(connection):  # another may have been first
        connection.execute(_TABLE)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={FORMAT}")
    connection.execute("COMMIT")


def _has_tables(connection: sqlite3.Connection) -> bool:
    """False of a file that was made a moment before a kill."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(tables)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (written,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise SessionError(f"{path}: another program's database; move it away")
    if written > FORMAT:
        raise SessionError(f"{path}: written by a newer version of edge-wbc; update this one")
