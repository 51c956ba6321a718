"""How fresh frames are: the measurement itself."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from edge_wbc.bench.live import Freshness, PacedSource

GOOD = Freshness(
    given=600,
    decided=590,
    dropped=10,
    cells=700,
    fps=59.0,
    period_ms=1000 / 60,
    age_ms={"p50": 5.0, "p90": 9.0, "p99": 30.0},
    engine_ms={"p50": 1.0, "p99": 4.0},
    stages={},
)


def test_a_camera_keeps_its_rate_whoever_reads_it() -> None:
    source = PacedSource([np.zeros((2, 2, 3), np.uint8)], fps=1000.0, seconds=0.05)
    frames = list(source.frames())
    assert [frame.index for frame in frames] == list(range(50))
    steps = {after.time_ns - before.time_ns for before, after in itertools.pairwise(frames)}
    assert steps == {1_000_000}
    assert source.given == 50


def test_a_stage_drives_on_and_back() -> None:
    pictures = [np.full((2, 2, 3), level, np.uint8) for level in range(4)]
    source = PacedSource(pictures, fps=1000.0, seconds=0.012, continuous=True)
    assert [int(frame.pixels[0, 0, 0]) for frame in source.frames()] == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1]
    one = PacedSource(pictures[:1], fps=1000.0, seconds=0.003, continuous=True)
    assert len(list(one.frames())) == 3


def test_a_closed_camera_gives_nothing_more() -> None:
    source = PacedSource([np.zeros((2, 2, 3), np.uint8)], fps=1.0, seconds=60.0)
    frames = source.frames()
    next(frames)
    source.close()
    assert list(frames) == []


@pytest.mark.parametrize(
    ("change", "passed"),
    [
        ({}, True),
        ({"age_ms": {"p50": 5.0, "p90": 9.0, "p99": 34.4}}, False),
        ({"engine_ms": {"p50": 10.0, "p99": 11.0}, "age_ms": {"p50": 12.0, "p90": 20.0, "p99": 43.0}}, True),
        ({"dropped": 9}, False),
    ],
)
def test_what_passes(change: dict, passed: bool) -> None:
    assert replace(GOOD, **change).passed is passed


@pytest.mark.parametrize("mode", ["field", "slide"])
def test_the_command_counts_every_frame(mode: str) -> None:
    command = [
        sys.executable,
        "-m",
        "edge_wbc",
        "bench",
        "live",
        "--smoke",
        "--size",
        "320x240",
        "--fps",
        "20",
        "--mode",
        mode,
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    assert told["given"] == 20
    assert told["silent"] == 0
    assert ("track" in told["stages"]) == (mode == "slide")
    assert told["decided"] + told["dropped"] == 20
    assert set(told["age_ms"]) == {"p50", "p90", "p99"}


def test_a_size_that_is_none_is_refused() -> None:
    command = [sys.executable, "-m", "edge_wbc", "bench", "live", "--size", "big"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "WIDTHxHEIGHT" in done.stderr
