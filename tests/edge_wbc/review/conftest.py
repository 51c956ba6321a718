"""Reviews of recorded sessions, and chains changed behind their back."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_wbc.review.chain import FILE, first_hash, hash_of, written
from edge_wbc.review.review import Review

MANY = 10_000


@pytest.fixture
def review(record: Callable[..., Path]) -> Review:
    """Of five cells: neutrophil, lymphocyte, unidentified, neutrophil, platelet."""
    return Review(record())


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder in memory where there is such a place: nothing waits for a disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture
def many(record: Callable[..., Path]) -> Path:
    """A session of 10,000 cells: the first two of the five, again and again."""
    folder = record()
    with closing(sqlite3.connect(folder / "session.sqlite")) as connection, connection:
        connection.execute("DELETE FROM cells WHERE number > 2")
        columns = [row[1] for row in connection.execute("PRAGMA table_info(cells)")][1:]
        counted = f"WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})"
        connection.execute(
            f"INSERT INTO cells {counted} SELECT i, {', '.join(columns)} FROM n JOIN cells ON number = 2 - i % 2"
        )
    return folder


def sql(folder: Path, statement: str, *values: Any, file: str = FILE) -> None:
    """Change a file behind everybody's back."""
    with closing(sqlite3.connect(folder / file)) as connection, connection:
        connection.execute(statement, values)


def write_anew(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Write the whole chain again, each row as ``change`` leaves it, with hashes that fit."""
    previous = first_hash(folder)
    for one in written(folder):
        row = json.loads(one.text)
        change(row)
        row["previous"] = previous
        text = json.dumps(row, sort_keys=True, separators=(",", ":"))
        previous = hash_of(text)
        sql(folder, "UPDATE rows SET text = ?, hash = ? WHERE number = ?", text, previous, one.number)
