"""Once a frame is captured it is not copied whole: nothing as large as a frame is made of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from edge_wbc.cli.session import new_session
from edge_wbc.engines.base import open_engine
from edge_wbc.manifest import load_model
from edge_wbc.pipeline import Pipeline
from edge_wbc.sources.base import open_source
from edge_wbc.types import Frame, FrameResult

SETTLED = 6
"""Frames after which what is made once has been made."""


class Memory:
    """A camera whose frames are there already, twice over; it waits for whoever reads it."""

    uri = "memory:"
    live = True
    lossless = True

    def __init__(self, frames: list[Frame], continuous: bool) -> None:
        self.continuous = continuous
        self._frames = frames

    def frames(self) -> Iterator[Frame]:
        for index, frame in enumerate(2 * self._frames):
            yield Frame(frame.pixels, index, frame.time_ns, self.uri)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("mode", ["field", "slide"])
def test_nothing_as_large_as_a_frame_is_made_after_its_capture(mode: str) -> None:
    path = "&path=wander" if mode == "slide" else ""
    shots = open_source(f"smear://?seed=2&cells=12&size=1920x1080{path}").frames()
    frames = [frame for frame, _ in zip(shots, range(12), strict=False) if isinstance(frame, Frame)]
    engine = open_engine("auto", load_model(), 1)
    peaks: list[int] = []

    def watch(frame: Frame, result: FrameResult) -> None:
        if frame.index >= SETTLED:
            peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()

    source = Memory(frames, mode == "slide")
    tracemalloc.start()
    try:
        made = np.empty_like(frames[0].pixels)
        assert tracemalloc.get_traced_memory()[0] >= made.nbytes, "arrays are seen"
        del made
        before = tracemalloc.get_traced_memory()[0]
        outcome = Pipeline(source, engine, [], new_session("memory:", mode, engine), watch=watch).run()
    finally:
        tracemalloc.stop()
        engine.close()
    assert outcome.summary.frames == len(frames) * 2
    assert 0 < max(peaks) - before < frames[0].pixels.nbytes, "nor do all small ones together take so much"
