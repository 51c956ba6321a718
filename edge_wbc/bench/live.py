"""How fresh the frames of a fast camera are when they are decided: frames from memory, at a fixed rate, live.

A camera's rate is kept by the clock, as a camera keeps it: a frame that comes late does not move the next one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2

from edge_wbc.engines.base import Engine
from edge_wbc.metrics import percentiles_ms
from edge_wbc.pipeline import Pipeline
from edge_wbc.types import Frame, FrameResult, Pixels, Session

MOST_PERIODS = 2.0
"""A frame counts as fresh when it is decided so many frame periods, and what the engine itself takes, after its
capture."""
WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """What became of the frames of one run, after the first second."""

    given: int
    decided: int
    dropped: int
    cells: int
    fps: float
    period_ms: float
    age_ms: Mapping[str, float]
    """From capture to decision: p50, p90, p99."""
    engine_ms: Mapping[str, float]
    """What the engine took of that, a frame: p50, p99."""
    stages: Mapping[str, Mapping[str, float]]

    @property
    def beyond_periods(self) -> float:
        """The age's p99 beyond the engine's own p50, in frame periods."""
        return (self.age_ms["p99"] - self.engine_ms["p50"]) / self.period_ms

    @property
    def silent(self) -> int:
        """Frames that were neither decided nor counted as dropped."""
        return self.given - self.decided - self.dropped

    @property
    def passed(self) -> bool:
        return self.beyond_periods <= MOST_PERIODS and not self.silent


class Beside(Protocol):
    """What looks at a session while it is measured."""

    def attend(self, pipeline: Pipeline) -> None:
        """Called before the session runs."""
        ...

    def watch(self, frame: Frame, result: FrameResult) -> None:
        """Called with each decided frame."""
        ...


class PacedSource:
    """Frames in memory, over and over, at a camera's rate.

    :param continuous: they follow one another: a stage drives on to the last, and back.
    """

    uri = "memory:"
    live = True

    def __init__(self, pictures: Sequence[Pixels], fps: float, seconds: float, continuous: bool = False) -> None:
        self.given = 0
        self.continuous = continuous
        self._pictures = pictures
        self._period_ns = round(1e9 / fps)
        self._frames = round(fps * seconds)
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """Yield each at its time, which is its capture time."""
        began_ns = time.monotonic_ns()
        for index in range(self._frames):
            due_ns = began_ns + index * self._period_ns
            self._closed.wait(max(0, due_ns - time.monotonic_ns()) / 1e9)
            if self._closed.is_set():
                return
            self.given += 1
            yield Frame(self._pictures[self._place(index)], index, due_ns, self.uri)

    def _place(self, index: int) -> int:
        last = len(self._pictures) - 1
        if not self.continuous or not last:
            return index % len(self._pictures)
        return last - abs(last - index % (2 * last))

    def close(self) -> None:
        self._closed.set()


def measure(
    pictures: Sequence[Pixels],
    engine: Engine,
    session: Session,
    *,
    size: tuple[int, int],
    fps: float,
    seconds: float,
    beside: Beside | None = None,
) -> Freshness:
    """Run the pipeline on a camera of this size and rate.

    :param pictures: (height, width, 3) uint8 BGR each; brought to ``size``, width and height. In mode ``slide`` they
        follow one another.
    :param beside: who else looks at the session, if anybody.
    """
    sized = [cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR) for picture in pictures]
    source = PacedSource(sized, fps, WARM_UP_S + seconds, session.mode == "slide")
    first = round(fps * WARM_UP_S)
    early = cells = 0
    ages_ns: list[int] = []

    def watch(frame: Frame, result: FrameResult) -> None:
        nonlocal early, cells
        if frame.index < first:
            early += 1
        else:
            cells += len(result.cells)
            ages_ns.append(result.decided_ns - frame.time_ns)
        if beside is not None:
            beside.watch(frame, result)

    pipeline = Pipeline(source, engine, [], session, watch=watch)
    if beside is not None:
        beside.attend(pipeline)
    outcome = pipeline.run()
    stages = outcome.summary.stages
    return Freshness(
        given=source.given - first,
        decided=len(ages_ns),
        dropped=outcome.summary.dropped - (first - early),
        cells=cells,
        fps=round(len(ages_ns) / seconds, 2),
        period_ms=1000 / fps,
        age_ms=percentiles_ms(ages_ns, (50, 90, 99)),
        engine_ms={name: stages["classify"][name] for name in ("p50", "p99")},
        stages=stages,
    )
