"""Durations by stage."""

from __future__ import annotations

import random

import pytest

from edge_wbc.metrics import KEPT, Stages, percentiles_ms


def test_percentiles_are_values_that_occurred() -> None:
    durations = [number * 1_000_000 for number in range(1, 102)]
    random.Random(1).shuffle(durations)
    assert percentiles_ms(durations, (50, 90, 99, 100)) == {"p50": 51, "p90": 91, "p99": 100, "p100": 101}


def test_one_duration_is_every_percentile() -> None:
    assert percentiles_ms([1_500_000], (50, 99)) == {"p50": 1.5, "p99": 1.5}


def test_without_durations_there_are_none() -> None:
    assert percentiles_ms([], (50, 99)) == {}
    assert Stages().summary() == {}


def test_stages_stand_in_the_order_they_ran() -> None:
    stages = Stages()
    stages.add("read", 2_000_000)
    stages.add("locate", 1_000_000)
    stages.add("read", 2_000_000)
    assert stages.summary() == {"read": {"p50": 2, "p99": 2, "n": 2}, "locate": {"p50": 1, "p99": 1, "n": 1}}


def test_a_stage_that_fails_is_timed_too() -> None:
    stages = Stages()
    with pytest.raises(ValueError, match="x"), stages.time("read"):
        raise ValueError("x")
    assert stages.summary()["read"]["n"] == 1


def test_a_long_session_keeps_a_fair_choice() -> None:
    stages = Stages()
    for number in range(4 * KEPT):
        stages.add("read", number * 1_000_000)
    summary = stages.summary()["read"]
    assert summary["n"] == 4 * KEPT
    assert summary["p50"] == pytest.approx(2 * KEPT, rel=0.1), "old and new alike"
