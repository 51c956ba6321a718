"""The pipeline beside what its stages' own processor time would allow."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from edge_wbc.bench.bound import Bound, Round

ROUND = Round({"read": 1.0, "classify": 3.0}, fps=450.0, pipeline_ms=4.2, apart_fps=480.0, same=True)


def test_a_round_is_held_against_its_own_stages() -> None:
    assert ROUND.ratio(2) == pytest.approx(0.9)  # 4 ms a frame on 2 processors: 500 frames/s
    assert ROUND.ratio(1) == pytest.approx(1.8)
    assert ROUND.processors_used == pytest.approx(1.89)
    assert ROUND.of_apart == pytest.approx(0.9375)


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    found = Bound(2, 10, 12, tuple(replace(ROUND, fps=fps) for fps in (500.0, 350.0, 430.0)))
    assert found.ratios == pytest.approx((0.7, 0.86, 1.0))
    assert found.alone_ms == ROUND.alone_ms
    assert found.passed


@pytest.mark.parametrize("change", [{"fps": 424.0}, {"same": False}])
def test_what_does_not_pass(change: dict) -> None:
    assert not Bound(2, 10, 12, (replace(ROUND, **change),)).passed


@pytest.mark.parametrize("mode", ["field", "slide"])
def test_the_command_times_every_stage_and_finds_the_same_decisions(mode: str) -> None:
    command = [sys.executable, "-m", "edge_wbc", "bench", "bound", "--smoke", "--mode", mode, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["frames"] == 24
    stages = {"read", "reduce", "quality", "locate", "count", "crop", "classify", "deliver"}
    assert set(told["alone_ms"]) == (stages | {"track"} if mode == "slide" else stages)
    assert all(spent > 0 for spent in told["alone_ms"].values())
    assert told["rounds"][0]["same"]
    assert told["rounds"][0]["apart_fps"] > 0
    assert told["cells"] > 0
