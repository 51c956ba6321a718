"""The outbox in a process of its own: killed at each of its writes, and on a disk as slow as an SD card."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CELLS = 8


def run(library: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(library), **environment},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def folder() -> Iterator[str]:
    """In memory where there is such a place: a kill loses nothing that the system was given."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        yield name


def kills(faults: Path, folder: str, persistence: str) -> list[dict[str, Any]]:
    script = str(Path(__file__).with_name("killed_host.py"))
    lines = run(faults, script, str(faults), folder, persistence, str(CELLS)).splitlines()
    *records, unharmed = [json.loads(line) for line in lines]
    assert len(records) > 60
    assert all(record["killed"] for record in records)
    assert not unharmed["killed"]
    assert unharmed["applied"] == [[number, False] for number in range(1, CELLS + 1)]
    assert all(record["ended"] and record["left"] == 0 for record in (*records, unharmed))
    assert len({record["before"] for record in records}) > 3, "kills at all stages"
    return records


@pytest.mark.parametrize("persistence", ["ATOMIC", "COMMIT_BEFORE"])
def test_killed_at_any_write_nothing_is_lost_or_doubled(faults: Path, folder: str, persistence: str) -> None:
    for record in kills(faults, folder, persistence):
        assert record["applied"] == [[number, False] for number in range(1, CELLS + 1)], record
        assert record["doubts"] == [], record


def test_killed_at_any_write_beside_an_instrument_that_forgets_all_that_is_doubled_is_flagged_and_listed(
    faults: Path, folder: str
) -> None:
    doubled = 0
    for record in kills(faults, folder, "RAM_ONLY"):
        first, again = record["applied"][: record["before"]], record["applied"][record["before"] :]
        assert [number for number, _ in first] == list(range(1, len(first) + 1)), record
        assert [number for number, _ in again] == list(range(again[0][0], CELLS + 1)) if again else True, record
        assert {number for number, _ in (*first, *again)} == set(range(1, CELLS + 1)), record
        for number, flagged in again:
            assert flagged == (number in record["doubts"]), record
            assert flagged or number > len(first), record
            doubled += number <= len(first)
    assert doubled, "the kills were to leave some in doubt"


BURST = """
import json, sys, time
from firmware_bridge import CellResult, Outbox
payload = CellResult(1, 0, "monocyte", 1.0, (0, 0, 1, 1)).encode()
with Outbox(sys.argv[1]) as outbox:
    outbox.put(16, payload)
    began = time.perf_counter(); outbox.flush(); one = time.perf_counter() - began
    began = time.perf_counter()
    waits = []
    for _ in range(1000):
        before = time.perf_counter()
        outbox.put(16, payload)
        waits.append(time.perf_counter() - before)
    outbox.flush()
    print(json.dumps({"one_s": one, "burst_s": time.perf_counter() - began, "put_s": sorted(waits)[-10]}))
"""


def test_on_a_slow_disk_a_burst_is_durable_within_a_second_and_no_caller_waits(faults: Path, tmp_path: Path) -> None:
    printed = run(faults, "-c", BURST, str(tmp_path / "outbox.sqlite"), FAULTS_FSYNC_US="20000")
    measured = json.loads(printed)
    assert measured["one_s"] >= 0.015, "the disk was to be slow"
    assert measured["burst_s"] < 1.0
    assert measured["put_s"] < 0.015, "a caller waited for the disk"
    print(measured)  # noqa: T201
