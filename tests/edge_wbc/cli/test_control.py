"""``edge-wbc control`` as a process."""

from __future__ import annotations

import json
import sqlite3

from edge_wbc.control.history import FILE, append
from edge_wbc.control.run import runs
from edge_wbc.review.decide import sign
from edge_wbc.review.review import Review
from tests.golden_session import record_golden


def test_run_list_and_the_code_when_it_is_outside(edge_wbc_command, tmp_path):
    where = ("--record", tmp_path)
    nothing = edge_wbc_command("control", "list", *where)
    assert (nothing.code, "no quality control in" in nothing.err) == (0, True)
    first = edge_wbc_command("control", "run", "--engine", "openvino", *where)
    assert first.code == 0, first.err
    assert "agreement 100.0 % (64 of 64, 95 % interval 94.4–100.0)" in first.out
    assert first.out.splitlines()[-1] == "within its limits"
    body = {name: getattr(runs(tmp_path)[0], name) for name in type(runs(tmp_path)[0]).__slots__}
    for _ in range(9):
        append(tmp_path, "run", {**body, "p50_ms": 1e-6})
    slow = edge_wbc_command("control", "run", "--engine", "openvino", "--json", *where)
    assert slow.code == 1, "beside nine runs of a nanosecond"
    assert "above the limit" in slow.json["outside"]["p50_ms"]
    listed = edge_wbc_command("control", "list", *where).out.splitlines()
    assert len(listed) == 12
    assert listed[-1].endswith("p50_ms")
    assert edge_wbc_command("control", "list", "--json", *where).json["runs"][0]["count"] == 11


def test_set_takes_a_signed_session_and_nothing_else(edge_wbc_command, tmp_path, model, session, result_of, end_of):
    folder = record_golden(tmp_path, model, session, result_of, end_of)
    where = ("--record", tmp_path)
    refused = edge_wbc_command("control", "set", "last", *where)
    assert (refused.code, len(refused.said())) == (3, 1)
    assert "not signed" in refused.err
    sign(Review(folder), "anna")
    done = edge_wbc_command("control", "set", "last", *where)
    assert done.code == 0, done.err
    assert done.out.startswith(f"known are now 64 cells of session {folder.name}: ")
    (file,) = tmp_path.glob("control-set-*.npz")
    file.write_bytes(file.read_bytes() + b"x")
    changed = edge_wbc_command("control", "run", *where)
    assert (changed.code, len(changed.said())) == (3, 1)
    assert "the locked set was changed" in changed.err
    assert json.loads(edge_wbc_command("control", "set", "golden", "--json", *where).out)["drawn"]


def test_a_newer_history_is_one_line(edge_wbc_command, tmp_path):
    append(tmp_path, "set", {"name": "x"})
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    for verb in (("run",), ("list",), ("set", "golden")):
        done = edge_wbc_command("control", *verb, "--record", tmp_path)
        assert (done.code, len(done.said()), "newer version" in done.err) == (3, 1, True)
