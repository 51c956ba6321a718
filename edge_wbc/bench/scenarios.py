"""One run of the whole pipeline, from frames to an instrument, under the rules of MLPerf Inference's scenarios.

- single-stream: one frame in flight. The next is captured when the results of the last are acknowledged, or when it is
  decided where it has none. The 90th percentile is what MLPerf reports of it.
- offline: all frames are there at once, as files; what counts is how many a second.
- fixed-rate: a camera takes a frame at each tick of a clock, whether or not the last is done; a frame that is not taken
  before the next is dropped, and counted. MLPerf's server scenario draws the ticks at random; a camera does not.

Frames of the first and the last are in memory, as a camera's driver gives them. The instrument is simulated, in a
process of its own behind a pseudo-terminal that is as slow as a line of ``BAUD``.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from edge_wbc.bench.instrument import simulated_instrument
from edge_wbc.bench.live import PacedSource
from edge_wbc.bench.power import PowerMeter
from edge_wbc.bench.run_delay import RunDelay
from edge_wbc.bench.trail import Delivery, Journey, Trail
from edge_wbc.engines.base import Engine
from edge_wbc.errors import OutputFailed, SourceError
from edge_wbc.pipeline import Pipeline
from edge_wbc.sinks.instrument import InstrumentSink
from edge_wbc.sources.base import Source
from edge_wbc.sources.files import ImageFiles
from edge_wbc.types import Frame, Pixels, Session

BAUD = 115200
STALL_S = 10.0
"""Without an acknowledgement for so long a run has failed."""
EARLY_S = 0.5
"""Of a run at a fixed rate or of a single stream, what is not kept: caches and clocks settle."""


@dataclass(frozen=True, slots=True)
class Run:
    """What became of the frames that are kept."""

    decided: list[Journey]
    """Of each frame, from its capture to its decision."""
    acknowledged: list[Journey]
    """Of each result, from its frame's capture to when the instrument's acknowledgement was read."""
    given: int
    dropped: int
    cells: int
    seconds: float
    """From the first capture to the last acknowledgement, or decision."""
    power_mw: dict[str, float] = field(default_factory=dict)


class TurnSource:
    """Frames in memory, over and over, each captured when its turn has come."""

    uri = "memory:"
    live = True
    continuous = False

    def __init__(self, pictures: Sequence[Pixels], seconds: float, stall_s: float = STALL_S) -> None:
        self.given = 0
        self._pictures = pictures
        self._seconds = seconds
        self._stall_s = stall_s
        self._turn = threading.Semaphore()
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """:raises SourceError: a turn did not come."""
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            if not self._turn.acquire(timeout=self._stall_s):
                raise SourceError(f"nothing was acknowledged for {self._stall_s:g} s; look at the instrument")
            if self._closed:
                return
            pixels = self._pictures[self.given % len(self._pictures)]
            self.given += 1
            yield Frame(pixels, self.given - 1, time.monotonic_ns(), self.uri)

    def next(self, _: int = 0) -> None:
        """The next frame's turn has come."""
        self._turn.release()

    def close(self) -> None:
        self._closed = True
        self.next()


def single_stream(pictures: Sequence[Pixels], engine: Engine, session: Session, seconds: float) -> Run:
    """One frame in flight, for so long after what is not kept.

    :param pictures: uint8 (height, width, 3) BGR each.
    :raises EdgeWbcError: a part of the pipeline failed.
    """
    source = TurnSource(pictures, EARLY_S + seconds)
    return _run(source, engine, session, EARLY_S, lambda: source.given, source.next)


def fixed_rate(pictures: Sequence[Pixels], engine: Engine, session: Session, rate: float, seconds: float) -> Run:
    """A camera of that many frames a second.

    :raises EdgeWbcError: a part of the pipeline failed.
    """
    source = PacedSource(pictures, rate, EARLY_S + seconds)
    return _run(source, engine, session, EARLY_S, lambda: source.given)


def offline(paths: Sequence[Path], engine: Engine, session: Session, frames: int) -> Run:
    """So many files, the given ones over and over; all are kept.

    :raises EdgeWbcError: a part of the pipeline failed.
    """
    source = ImageFiles("files:", list(islice(cycle(paths), frames)))
    return _run(source, engine, session, 0.0)


def _run(
    source: Source,
    engine: Engine,
    session: Session,
    early_s: float,
    given: Callable[[], int] | None = None,
    done: Callable[[int], object] = lambda frame: None,
) -> Run:
    """:param given: how many frames the source has given, where it counts them."""
    delay = RunDelay()
    trail = Trail(delay)
    with closing(delay), simulated_instrument(BAUD) as instrument:
        delivery = Delivery(InstrumentSink("serial:", instrument.port, BAUD, "none"), trail, done)
        gc.collect()
        with PowerMeter() as meter:
            outcome = Pipeline(source, engine, [delivery], session, mark=trail).run()
        total = instrument.stop()
    for error in (outcome.error, *outcome.failed_sinks):
        if error is not None:
            raise error
    summary = outcome.summary
    if total.get("applied") != summary.cells:
        raise OutputFailed(f"the instrument applied {total.get('applied')} of {summary.cells} results; report it")
    known = summary.frames + summary.dropped + summary.refused
    if given is not None and given() != known:
        raise SourceError(f"{given() - known} of {given()} frames were neither decided nor dropped; report it")
    return kept(trail, delivery, early_s, given=known, dropped=summary.dropped, power_mw=meter.mean_mw)


def kept(
    trail: Trail, delivery: Delivery, early_s: float, *, given: int, dropped: int, power_mw: dict[str, float]
) -> Run:
    """Of a run that has ended, the frames that were captured ``early_s`` after its first one or later.

    :param given: of all frames, and ``dropped``; both are told without the early ones, as their numbers in their source
        have it.
    :raises SourceError: none is kept.
    """
    captured = sorted((captured_ns, index) for index, (captured_ns, _) in delivery.decided.items())
    from_ns = captured[0][0] + round(early_s * 1e9) if captured else 0
    late = [(captured_ns, index) for captured_ns, index in captured if captured_ns >= from_ns]
    if not late:
        raise SourceError("no frame was decided; give others, or more seconds")
    first = late[0][1] if early_s else 0
    decided = [Journey(index, at_ns, trail.marks[index], delivery.decided[index][1]) for at_ns, index in late]
    times = {index: at_ns for at_ns, index in late}
    acknowledged = [
        Journey(index, times[index], trail.marks[index], at_ns)
        for index, at_ns in delivery.acknowledged
        if index in times
    ]
    early_dropped = first - (len(captured) - len(late)) if early_s else 0
    last_ns = max(one.ended_ns for one in (*decided, *acknowledged))
    seconds = (last_ns - decided[0].captured_ns) / 1e9
    return Run(decided, acknowledged, given - first, dropped - early_dropped, len(acknowledged), seconds, power_mw)
