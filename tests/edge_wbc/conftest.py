"""Results to hand to sinks."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from edge_wbc.differential import Tally
from edge_wbc.manifest import Model
from edge_wbc.types import (
    CLASSES,
    Box,
    Cell,
    CountedCell,
    Differential,
    Frame,
    FrameResult,
    Prediction,
    Session,
    Sighting,
    Summary,
)
from tests.recorded import record, recorder_of, results  # noqa: F401  fixtures

ORIGIN = "smear://?seed=1"


@pytest.fixture
def session() -> Session:
    return Session(
        session_id="20260101T000000Z-abc123",
        source=ORIGIN,
        mode="field",
        model="leukonet 0.1.0 fp32",
        engine="onnxruntime f32",
        started_utc="2026-01-01T00:00:00.000+00:00",
        started_ns=time.monotonic_ns(),
        started_unix_ns=1_767_225_600_000_000_000,
        version="0.1.0",
    )


@pytest.fixture
def result_of(session: Session) -> Callable[..., FrameResult]:
    """Makes the result of frame ``index`` with a cell of each label, the first of which is number ``first``."""

    def make(index: int, labels: tuple[str, ...], first: int = 1, origin: str = ORIGIN) -> FrameResult:
        frame = Frame(np.zeros((48, 64, 3), np.uint8), index, session.started_ns + index * 1_000_000, origin)
        cells = tuple(Cell(Box(10 * i, 5, 9, 8), 0.5) for i in range(len(labels)))
        rest = dict.fromkeys(CLASSES, 0.02)
        predictions = tuple(Prediction(label, 0.86, {**rest, label: 0.86}) for label in labels)
        crop = np.zeros((64, 64, 3), np.uint8)
        counted = tuple(
            CountedCell(first + i, frame.ref, cells[i], prediction, (Sighting(prediction, crop),))
            for i, prediction in enumerate(predictions)
        )
        decided_ns = frame.time_ns + 5_000_000
        return FrameResult(frame.ref, cells, predictions, counted, decided_ns, pixels=frame.pixels)

    return make


@pytest.fixture
def end_of(model: Model) -> Callable[..., tuple[Differential, Summary]]:
    """Makes what a session with cells of these labels ends with."""

    def make(*labels: str) -> tuple[Differential, Summary]:
        tally = Tally(model.manifest.labels)
        tally.add(labels)
        differential = tally.differential()
        return differential, Summary(2, 0, 1, len(labels), 30.0, 0.1, {"p50": 5.0}, {}, differential)

    return make
