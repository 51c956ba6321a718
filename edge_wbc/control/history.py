"""What quality control has seen so far: rows that are only ever appended.

``control.sqlite`` beside the sessions' folders, in the place where they are recorded. The order is that of the numbers;
a clock may jump.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_wbc.errors import OutputFailed, SessionError
from edge_wbc.sessions.schema import LOCKED, check_kind, connect, has_tables, said

FILE = "control.sqlite"
FORMAT = 1
"""Written to ``user_version``; a file with a larger number is from a newer version."""
APPLICATION_ID = 0x45574251
"""``EWBQ``."""
Kind: TypeAlias = Literal["set", "run", "session"]
"""What a row tells: which cells are known from now on, one run over them, or the figures of a finished session."""

_TABLES = (
    "CREATE TABLE rows (number INTEGER PRIMARY KEY, at_utc TEXT NOT NULL, kind TEXT NOT NULL, about TEXT,"
    " body TEXT NOT NULL, probabilities BLOB)",
    "CREATE UNIQUE INDEX sessions_once ON rows (about) WHERE kind = 'session'",
    "CREATE TRIGGER no_update BEFORE UPDATE ON rows BEGIN SELECT RAISE(ABORT, 'rows are only appended'); END",
    "CREATE TRIGGER no_delete BEFORE DELETE ON rows BEGIN SELECT RAISE(ABORT, 'rows are only appended'); END",
    f"PRAGMA application_id={APPLICATION_ID}",
    f"PRAGMA user_version={FORMAT}",
)
"""``about`` is a session's id, ``body`` JSON, ``probabilities`` those of a run: float32 (cells, classes)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was seen."""

    number: int
    """From 1, of all kinds together."""
    at_utc: str
    """ISO 8601, by the clock of the computer that wrote it."""
    kind: str
    body: Mapping[str, Any]


def rows(place: Path, *kinds: Kind) -> tuple[Row, ...]:
    """Rows of these kinds in their order; none where nothing was seen yet.

    :raises SessionError: they can't be read, or are from a newer version.
    """
    query = f"SELECT number, at_utc, kind, body FROM rows WHERE kind IN ({', '.join('?' * len(kinds))}) ORDER BY number"
    with _read(place) as connection:
        found = () if connection is None else connection.execute(query, kinds)
        return tuple(Row(number, at_utc, kind, json.loads(body)) for number, at_utc, kind, body in found)


def probabilities(place: Path, number: int, classes: int) -> npt.NDArray[np.float32]:
    """What a run got: (cells, classes).

    :raises SessionError: it can't be read.
    """
    with _read(place) as connection:
        found = connection and connection.execute("SELECT probabilities FROM rows WHERE number = ?", (number,))
        (blob,) = (found and found.fetchone()) or (b"",)
        return np.frombuffer(blob or b"", np.float32).reshape(-1, classes)


def append(
    place: Path,
    kind: Kind,
    body: Mapping[str, Any],
    *,
    about: str | None = None,
    probabilities: npt.NDArray[np.float32] | None = None,
) -> Row | None:
    """Append a row, on the disk when this returns; None if that session has one already.

    :raises OutputFailed: it can't be written; nothing of it was.
    :raises SessionError: the history is from a newer version.
    """
    path = place / FILE
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    text = json.dumps(body, separators=(",", ":"))
    blob = None if probabilities is None else probabilities.astype(np.float32).tobytes()
    try:
        place.mkdir(parents=True, exist_ok=True)
        connection = connect(path, new=True)
        try:
            _make_or_check(connection, path)
            done = connection.execute(
                "INSERT OR IGNORE INTO rows (at_utc, kind, about, body, probabilities) VALUES (?, ?, ?, ?, ?)",
                (now, kind, about, text, blob),
            )
            number = done.lastrowid if done.rowcount else None
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        words = said(error)
        advice = "try again" if words == LOCKED else "make room or check the folder's rights, and try again"
        raise OutputFailed(f"{path}: quality control was not saved ({words}); {advice}") from None
    return None if number is None else Row(number, now, kind, json.loads(text))


@contextmanager
def _read(place: Path) -> Iterator[sqlite3.Connection | None]:
    """None where there is no history yet."""
    path = place / FILE
    if not path.is_file():
        yield None
        return
    try:
        connection = connect(path)
        try:
            if not has_tables(connection):
                yield None
                return
            check_kind(connection, path, APPLICATION_ID, FORMAT)
            connection.execute("PRAGMA query_only=1")
            yield connection
        finally:
            connection.close()
    except (sqlite3.Error, OSError, ValueError) as error:
        words = said(error)
        advice = "try again" if words == LOCKED else "move it away; quality control then begins anew"
        raise SessionError(f"{path}: can't be read ({words}); {advice}") from None


def _make_or_check(connection: sqlite3.Connection, path: Path) -> None:
    if not has_tables(connection):
        connection.execute("BEGIN IMMEDIATE")
        if not has_tables(connection):  # another may have been first
            for statement in _TABLES:
                connection.execute(statement)
        connection.execute("COMMIT")
    check_kind(connection, path, APPLICATION_ID, FORMAT)
