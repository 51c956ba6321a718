"""The audit chain of a session: rows that are only ever appended, each carrying the hash of the one before.

``SESSION_ID/review.sqlite``, beside what was recorded, which a review never touches. A row's text is JSON with sorted
keys; its hash is the SHA-256 of that text, which holds the hash of the row before. The first row holds one made of the
session's id, so that a chain does not fit another session.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_wbc.errors import OutputFailed, SessionError
from edge_wbc.sessions.schema import LOCKED, REVIEW, check_kind, connect, has_tables, said

FILE = REVIEW
FORMAT = 1
"""Written to ``user_version``; a file with a larger number is from a newer version."""
APPLICATION_ID = 0x45574252
"""``EWBR``."""
PATIENCE_S = 5.0
"""How long a decision waits for others that are just being written, before the person is told to try again."""
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
    """What happened, as `decisions` knows it: ``moved``, ``signed`` …"""
    body: Mapping[str, Any]
    """What it says besides."""
    previous: str
    """Hash of the row before."""
    hash: str


@dataclass(frozen=True, slots=True)
class Written:
    """A row as it lies in the file."""

    number: int
    text: str
    hash: str


def first_hash(folder: Path) -> str:
    """What the first row of a session's chain has for the hash of the row before."""
    return hashlib.sha256(f"edge-wbc review of session {folder.name}".encode()).hexdigest()


def rows(folder: Path, after: Row | None = None) -> tuple[Row, ...]:
    """The chain, or what was appended after a row that is known; empty where nothing was reviewed.

    :raises SessionError: it can't be read, is from a newer version, or does not hold.
    """
    with _reading(folder) as connection:
        found = [] if connection is None else _written(connection, after)
    return _held(found, folder, after)


def written(folder: Path) -> list[Written]:
    """The chain as it lies in the file, whether it holds or not.

    :raises SessionError: it can't be read, or is from a newer version.
    """
    with _reading(folder) as connection:
        return [] if connection is None else _written(connection, None)


class Appending:
    """A transaction that holds the chain: what was read in it still stands when it appends."""

    def __init__(self, connection: sqlite3.Connection, folder: Path, after: Row | None) -> None:
        self.news = _held(_written(connection, after), folder, after)
        """Rows that others have appended after row ``after``."""
        self.appended: tuple[Row, ...] = ()
        """Rows that are on the disk once the transaction is left."""
        self._connection = connection
        self._last = self.news[-1] if self.news else after
        self._first_hash = first_hash(folder)

    def append(self, who: str, kind: str, body: Mapping[str, Any]) -> Row:
        """:raises sqlite3.Error: it can't be written; the whole transaction is then taken back."""
        number, previous = (1, self._first_hash) if self._last is None else (self._last.number + 1, self._last.hash)
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        text = _text(number, now, who, kind, body, previous)
        self._last = row = read_row(Written(number, text, hash_of(text)))
        self._connection.execute("INSERT INTO rows VALUES (?, ?, ?)", (number, text, row.hash))
        self.appended += (row,)
        return row


@contextmanager
def appending(folder: Path, after: Row | None) -> Iterator[Appending]:
    """Append rows: all of them are on the disk when this is left, or none.

    :param after: the last row that is known; see `Appending.news`.
    :raises SessionError: the chain can't be read, or no longer holds the row that is known.
    :raises OutputFailed: it can't be written; nothing of this was.
    """
    path = folder / FILE
    try:
        connection = connect(path, new=True, patience_s=PATIENCE_S)
        try:
            # EXTRA: after a commit the folder too is on the disk, where the journal is no longer. A loss of power then
            # costs no decision that was told as saved.
            connection.execute("PRAGMA synchronous=EXTRA")
            connection.execute("BEGIN IMMEDIATE")
            try:
                _make_or_check(connection, path)
                yield Appending(connection, folder, after)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        if _is_damage(error):
            raise _damaged(path, error) from None
        words = said(error)
        advice = "try again" if words == LOCKED else "make room or check the folder's rights, and try again"
        raise OutputFailed(f"{path}: nothing was saved ({words}); {advice}") from None


@dataclass(frozen=True, slots=True)
class Broken:
    """Where a chain does not hold."""

    number: int
    """Of the row that is not as it was written."""
    why: str

    def __str__(self) -> str:
        return f"row {self.number} {self.why}"


def broken(found: Iterable[Written], folder: Path, after: Row | None = None) -> Iterator[Broken]:
    """Every row at which a chain does not hold.

    :param after: the row before the first of them; none of a whole chain.
    """
    number, before = (0, first_hash(folder)) if after is None else (after.number, after.hash)
    for one in found:
        if one.number <= number:
            yield Broken(one.number, "has a number that no row has")
            continue
        if missing := one.number - number - 1:
            yield Broken(number + 1, f"and {missing - 1} after it are missing" if missing > 1 else "is missing")
        number = one.number
        if hash_of(one.text) != one.hash:
            yield Broken(number, "does not fit its hash")
        try:
            row = read_row(one)
        except ValueError:
            yield Broken(number, "is no row of a chain")
        else:
            if row.previous != before and not missing:
                first = "is not the first of this session's chain"
                yield Broken(number, "does not follow the one before it" if number > 1 else first)
        before = one.hash


def read_row(one: Written) -> Row:
    """:raises ValueError: no row's text, or that of one with another number."""
    try:
        told = json.loads(one.text)
        number, at_utc, who, kind, body, previous = (told[name] for name in _KEYS)
    except (KeyError, TypeError, RecursionError):
        raise ValueError(f"row {one.number} is no row of a chain") from None
    texts = all(isinstance(value, str) for value in (at_utc, who, kind, previous))
    if not texts or not isinstance(body, dict) or number != one.number:
        raise ValueError(f"row {one.number} is no row of a chain")
    return Row(one.number, at_utc, who, kind, body, previous, one.hash)


_KEYS = ("number", "at_utc", "who", "kind", "body", "previous")


def _text(number: int, at_utc: str, who: str, kind: str, body: Mapping[str, Any], previous: str) -> str:
    row = dict(zip(_KEYS, (number, at_utc, who, kind, dict(body), previous), strict=True))
    return json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _held(found: list[Written], folder: Path, after: Row | None) -> tuple[Row, ...]:
    """The rows after one that is known, which is the first of those found.

    :raises SessionError: the chain does not hold, or is another than the one that is known.
    """
    what: Broken | None
    if after is not None and (not found or found[0] != Written(after.number, found[0].text, after.hash)):
        what = Broken(after.number, "is no longer there")
    else:
        found = found if after is None else found[1:]
        what = next(broken(found, folder, after), None)
    if what is not None:
        name = folder.name
        raise SessionError(f"{folder / FILE}: {what}; see `edge-wbc sessions verify {name}`, restore it from a copy")
    return tuple(map(read_row, found))


def _written(connection: sqlite3.Connection, after: Row | None) -> list[Written]:
    """From row ``after`` on, that one among them."""
    connection.text_factory = lambda data: data.decode(errors="surrogateescape")
    texts = "coalesce(CAST(text AS TEXT), ''), coalesce(CAST(hash AS TEXT), '')"
    query = f"SELECT number, {texts} FROM rows WHERE number >= ? ORDER BY number"
    first = -(2**63) if after is None else after.number
    return [Written(*row) for row in connection.execute(query, (first,))]


@contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection | None]:
    """None where nothing was ever written, as in a file that was made a moment before a kill."""
    path = folder / FILE
    if not path.is_file():
        yield None
        return
    try:
        connection = connect(path, patience_s=PATIENCE_S)
        try:
            made = has_tables(connection)
            if made:
                check_kind(connection, path, APPLICATION_ID, FORMAT)
            connection.execute("PRAGMA query_only=1")
            yield connection if made else None
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        if _is_damage(error):
            raise _damaged(path, error) from None
        words = said(error)
        advice = "try again" if words == LOCKED else "check the folder and its rights"
        raise SessionError(f"{path}: {words}; {advice}") from None


def _make_or_check(connection: sqlite3.Connection, path: Path) -> None:
    if has_tables(connection):
        check_kind(connection, path, APPLICATION_ID, FORMAT)
        return
    connection.execute(_TABLE)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={FORMAT}")


def _is_damage(error: Exception) -> bool:
    known = isinstance(error, (OSError, sqlite3.OperationalError)) and "no such" not in str(error)
    return not known


def _damaged(path: Path, error: Exception) -> SessionError:
    return SessionError(f"{path}: damaged ({said(error)}); restore it from a copy")
