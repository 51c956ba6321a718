from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from edge_wbc.control.history import FILE, FORMAT, append, probabilities, rows
from edge_wbc.errors import OutputFailed, SessionError


def test_rows_come_back_in_their_order(tmp_path):
    found = np.arange(6, dtype=np.float32).reshape(2, 3)
    append(tmp_path, "set", {"a": "ü"})
    append(tmp_path, "run", {"b": 1}, probabilities=found)
    append(tmp_path, "session", {"c": None}, about="s1")
    assert [(row.number, row.kind, row.body) for row in rows(tmp_path, "set", "run", "session")] == [
        (1, "set", {"a": "ü"}),
        (2, "run", {"b": 1}),
        (3, "session", {"c": None}),
    ]
    assert [row.number for row in rows(tmp_path, "run")] == [2]
    assert np.array_equal(probabilities(tmp_path, 2, 3), found)


def test_nothing_there_is_an_empty_history_and_makes_no_file(tmp_path):
    assert rows(tmp_path, "run") == ()
    assert not list(tmp_path.iterdir())


def test_a_session_is_there_once(tmp_path):
    assert append(tmp_path, "session", {"n": 1}, about="s1") is not None
    assert append(tmp_path, "session", {"n": 2}, about="s1") is None
    assert [row.body for row in rows(tmp_path, "session")] == [{"n": 1}]


@pytest.mark.parametrize("change", ["UPDATE rows SET body = '{}'", "DELETE FROM rows"])
def test_rows_are_only_appended(tmp_path, change):
    append(tmp_path, "run", {"b": 1})
    connection = sqlite3.connect(tmp_path / FILE)
    with pytest.raises(sqlite3.IntegrityError, match="only appended"):
        connection.execute(change)
    connection.close()
    assert [row.body for row in rows(tmp_path, "run")] == [{"b": 1}]


def set_pragma(place, pragma):
    connection = sqlite3.connect(place / FILE)
    connection.execute(pragma)
    connection.close()


def test_a_newer_version_is_refused_to_read_and_to_write(tmp_path):
    append(tmp_path, "run", {})
    set_pragma(tmp_path, f"PRAGMA user_version={FORMAT + 1}")
    for use in (lambda: rows(tmp_path, "run"), lambda: append(tmp_path, "run", {})):
        with pytest.raises(SessionError, match="newer version of edge-wbc"):
            use()


def test_another_programs_file_is_refused(tmp_path):
    append(tmp_path, "run", {})
    set_pragma(tmp_path, "PRAGMA application_id=1")
    with pytest.raises(SessionError, match="another program's"):
        rows(tmp_path, "run")


def test_a_damaged_file_is_one_line(tmp_path):
    (tmp_path / FILE).write_bytes(b"SQLite format 3\0" + bytes(4000))
    with pytest.raises(SessionError, match="can't be read"):
        rows(tmp_path, "run")
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(OutputFailed, match="not saved"):
        append(tmp_path, "run", {})


def test_an_empty_file_of_a_killed_start_is_filled(tmp_path):
    (tmp_path / FILE).touch()
    assert rows(tmp_path, "run") == ()
    append(tmp_path, "run", {"b": 1})
    assert len(rows(tmp_path, "run")) == 1


FULL = """
import resource, signal, sys
from pathlib import Path
from edge_wbc.control.history import append
from edge_wbc.errors import OutputFailed
place = Path(sys.argv[1])
append(place, "run", {"b": 1})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ((place / "control.sqlite").stat().st_size,) * 2)
try:
    append(place, "run", {"b": "x" * 100000})
except OutputFailed as error:
    print(error)
"""


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert len(done.stdout.splitlines()) == 1, done
    assert "was not saved" in done.stdout
    assert [row.body for row in rows(tmp_path, "run")] == [{"b": 1}]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputFailed, match="not saved"):
        append(tmp_path / "file" / "sessions", "run", {})
