"""One run of quality control: the locked set through the model and engine that sessions use, and what came of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_wbc import __version__
from edge_wbc.classify import LARGEST_BATCH, decide
from edge_wbc.control.history import Row, append, probabilities, rows
from edge_wbc.control.known import Known, known
from edge_wbc.control.limits import Figure, outside
from edge_wbc.differential import exact_interval
from edge_wbc.engines.base import Engine, open_engine
from edge_wbc.errors import InputRefused
from edge_wbc.manifest import load_model
from edge_wbc.metrics import percentiles_ms

WARM_UP = 20
CALLS = 300
"""Of one crop each: the 99th percentile needs 299 (Wilks 1941). 0.4 s for the shipped graph on two processors."""

AGREEMENT = Figure("agreement", "agreement", "%", 1, 0.0, above=False, floor=70.0)
"""Cells named as they are known, of those whose class the model has. The limits are at least one cell wide. The floor
is a coarse net: leukonet-4, which learnt from photographs alone, names 77 % of the drawn crops as they are drawn."""
DRIFT = Figure("drift", "drift", "", 4, 0.0, below=False, ceiling=0.05)
"""Largest change of a probability since the first run of this graph on this set. Two that change by 0.05 towards each
other can change places where they were 0.1 apart, which `bench prove` takes for undecided. No limits by its own past:
that is 0 but for the last bits."""
LATENCY = Figure("p50_ms", "latency", "ms", 2, 0.0, 0.25, below=False)
"""Median of one crop's call. The limits are at least a quarter of the mean wide: clocks alone move it by a tenth. A
computer that is busy with something else is outside, and meant to be."""
P99 = Figure("p99_ms", "latency, 99th percentile", "ms", 2, 0.0)
"""Charted without limits: from run to run it doubles."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, as the history has it."""

    number: int
    """Of its row."""
    at_utc: str
    model: str
    graph_sha256: str
    engine: str
    """With the precision it computes in, as sessions have it."""
    machine: str
    version: str
    set_name: str
    set_sha256: str
    set_row: int
    cells: int
    """Those whose class the model has."""
    same: int
    """Of them, named as they are known; ``unidentified`` is not."""
    left_out: int
    """Cells of a class that the model does not have."""
    by_class: Mapping[str, Sequence[int]]
    """Class → named as they are known, and how many there are."""
    drift: float
    drift_from: int
    """Row of the run that the probabilities are held against: itself, if it is the first."""
    p50_ms: float
    p99_ms: float
    outside: Mapping[str, str]
    """Figure → what was wrong with it when it was taken."""

    @property
    def agreement(self) -> float:
        """In percent."""
        return 100 * self.same / self.cells

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of the agreement, in percent."""
        return _interval(self.same, self.cells)

    @property
    def group(self) -> tuple[str, str, str, str, int]:
        """Runs that are held against one another: the same graph, engine, computer and set."""
        return self.graph_sha256, self.engine, self.machine, self.set_sha256, self.set_row

    def record(self) -> dict[str, Any]:
        """For JSON, with agreement and intervals."""
        low, high = self.interval
        classes = {
            label: {
                "same": same,
                "cells": cells,
                "percent": 100 * same / cells,
                **dict(zip(("low", "high"), _interval(same, cells), strict=True)),
            }
            for label, (same, cells) in self.by_class.items()
        }
        return {**asdict(self), "agreement": self.agreement, "low": low, "high": high, "by_class": classes}


def run_once(place: Path, model: str, engine: str, machine: str) -> Run:
    """Open the engine, run the set that holds, append it to the history, close the engine.

    :param model: a shipped model, or the path of a graph.
    :param engine: by its name.
    :param machine: what the computer is called in the history.
    :raises ModelError: the model can't be used.
    :raises EnvironmentMissing: the engine is not here.
    :raises InputRefused: the locked set can't be used.
    :raises SessionError: the history can't be read.
    :raises OutputFailed: it can't be written.
    """
    loaded = load_model(model)
    cells = known(place, loaded.manifest.input)
    with closing(open_engine(engine, loaded)) as opened:
        return run(place, cells, opened, machine)


def runs(place: Path) -> list[Run]:
    """Every run, in its order.

    :raises SessionError: the history can't be read.
    """
    return [_run(row) for row in rows(place, "run")]


def run(place: Path, cells: Known, engine: Engine, machine: str) -> Run:
    """One run on an open engine, appended to the history. Raises as `run_once` does."""
    model = engine.model
    names = model.manifest.labels.names
    found = np.concatenate(
        [
            engine.infer(cells.crops[i : i + LARGEST_BATCH]).probabilities
            for i in range(0, len(cells.crops), LARGEST_BATCH)
        ]
    )
    by_class: dict[str, list[int]] = {}
    for label, said in zip(cells.labels, decide(found, engine), strict=True):
        if label in names:
            counts = by_class.setdefault(label, [0, 0])
            counts[0] += said.label == label
            counts[1] += 1
    judged = sum(count for _, count in by_class.values())
    if not judged:
        raise InputRefused(f"{model.name} has none of the classes of the locked set; set another")
    before = runs(place)
    body: dict[str, Any] = {
        "model": model.name,
        "graph_sha256": model.manifest.graph.sha256,
        "engine": f"{engine.name} {engine.precision}",
        "machine": machine,
        "version": __version__,
        "set_name": cells.choice.name,
        "set_sha256": cells.sha256,
        "set_row": cells.choice.row,
        "cells": judged,
        "same": sum(same for same, _ in by_class.values()),
        "left_out": len(cells.labels) - judged,
        "by_class": {name: by_class[name] for name in names if name in by_class},
        **_drift(place, found, before, (model.manifest.graph.sha256, cells.sha256, cells.choice.row)),
        **_latency(engine, cells),
    }
    body["outside"] = _outside(_run(Row(0, "", "run", {**body, "outside": {}})), before)
    row = append(place, "run", body, probabilities=found)
    assert row is not None  # only sessions are there once
    return _run(row)


def figures(one: Run) -> dict[Figure, float]:
    """What of a run is held against limits."""
    return {agreement_of(one.cells): one.agreement, DRIFT: one.drift, LATENCY: one.p50_ms}


def agreement_of(cells: int) -> Figure:
    """Agreement in so many cells."""
    return AGREEMENT._replace(least=100 / cells)


def _outside(one: Run, before: Sequence[Run]) -> dict[str, str]:
    found = {}
    for figure, value in figures(one).items():
        if (said := outside(figure, value, inside(figure, one, before))) is not None:
            found[figure.name] = said
    return found


def inside(figure: Figure, one: Run, among: Sequence[Run]) -> list[float]:
    """A figure's values that make its limits: of the runs that go with one, those that were not outside with it."""
    if figure is DRIFT:
        return []
    alike = [each for each in among if each.group == one.group and figure.name not in each.outside]
    return [float(getattr(each, figure.name)) for each in alike]


def _drift(
    place: Path, found: npt.NDArray[np.float32], before: Sequence[Run], like: tuple[str, str, int]
) -> dict[str, Any]:
    for one in before:
        if (one.graph_sha256, one.set_sha256, one.set_row) == like:
            first = probabilities(place, one.number, found.shape[1])
            return {"drift": float(np.abs(found - first).max()), "drift_from": one.number}
    return {"drift": 0.0, "drift_from": 0}


def _latency(engine: Engine, cells: Known) -> dict[str, float]:
    """Of single crops, one call after the other: crops in memory to probabilities in memory."""
    for i in range(WARM_UP):
        engine.infer(cells.crops[i % len(cells.crops)][None])
    taken = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        for i in range(CALLS):
            started = time.perf_counter_ns()
            engine.infer(cells.crops[i % len(cells.crops)][None])
            taken.append(time.perf_counter_ns() - started)
    finally:
        if collecting:
            gc.enable()
    return {f"{name}_ms": value for name, value in percentiles_ms(taken, (50, 99)).items()}


@lru_cache(4096)
def _interval(same: int, cells: int) -> tuple[float, float]:
    """In percent. Runs are mostly alike, and each takes 1 ms."""
    low, high = exact_interval(same, cells)
    return 100 * low, 100 * high


def _run(row: Row) -> Run:
    body = {name: row.body[name] for name in Run.__slots__ if name in row.body}
    return Run(**{**body, "number": row.number, "at_utc": row.at_utc, "drift_from": body["drift_from"] or row.number})
