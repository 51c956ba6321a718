"""Runs on the real engine."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_wbc.control import run as module
from edge_wbc.control.history import probabilities
from edge_wbc.control.known import choose_golden, known
from edge_wbc.control.run import run, run_once, runs
from edge_wbc.differential import exact_interval
from edge_wbc.engines.base import open_engine
from edge_wbc.errors import InputRefused
from edge_wbc.manifest import load_model

MACHINE = "a machine, 2 processors"


@pytest.fixture(autouse=True)
def few_calls(monkeypatch):
    monkeypatch.setattr(module, "CALLS", 30)


@pytest.fixture
def golden_set(place, model):
    return known(place, model.manifest.input)


class Clock:
    """Stands still but for what engines take."""

    def __init__(self):
        self.now_ns = 0

    def perf_counter_ns(self):
        return self.now_ns


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Taking:
    """The engine, as if a crop took so many ms, in every tenth call three times that."""

    def __init__(self, engine, clock, ms):
        self.name, self.precision, self.model = engine.name, engine.precision, engine.model
        self._engine, self._clock, self._ms, self._calls = engine, clock, ms, 0

    def infer(self, crops):
        self._calls += 1
        self._clock.now_ns += round(1e6 * self._ms * len(crops) * (1 if self._calls % 10 else 3))
        return self._engine.infer(crops)


def test_a_run_records_what_it_saw(golden_set, place, engine, model):
    done = run(place, golden_set, engine, MACHINE)
    assert (done.cells, done.same, done.left_out) == (64, 64, 0)
    assert done.agreement == 100
    assert done.interval == (100 * exact_interval(64, 64)[0], 100)
    assert dict(done.by_class)["neutrophil"] == [35, 35]
    assert done.graph_sha256 == model.manifest.graph.sha256
    assert done.engine == f"openvino {engine.precision}"
    assert (done.set_sha256, done.machine) == (golden_set.sha256, MACHINE)
    assert (done.drift, done.drift_from) == (0.0, done.number)
    assert 0 < done.p50_ms <= done.p99_ms
    assert not done.outside
    assert runs(place) == [done]
    kept = probabilities(place, done.number, len(model.manifest.labels.names))
    assert np.array_equal(kept[:8], engine.infer(golden_set.crops[:8]).probabilities)


def test_the_command_opens_what_sessions_use_and_closes_it(place, monkeypatch):
    closed = []

    def opening(*arguments):
        engine = open_engine(*arguments)
        close = engine.close
        engine.close = lambda: (closed.append(engine.name), close())
        return engine

    monkeypatch.setattr(module, "open_engine", opening)
    done = run_once(place, "leukonet", "openvino", MACHINE)
    assert done.model.startswith("leukonet")
    assert closed == ["openvino"]


def test_the_same_again_does_not_drift(golden_set, place, engine):
    first, second = (run(place, golden_set, engine, MACHINE) for _ in range(2))
    assert second.drift <= 1e-5
    assert second.drift_from == first.number
    assert "drift" not in second.outside
    assert "agreement" not in second.outside


def test_planted_drift_is_flagged(golden_set, place, engine):
    """The same set in name, and noise in what the network gets: as if a library read the pixels otherwise."""
    run(place, golden_set, engine, MACHINE)
    noise = np.random.default_rng(3).integers(-40, 41, golden_set.crops.shape)
    noisy = np.clip(golden_set.crops + noise, 0, 255).astype(np.uint8)
    done = run(place, replace(golden_set, crops=noisy), engine, MACHINE)
    assert done.drift > 0.05
    assert done.outside["drift"].startswith("drift ")
    assert "above the ceiling of 0.0500" in done.outside["drift"]


def test_a_graph_that_no_longer_knows_the_cells_is_flagged(golden_set, place, engine):
    """Other crops than the labels say: what a graph that was swapped, or colours in another order, would do."""
    done = run(place, replace(golden_set, labels=golden_set.labels[::-1]), engine, MACHINE)
    assert done.agreement < 70
    assert "below the floor of 70.0 %" in done.outside["agreement"]


def test_another_graph_begins_a_group_of_its_own(golden_set, place, engine):
    run(place, golden_set, engine, MACHINE)
    done = run_once(place, "leukonet-int8", "openvino", MACHINE)
    assert done.drift_from == done.number, "it is not held against the other graph's probabilities"
    assert done.group != runs(place)[0].group


def test_classes_that_a_model_does_not_have_are_left_out(place):
    """leukonet-4 knows four classes and was taught by photographs; some drawn crops it does not recognise."""
    done = run_once(place, "leukonet-4", "openvino", MACHINE)
    names = load_model("leukonet-4").manifest.labels.names
    assert done.left_out == 64 - done.cells > 0
    assert set(done.by_class) <= set(names)
    assert done.same < done.cells
    assert "agreement" not in done.outside


def test_latency_is_of_single_crops(golden_set, place, engine, clock):
    done = run(place, golden_set, Taking(engine, clock, 2.0), MACHINE)
    assert (done.p50_ms, done.p99_ms) == (2.0, 6.0)


def test_a_planted_slow_engine_is_flagged(golden_set, place, engine, clock):
    for ms in (2.0, 2.1, 1.9, 2.05, 1.95):
        assert not run(place, golden_set, Taking(engine, clock, ms), MACHINE).outside
    done = run(place, golden_set, Taking(engine, clock, 4.0), MACHINE)
    assert done.outside == {"p50_ms": "latency 4.00 ms, above the limit of 2.57 ms"}
    again = run(place, golden_set, Taking(engine, clock, 4.0), MACHINE)
    assert again.outside == done.outside, "what was outside does not widen the limits"


def test_another_machine_is_not_held_against_this_one(golden_set, place, engine, clock):
    for _ in range(5):
        run(place, golden_set, Taking(engine, clock, 2.0), MACHINE)
    assert not run(place, golden_set, Taking(engine, clock, 9.0), "another machine").outside


def test_choosing_a_set_again_begins_anew(golden_set, place, engine, model, clock):
    for _ in range(5):
        run(place, golden_set, Taking(engine, clock, 2.0), MACHINE)
    choose_golden(place, "otto")
    done = run(place, known(place, model.manifest.input), Taking(engine, clock, 9.0), MACHINE)
    assert not done.outside
    assert done.drift_from == done.number


def test_a_set_of_nothing_the_model_knows_is_refused(golden_set, place, engine):
    with pytest.raises(InputRefused, match="none of the classes"):
        run(place, replace(golden_set, labels=("a smudge",) * 64), engine, MACHINE)
    assert runs(place) == []


def test_a_blur_is_seen(golden_set, place, engine):
    run(place, golden_set, engine, MACHINE)
    blurred = np.stack([cv2.GaussianBlur(one, (0, 0), 2) for one in golden_set.crops])
    assert "drift" in run(place, replace(golden_set, crops=blurred), engine, MACHINE).outside
