"""Sessions found and read again: many of them, and some that can't be."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import replace

import pytest
from click.testing import CliRunner

from edge_wbc.cli.sessions import sessions
from edge_wbc.errors import EnvironmentMissing, SessionError
from edge_wbc.sessions import schema
from edge_wbc.sessions.archive import contents, find, heads, protect, remove
from edge_wbc.sessions.room import size

CORRUPT, NEWER, FOREIGN, EMPTY, LOCKED, NOT_ONE = (f"2026020{i}T000000Z-abc123" for i in range(1, 7))


@pytest.fixture
def broken(record):
    """A good session among such as can't be read: folder, and what holds one of them locked."""
    good = record()
    place = good.parent
    for name in (CORRUPT, NEWER, FOREIGN, EMPTY, LOCKED, NOT_ONE):
        shutil.copytree(good, place / name)
    data = bytearray((good / "session.sqlite").read_bytes())
    data[4096:12288] = b"\x7f" * 8192
    (place / CORRUPT / "session.sqlite").write_bytes(data)
    for name, pragma in ((NEWER, "user_version=2"), (FOREIGN, "application_id=7")):
        with closing(sqlite3.connect(place / name / "session.sqlite")) as connection:
            connection.execute(f"PRAGMA {pragma}")
    (place / EMPTY / "session.sqlite").write_bytes(b"")
    (place / NOT_ONE / "session.sqlite").write_bytes(b"text\n" * 1000)
    (place / "somebody's folder").mkdir()
    with closing(sqlite3.connect(place / LOCKED / "session.sqlite", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield good


WRONG = (
    (CORRUPT, "damaged (", "move it away, or `edge-wbc sessions remove` it"),
    (NEWER, "written by a newer version of edge-wbc; update this one", ""),
    (FOREIGN, "another program's database; move it away", ""),
    (EMPTY, "nothing was recorded before it ended; `edge-wbc sessions remove` it", ""),
    (LOCKED, "locked by another program; end it and try again", ""),
    (NOT_ONE, "damaged (file is not a database); move it away, or", ""),
)


def test_what_cannot_be_read_is_a_line_each_and_the_others_are_listed(broken):
    read = list(heads(broken.parent))
    assert [one.folder for one in read if not isinstance(one, SessionError)] == [broken]
    errors = [str(one) for one in read if isinstance(one, SessionError)]
    assert len(errors) == len(WRONG)
    for line, (name, words, advice) in zip(errors, WRONG, strict=True):
        assert line.startswith(f"{broken.parent / name / 'session.sqlite'}: {words}")
        assert advice in line
        assert "\n" not in line


def test_the_list_says_so_with_exit_code_3(broken):
    done = CliRunner().invoke(sessions, ["list", "--record", str(broken.parent)], standalone_mode=False)
    assert done.return_value == 3
    table = [line for line in done.stdout.splitlines() if line.startswith("2026")]
    assert [line.split() for line in table] == [
        ["20260101T000000Z-abc123", "smear://?seed=1", "4", "5", f"{size(broken) / 1e6:.1f}", "source"]
    ]
    assert len(done.stderr.splitlines()) == len(WRONG)
    done = CliRunner().invoke(sessions, ["list", "--record", str(broken.parent), "--json"], standalone_mode=False)
    listed = json.loads(done.stdout)
    assert ([one["counted"] for one in listed["sessions"]], len(listed["unreadable"])) == ([5], len(WRONG))


@pytest.mark.parametrize("name", [CORRUPT, NEWER, FOREIGN, EMPTY, LOCKED, NOT_ONE])
def test_one_that_cannot_be_read_is_refused_by_every_command(broken, name):
    with pytest.raises(SessionError):
        contents(broken.parent / name)
    with pytest.raises(SessionError):
        protect(broken.parent / name, True)


def test_a_damaged_row_is_a_line_too(record):
    folder = record()
    with closing(sqlite3.connect(folder / "session.sqlite")) as connection, connection:
        connection.execute("UPDATE cells SET probabilities = '{' WHERE number = 3")
    with pytest.raises(SessionError, match=r"damaged \(expecting property name"):
        contents(folder)


def test_a_hundred_sessions_are_listed_at_once(record):
    first = record()
    for i in range(1, 100):
        folder = first.parent / f"20260101T0000{i:02}Z-abc123"
        shutil.copytree(first, folder)
        with closing(sqlite3.connect(folder / "session.sqlite")) as connection, connection:
            connection.execute("UPDATE session SET session_id = ?, label = ?", (folder.name, f"slide {i}"))
    began = time.perf_counter()
    done = CliRunner().invoke(sessions, ["list", "--record", str(first.parent)], standalone_mode=False)
    took_s = time.perf_counter() - began
    heading, *lines = done.stdout.splitlines()
    assert heading.split() == ["session", "label", "source", "frames", "cells", "MB", "ended"]
    assert [line.split()[0] for line in lines] == sorted(folder.name for folder in first.parent.iterdir())
    assert lines[7].split()[1:3] == ["slide", "7"]
    assert done.return_value == 0
    assert took_s < 2


def test_a_session_is_found_by_the_beginning_of_its_id_or_as_the_last(record):
    first, second = record("20260101T000000Z-aaaaaa"), record("20260102T000000Z-aaaaaa")
    place = first.parent
    assert find(place, "20260101") == find(place, first.name) == first
    assert find(place, "last") == second
    with pytest.raises(SessionError, match="'2026' is the beginning of 2 sessions"):
        find(place, "2026")
    with pytest.raises(SessionError, match="no session '2027' in"):
        find(place, "2027")
    with pytest.raises(SessionError, match="no session 'last' in"):
        find(place / "no", "last")


def test_a_session_that_runs_is_neither_removed_nor_changed(recorder_of, session, results):
    recorder = recorder_of()
    recorder.open(session)
    recorder.frame(results[0])
    with pytest.raises(SessionError, match="is running; end it first"):
        remove(recorder.folder)
    with pytest.raises(SessionError, match="is running; end it first"):
        protect(recorder.folder, True)
    recorder.close()
    assert len(contents(recorder.folder).cells) == 2
    remove(recorder.folder)
    assert not recorder.folder.exists()


def test_a_session_is_read_on_from_the_cells_that_are_known(record):
    whole = contents(record())
    known = replace(whole, cells=whole.cells[:2])
    read = contents(whole.head.folder, known)
    assert read == whole
    assert all(was is now for was, now in zip(known.cells, read.cells, strict=False))


def test_removing_removes_what_was_recorded_and_nothing_else(record):
    first, second = record("20260101T000000Z-aaaaaa"), record("20260102T000000Z-aaaaaa")
    (first / "mine.txt").write_text("kept")
    with pytest.raises(SessionError, match="directory not empty"):
        remove(first)
    assert [file.name for file in first.iterdir()] == ["mine.txt"]
    assert len(contents(second).cells) == 5


def test_a_system_without_file_locks_gets_a_line_when_it_records(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    spec = importlib.util.spec_from_file_location("schema_elsewhere", schema.__file__)
    elsewhere = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(elsewhere)
    for call in (elsewhere.lock, elsewhere.try_lock, elsewhere.running):
        with pytest.raises(EnvironmentMissing, match=r"^recorded sessions need the file locks of Linux; .*--no-record"):
            call(tmp_path)
