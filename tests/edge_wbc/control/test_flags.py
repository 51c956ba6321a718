from __future__ import annotations

import sqlite3
from datetime import datetime

import pytest

from edge_wbc.control.flags import flags_for
from edge_wbc.control.history import FILE, append
from edge_wbc.sessions.archive import head

BODY = {
    "model": "leukonet",
    "engine": "onnxruntime f32",
    "machine": "m",
    "version": "0",
    "set_name": "golden",
    "set_sha256": "s",
    "set_row": 0,
    "cells": 64,
    "same": 64,
    "left_out": 0,
    "by_class": {},
    "drift": 0.0,
    "drift_from": 0,
    "p50_ms": 1.0,
    "p99_ms": 2.0,
    "outside": {},
}


@pytest.fixture
def session_head(recorded):
    """Of a session of 2026-05-05, on onnxruntime f32."""
    return head(recorded("20260505T080000Z-abcdef", started_utc="2026-05-05T08:00:00.000+00:00"))


@pytest.fixture
def ran(place, session_head, monkeypatch):
    """Appends a run as if made at this time, with the session's graph."""

    def append_run(at_utc, **changes):
        class Then:
            @staticmethod
            def now(zone):
                return datetime.fromisoformat(at_utc)

        with monkeypatch.context() as patch:
            patch.setattr("edge_wbc.control.history.datetime", Then)
            append(place, "run", {**BODY, "graph_sha256": session_head.graph_sha256, **changes})

    return append_run


def test_nothing_wrong_is_no_line(session_head, ran):
    ran("2026-05-05T07:00:00.000+00:00")
    assert flags_for(session_head) == ()


def test_no_run_at_all(session_head):
    assert flags_for(session_head) == ("no quality control was run on the day of the session or before",)


def test_a_run_later_than_the_day_does_not_count(session_head, ran):
    ran("2026-05-06T07:00:00.000+00:00")
    assert flags_for(session_head) == ("no quality control was run on the day of the session or before",)


def test_no_run_that_day(session_head, ran):
    ran("2026-05-03T07:00:00.000+00:00")
    assert flags_for(session_head) == (
        "no quality control on the day of the session (2026-05-05); "
        "the newest before was quality control 1 of 2026-05-03 07:00 UTC",
    )


def test_the_newest_run_of_the_day_was_outside(session_head, ran):
    ran("2026-05-05T07:00:00.000+00:00")
    ran("2026-05-05T09:00:00.000+00:00", outside={"drift": "drift 0.2, above", "p50_ms": "latency 9 ms, above"})
    assert flags_for(session_head) == (
        "quality control 2 of 2026-05-05 09:00 UTC was outside its limits: drift 0.2, above; latency 9 ms, above",
    )
    ran("2026-05-05T10:00:00.000+00:00")
    assert flags_for(session_head) == (), "put right, and run again"


def test_another_graph_than_the_sessions(session_head, ran):
    ran("2026-05-05T07:00:00.000+00:00", graph_sha256="f" * 64)
    (line,) = flags_for(session_head)
    assert f"with this session's graph ({session_head.graph_sha256[:12]}…)" in line
    assert "quality control 1 of 2026-05-05 07:00 UTC was of another (ffffffffffff…)" in line


def test_a_later_run_of_another_graph_does_not_hide_the_sessions(session_head, ran):
    ran("2026-05-05T07:00:00.000+00:00", outside={"drift": "drift 0.2, above"})
    ran("2026-05-05T08:00:00.000+00:00", graph_sha256="f" * 64)
    (line,) = flags_for(session_head)
    assert line.startswith("quality control 1 of")


def test_another_engine_than_the_sessions(session_head, ran):
    ran("2026-05-05T07:00:00.000+00:00", engine="tensorrt f16")
    assert flags_for(session_head) == (
        "quality control 1 of 2026-05-05 07:00 UTC was on tensorrt f16, the session on onnxruntime f32",
    )


def test_a_clock_that_jumped_back_leaves_the_order_of_the_rows(session_head, ran):
    ran("2026-05-05T11:00:00.000+00:00", outside={"drift": "drift 0.2, above"})
    ran("2026-05-05T06:00:00.000+00:00")
    assert flags_for(session_head) == (), "row 2 is the newer, whatever its clock said"


def test_the_sessions_own_figures_are_told(session_head, ran, place):
    ran("2026-05-05T07:00:00.000+00:00")
    body = {"session_id": session_head.session.session_id, "started_utc": "", "source": "files", "size_px": 64}
    figures = {"cells": 9, "focus": 0.1, "stain_x": 0.0, "stain_y": 0.0, "outside": {"focus": "focus 0.1, below it"}}
    append(place, "session", {**body, **figures}, about=session_head.session.session_id)
    assert flags_for(session_head) == ("beside earlier sessions: focus 0.1, below it",)


def test_a_history_that_cannot_be_read_is_a_line_of_the_report(session_head, ran, place):
    ran("2026-05-05T07:00:00.000+00:00")
    connection = sqlite3.connect(place / FILE)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    (line,) = flags_for(session_head)
    assert line.startswith("quality control is not known: ")
    assert "newer version" in line
