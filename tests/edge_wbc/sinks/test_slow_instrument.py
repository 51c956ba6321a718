"""An instrument as slow as a wire at 115200 baud: the end of a session waits for it as long as it gets on."""

from __future__ import annotations

import os
import threading
import tty
from collections.abc import Iterator

import numpy as np
import pytest

from edge_wbc.differential import Tally
from edge_wbc.errors import OutputFailed
from edge_wbc.manifest import load_model
from edge_wbc.sinks import instrument
from edge_wbc.sinks.base import open_sink
from edge_wbc.types import Box, Cell, CountedCell, FrameRef, FrameResult, Prediction, Session, Sighting, Summary
from firmware_bridge.simulator import Simulator

RESULTS = 500
PIECE_BYTES = 64
PIECE_S = 0.004
"""16 kB/s."""


class SlowInstrument:
    """The simulated instrument behind a slow wire; falls silent when told to."""

    def __init__(self) -> None:
        self.simulator = Simulator(quiet=True)
        self.end, self.host_end = os.openpty()
        tty.setraw(self.host_end)
        self.port = os.ttyname(self.host_end)
        self.stopped, self.deaf = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        os.set_blocking(self.end, False)
        while not self.stopped.wait(PIECE_S):
            try:
                data = os.read(self.end, PIECE_BYTES)
            except BlockingIOError:
                continue
            if not self.deaf.is_set() and (answer := self.simulator.feed(data)):
                os.write(self.end, answer)

    def close(self) -> None:
        self.stopped.set()
        self.thread.join(10)
        os.close(self.end)
        os.close(self.host_end)


@pytest.fixture
def slow() -> Iterator[SlowInstrument]:
    slow = SlowInstrument()
    yield slow
    slow.close()


def result(number: int) -> FrameResult:
    prediction = Prediction("monocyte", 0.9, {"monocyte": 0.9})
    frame, cell = FrameRef(number, 0, "slide.png"), Cell(Box(1, 2, 3, 4), 0.5)
    counted = CountedCell(number, frame, cell, prediction, (Sighting(prediction, np.zeros((64, 64, 3), np.uint8)),))
    return FrameResult(frame, (cell,), (prediction,), (counted,), 0)


def session() -> Session:
    return Session("id", "source", "field", "model", "engine", "2026-01-01T00:00:00Z", 0, 0, "0")


def finish(sink: object) -> None:
    tally = Tally(load_model().manifest.labels)
    differential = tally.differential()
    sink.finish(differential, Summary(0, 0, 0, 0, 0, 0, {}, {}, differential))  # type: ignore[attr-defined]


def test_a_slow_instrument_gets_everything(slow: SlowInstrument, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instrument, "STALL_S", 0.3)  # far less than the second and a half that the results take
    sink = open_sink(f"serial://{slow.port}")
    sink.open(session())
    try:
        for number in range(1, RESULTS + 1):
            sink.frame(result(number))
        assert slow.simulator.labels.total() < RESULTS
        finish(sink)
        assert slow.simulator.labels == {"monocyte": RESULTS}
        assert slow.simulator.differentials == 1
    finally:
        sink.close()


def test_an_instrument_that_gets_nowhere_is_an_output_that_failed(
    slow: SlowInstrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instrument, "STALL_S", 0.2)
    sink = open_sink(f"serial://{slow.port}")
    sink.open(session())
    try:
        slow.deaf.set()
        sink.frame(result(1))
        with pytest.raises(OutputFailed, match=r"nothing acknowledged for 0\.2 s, 2 results are left"):
            finish(sink)
    finally:
        sink.close()
