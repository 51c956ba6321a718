"""A recorded session on disk: ``SESSION_ID/session.sqlite``, made, opened and checked; every trouble becomes a line.

Who records holds a lock of the folder's own: a session that has no end and no lock was killed.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from edge_wbc.errors import EnvironmentMissing, SessionError

FORMAT = 1
"""Written to ``user_version``; a file with a larger number is from a newer version."""
APPLICATION_ID = 0x45574253
"""``EWBS``: tells a session from any other SQLite file."""
DATABASE = "session.sqlite"
LOCK = "session.lock"
REVIEW = "review.sqlite"
"""What people decided about it; see `review.chain`."""
LOCKED = "locked by another program"
PATIENCE_S = 0.5
"""How long a reader waits for a database that another program has locked."""

TABLES = """
CREATE TABLE session (
    session_id TEXT PRIMARY KEY, source TEXT NOT NULL, mode TEXT NOT NULL, model TEXT NOT NULL, engine TEXT NOT NULL,
    started_utc TEXT NOT NULL, started_ns INTEGER NOT NULL, started_unix_ns INTEGER NOT NULL, version TEXT NOT NULL,
    label TEXT NOT NULL, notes TEXT NOT NULL,
    engine_name TEXT NOT NULL, graph TEXT NOT NULL, graph_sha256 TEXT NOT NULL, manifest_sha256 TEXT NOT NULL,
    size_px INTEGER NOT NULL, temperature REAL NOT NULL, unidentified_below REAL NOT NULL, labels TEXT NOT NULL,
    frames INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0,
    ended TEXT, ended_utc TEXT, summary TEXT,
    protected INTEGER NOT NULL DEFAULT 0, crops_removed_utc TEXT);
CREATE TABLE cells (
    number INTEGER PRIMARY KEY, frame INTEGER NOT NULL, origin TEXT NOT NULL, time_ns INTEGER NOT NULL,
    utc TEXT NOT NULL, xmin INTEGER NOT NULL, ymin INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    score REAL NOT NULL, label TEXT NOT NULL, probability REAL NOT NULL, probabilities TEXT NOT NULL,
    sightings INTEGER NOT NULL, x REAL, y REAL);
CREATE TABLE crops (cell INTEGER PRIMARY KEY, pixels BLOB NOT NULL);
CREATE TABLE sightings (
    cell INTEGER NOT NULL, crop BLOB NOT NULL, weight REAL NOT NULL, probabilities TEXT NOT NULL);
CREATE INDEX sightings_of ON sightings (cell);
CREATE TABLE refused (frame INTEGER NOT NULL, origin TEXT NOT NULL, reason TEXT NOT NULL);
"""
"""``notes`` and ``labels`` (the manifest's group), ``probabilities`` and ``summary`` are JSON; crops are the raw bytes
of uint8 (size_px, size_px, 3) BGR. ``sightings`` has the crops of cells whose prediction is of several, in their order,
``crops`` those of the others."""


def default_place() -> Path:
    """Where sessions are recorded unless told otherwise: the user's data folder."""
    import platformdirs  # 10 ms, which `--help` need not wait for

    return platformdirs.user_data_path("edge-wbc") / "sessions"


def said(error: Exception) -> str:
    """What SQLite or the system said, as part of a sentence."""
    words = " ".join(str(getattr(error, "strerror", None) or error).split()).lower()
    if "disk is full" in words or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on device"
    if "locked" in words or "busy" in words:
        return LOCKED
    return words


def text_for(value: Any) -> Any:
    """Text as SQLite takes it. Names of files need not be UTF-8, as its text is: those become bytes."""
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return os.fsencode(value)
    return value


def text_of(value: Any) -> Any:
    """Text as it was before `text_for`."""
    return os.fsdecode(value) if isinstance(value, bytes) else value


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn every trouble with a recorded session into a `SessionError`."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError) as error:
        words, advice = said(error), "check the folder and its rights"
        if words == LOCKED:
            advice = "end it and try again"
        elif not isinstance(error, (OSError, sqlite3.OperationalError)) or "no such" in words:
            words, advice = f"damaged ({words})", "move it away, or `edge-wbc sessions remove` it"
        raise SessionError(f"{path}: {words}; {advice}") from None


def connect(path: Path, *, new: bool = False, patience_s: float = PATIENCE_S) -> sqlite3.Connection:
    """Open a database for any thread, statements committed one by one unless a transaction is begun.

    To write even where only reading is meant: what a kill has left half done is then put right. Where the file can't be
    written SQLite opens it to read.

    :param patience_s: how long every statement waits for another program that has it locked.
    :raises sqlite3.Error: it can't be opened.
    """
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if new else 'rw'}"
    connection = sqlite3.connect(uri, uri=True, timeout=patience_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def make(connection: sqlite3.Connection) -> None:
    """Make the tables, inside the transaction that has begun."""
    for statement in TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={FORMAT}")


def check(connection: sqlite3.Connection, path: Path) -> None:
    """:raises SessionError: it is from a newer version, no session, or nothing was recorded.
    :raises sqlite3.Error: it can't be read.
    """
    if not has_tables(connection) and not _application(connection):
        raise SessionError(f"{path}: nothing was recorded before it ended; `edge-wbc sessions remove` it")
    check_kind(connection, path, APPLICATION_ID, FORMAT)


def has_tables(connection: sqlite3.Connection) -> bool:
    """False of a file that was made a moment before a kill."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(tables)


def check_kind(connection: sqlite3.Connection, path: Path, application_id: int, newest: int) -> None:
    """Whether a database is of one of our kinds, and of a version that this one knows.

    :raises SessionError: it is not.
    :raises sqlite3.Error: it can't be read.
    """
    (written,) = connection.execute("PRAGMA user_version").fetchone()
    if _application(connection) != application_id:
        raise SessionError(f"{path}: another program's database; move it away")
    if written > newest:
        raise SessionError(f"{path}: written by a newer version of edge-wbc; update this one")


def _application(connection: sqlite3.Connection) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    return int(application)


@contextmanager
def opened(folder: Path, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    """A recorded session's database, checked.

    :raises SessionError: it can't be used.
    """
    path = folder / DATABASE
    if not path.is_file():
        raise SessionError(f"{folder}: nothing was recorded before it ended; `edge-wbc sessions remove` it")
    with reading(path):
        connection = connect(path)
        try:
            check(connection, path)
            connection.execute(f"PRAGMA query_only={not write}")
            yield connection
        finally:
            connection.close()


def lock(folder: Path) -> int:
    """Lock the folder of a new session and return the descriptor that holds the lock.

    A file of its own: closing any descriptor of the database would drop SQLite's own locks.

    :raises OSError: the folder can't be written.
    :raises EnvironmentMissing: the system has no such locks.
    """
    fcntl = _fcntl()
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # at most `running` looks at it now
    return descriptor


def try_lock(folder: Path) -> int | None:
    """Lock the folder of a session that may be running, and return the descriptor; None if it is.

    :raises OSError: the folder can't be written.
    :raises EnvironmentMissing: the system has no such locks.
    """
    fcntl = _fcntl()
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def running(folder: Path) -> bool:
    """Whether a session is being recorded now.

    :raises EnvironmentMissing: the system has no such locks.
    """
    fcntl = _fcntl()
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _fcntl() -> ModuleType:
    """:raises EnvironmentMissing: not on this system."""
    try:
        import fcntl
    except ImportError:  # Windows
        raise EnvironmentMissing(
            "recorded sessions need the file locks of Linux; record and read them there, run with --no-record here"
        ) from None
    return fcntl


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep recorders out of a folder.

    :raises SessionError: the session is running, or the folder can't be written.
    """
    with reading(folder):
        descriptor = try_lock(folder)
    if descriptor is None:
        raise SessionError(f"session {folder.name} is running; end it first")
    try:
        yield
    finally:
        os.close(descriptor)


def folders(place: Path) -> list[Path]:
    """The folders of sessions, oldest first: their names begin with the time in UTC.

    :raises SessionError: the place can't be read.
    """
    try:
        return sorted({entry.parent for name in (DATABASE, LOCK) for entry in place.glob(f"*/{name}")})
    except OSError as error:
        raise SessionError(f"{place}: {said(error)}; name another place by --record") from None
