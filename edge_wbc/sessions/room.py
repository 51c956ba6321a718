"""Room on disk: when all sessions together outgrow the quota, the oldest ones lose their crops."""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime, timezone
from pathlib import Path

from edge_wbc.errors import SessionError
from edge_wbc.sessions.mosaic import forget
from edge_wbc.sessions.schema import folders, opened, try_lock

QUOTA_BYTES = 10_000_000_000
"""Of all sessions in one place: about 800,000 crops of 64×64, or 1,000 sessions of 200 cells seen four times each."""


def make_room(place: Path, quota_bytes: int) -> int:
    """Remove crops until all sessions fit the quota, and return how many bytes they then take.

    The oldest go first; a session that is running or protected keeps its crops, and what can't be opened stays as it
    is. Only crops and mosaics go: the differential, the cells and what was decided about them stay.
    """
    try:
        found = folders(place)
    except SessionError:
        return 0
    used = sum(map(size, found))
    for folder in found:
        if used <= quota_bytes:
            break
        before = size(folder)
        if _without_crops(folder):
            used -= before - size(folder)
    return used


def size(folder: Path) -> int:
    """Bytes of the files in a session's folder."""
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                total += entry.stat().st_size
            except FileNotFoundError:  # SQLite removed it meanwhile
                continue
    return total


def _without_crops(folder: Path) -> bool:
    """Remove the crops and the mosaic of one session; False where that can't or must not be."""
    try:
        descriptor = try_lock(folder)
    except OSError:
        return False
    if descriptor is None:
        return False
    try:
        with opened(folder, write=True) as connection:
            (protected,) = connection.execute("SELECT protected FROM session").fetchone()
            return not protected and any((_removed(connection), forget(folder)))
    except (SessionError, OSError):
        return False
    finally:
        os.close(descriptor)


def _removed(connection: sqlite3.Connection) -> bool:
    (filled,) = connection.execute("SELECT EXISTS (SELECT 1 FROM crops) OR EXISTS (SELECT 1 FROM sightings)").fetchone()
    if filled:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM crops")
        connection.execute("DELETE FROM sightings")
        connection.execute("UPDATE session SET crops_removed_utc = ?", (now,))
        connection.execute("COMMIT")
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()  # also of an earlier removal that broke off here
    if free:
        connection.execute("VACUUM")
    return bool(free)
