"""A session as a process: its first line, and its memory."""

from __future__ import annotations

import sys
import time

import pytest

from edge_wbc.bench.cold_start import MOST, help_row, start
from edge_wbc.bench.whole import passed
from edge_wbc.errors import EnvironmentMissing

GROWING = """
import sys, time
print('{"type":"session"}', flush=True)
kept = []
for i in range(32):
    kept.append(b"x" * 1_000_000)
    print('{"type":"frame"}', flush=True)
    if i % 8 == 7:
        time.sleep(0.1)
"""


def test_memory_that_grows_is_seen():
    began_ns = time.monotonic_ns()
    found = start([sys.executable, "-c", GROWING], 32)
    assert 0 < found.first_ns < time.monotonic_ns() - began_ns - 0.3e9
    assert found.growth_mb == pytest.approx(16, abs=6)
    assert found.peak_mb > 32


def test_a_session_that_fails_is_told_with_its_reason():
    with pytest.raises(EnvironmentMissing, match="the model is gone"):
        start([sys.executable, "-c", "import sys; sys.exit('the model is gone')"], 8)
    with pytest.raises(EnvironmentMissing, match="no reason given"):
        start([sys.executable, "-c", ""], 8)


def test_help_is_timed_and_held_against_its_bar():
    row = help_row(2, lambda: [sys.executable, "-c", ""])
    assert len(row.rounds) == 2
    assert passed(row) is (row.median.value <= row.told[MOST])
    assert help_row(3, lambda: [sys.executable, "-c", "raise SystemExit(3)"]).error.startswith("exit code 3")
