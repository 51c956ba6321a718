"""The outbox as a file: opened, checked and made; every trouble becomes one line."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.errors import OutboxBusyError, OutboxError
from firmware_bridge.store import Doubt, Stream, random_id

FORMAT = 1
"""Written to ``user_version``; a file with a larger number is from a newer version."""

APPLICATION_ID = 0x45574243
"""``EWBC``: tells an outbox from any other SQLite file."""

_TABLES = """
CREATE TABLE message (position INTEGER PRIMARY KEY, kind INTEGER NOT NULL, payload BLOB NOT NULL,
                      doubted INTEGER NOT NULL DEFAULT 0);
CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL, acknowledged INTEGER NOT NULL,
                    allowed INTEGER NOT NULL, stream_id INTEGER NOT NULL, start INTEGER NOT NULL, boot_id INTEGER,
                    unique_id BLOB NOT NULL);
CREATE TABLE doubt (position INTEGER NOT NULL, kind INTEGER NOT NULL, payload BLOB NOT NULL,
                    repeated INTEGER NOT NULL, boot_before INTEGER, boot_after INTEGER NOT NULL,
                    noticed_unix_ns INTEGER NOT NULL);
"""
_WRITABLE_ADVICE = "choose another place for the outbox, or outbox=none to keep results in memory only"


def outbox_error(path: Path, error: Exception) -> OutboxError:
    """Say in one line what SQLite or the system said, and what to do."""
    said = str(error).lower()
    if "full" in said or getattr(error, "errno", None) == 28:
        return OutboxError(f"{path}: the disk is full; free some space and open the link again")
    if "locked" in said or "busy" in said:
        return OutboxBusyError(f"{path} is in use by another program; end it or choose another outbox")
    if "malformed" in said or "not a database" in said or "corrupt" in said:
        return OutboxError(
            f"{path} is damaged; move it away (what waited in it is not delivered) and open the link again"
        )
    if "readonly" in said or "read-only" in said:
        return OutboxError(f"{path} is read-only; {_WRITABLE_ADVICE}")
    if isinstance(error, OSError) or "unable to open" in said:
        reason = (getattr(error, "strerror", None) or "it can't be opened").lower()
        return OutboxError(f"{path}: {reason}; {_WRITABLE_ADVICE}")
    return OutboxError(f"{path}: {' '.join(str(error).split())}; {_WRITABLE_ADVICE}")


@contextlib.contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn every trouble with the file into an `OutboxError`."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError) as error:
        raise outbox_error(path, error) from error


def lock(path: Path) -> int:
    """Keep other programs out, and return the descriptor that holds the lock.

    A file of its own: closing any descriptor of the database would drop SQLite's own locks.

    :raises OutboxError: another program holds it, or the place can't be written.
    """
    with telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise OutboxBusyError(f"{path} is in use by another program; end it or choose another outbox") from error
        raise outbox_error(path, error) from error
    return descriptor


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the file for any thread, statements committed one by one unless a transaction is begun.

    :raises sqlite3.Error: it can't be opened.
    """
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Check the file, and make its tables where it is new.

    :raises OutboxError: it is damaged, from a newer version, or no outbox.
    :raises sqlite3.Error: it can't be read or written.
    """
    if check(connection, path):
        return
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.split(";"):
        connection.execute(statement)
    connection.execute("INSERT INTO state VALUES (1, 0, 0, 0, ?, 0, NULL, x'')", (random_id(4),))
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={FORMAT}")
    connection.execute("COMMIT")


def check(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the file holds an outbox already.

    :raises OutboxError: it is damaged, from a newer version, or no outbox.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (written,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables and not application:
        return False
    if application != APPLICATION_ID:
        raise OutboxError(f"{path} is not an outbox but another program's database; choose another name")
    if written > FORMAT:
        raise OutboxError(f"{path} was written by a newer version of edge-wbc; update this one")
    return True


def read_state(connection: sqlite3.Connection) -> tuple[int, int, int, Stream]:
    """Return last, acknowledged and allowed position, and the stream."""
    last, acknowledged, allowed, stream_id, start, boot_id, unique_id = connection.execute(
        "SELECT last, acknowledged, allowed, stream_id, start, boot_id, unique_id FROM state"
    ).fetchone()
    return last, acknowledged, allowed, Stream(stream_id, start, boot_id, unique_id)


def read_doubts(connection: sqlite3.Connection, acknowledged: int) -> list[Doubt]:
    """Return everything that was ever in doubt, oldest first."""
    rows = connection.execute("SELECT * FROM doubt ORDER BY noticed_unix_ns, position")
    return [
        Doubt(position, kind, payload, bool(repeated), before, after, noticed, position <= acknowledged)
        for position, kind, payload, repeated, before, after, noticed in rows
    ]


@dataclass(frozen=True, slots=True)
class Contents:
    """What an outbox holds: how many messages wait, how many of them may have been sent, and with whom it spoke."""

    waiting: int
    maybe_sent: int
    stream: Stream
    doubts: tuple[Doubt, ...]


def contents(path: Path) -> Contents:
    """Look into an outbox, also while a host uses it.

    :raises OutboxError: there is none, or it can't be read.
    """
    if not path.is_file():
        raise OutboxError(f"there is no outbox {path}; one is made by the first session with an instrument")
    with telling(path):
        connection = connect(path, read_only=True)
        try:
            if not check(connection, path):
                raise OutboxError(f"{path} is empty; the first session with an instrument fills it")
            last, acknowledged, allowed, stream = read_state(connection)
            doubts = tuple(read_doubts(connection, acknowledged))
        finally:
            connection.close()
    return Contents(last - acknowledged, max(0, min(allowed, last) - acknowledged), stream, doubts)


def start_over(path: Path) -> None:
    """Make the next session start a new stream: what may have been sent then goes out flagged, and is listed.

    :raises OutboxError: there is none, a host uses it, or it can't be written.
    """
    contents(path)
    descriptor = lock(path)
    try:
        with telling(path):
            connection = connect(path)
            try:
                connection.execute("UPDATE state SET stream_id = ?", (random_id(4),))
            finally:
                connection.close()
    finally:
        os.close(descriptor)
