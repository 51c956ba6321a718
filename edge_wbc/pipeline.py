"""From frames to results: looking and classifying each in a thread, every sink and a live source in one of its own.

    live source ──▶ newest frame ─┐
    video file  ──▶ judged frames ├─▶ look ──▶ queue ──▶ crop, classify, count ──▶ a queue a sink ──▶ sinks
    images ───────────────────────┘

A live source keeps only its newest frame and what it skips is counted; a file source loses nothing. Ctrl-C, the end
of the source and a fatal error end a session the same way: no new frames, what was seen is decided, sinks finish.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2

from edge_wbc.channel import Channel
from edge_wbc.classify import LARGEST_BATCH
from edge_wbc.counting import Counting, EachCell, EachFrame
from edge_wbc.deciding import Deciding
from edge_wbc.engines.base import Engine
from edge_wbc.errors import EdgeWbcError, UsageError
from edge_wbc.looking import Looked, Looking
from edge_wbc.metrics import Mark, Stages, percentiles_ms, unmarked
from edge_wbc.outlet import Outlet
from edge_wbc.records import starting_now
from edge_wbc.sinks.base import EventSink, Sink
from edge_wbc.sources.base import Source
from edge_wbc.types import Differential, Frame, FrameResult, Refused, Session, Summary
from edge_wbc.vision.mosaic import Mosaic
from edge_wbc.vision.slide_map import SlideMap

WAITING_FRAMES = 4
"""Frames of a file source that may wait for the engine."""
TOGETHER = 4
"""Frames of a file source that go to the engine at once: fewer hand-overs, and latency is not what matters there."""
FEW, MANY = 2, 4
"""Images that follow no others are located by either thread, so that none waits for the other: with fewer than this
waiting for the engine's thread it has time to locate them as well; from so many on the reading one judges them too."""
INTERRUPTED_FINISH_S = 1.5
"""How long sinks may take to deliver what they hold after Ctrl-C: the whole exit stays under 2 s. At the end of a
source they take what they need."""
LOOK_S = 0.1
"""How often it is looked whether the user has lost patience with a sink."""
STARTING = ("button", "sample_loaded")
"""Events of an instrument that start a session that waits for them…"""
ENDING = ("button", "sample_removed", "emergency_stop")
"""… and that end it."""
LEAVE_S = 1.0
"""How long a stage may take to end when it has been told to; a driver that hangs is left behind."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a session ended."""

    summary: Summary
    error: EdgeWbcError | None
    """What ended the source before its time."""
    failed_sinks: tuple[EdgeWbcError, ...]


class Pipeline:
    """One session over one source. ``run`` once; ``stop`` from any thread or signal handler."""

    def __init__(
        self,
        source: Source,
        engine: Engine,
        sinks: Sequence[Sink],
        session: Session,
        *,
        limit: int | None = None,
        until: int | None = None,
        button: bool = False,
        notice: Callable[[str], None] = lambda line: None,
        watch: Callable[[Frame, FrameResult], None] | None = None,
        mark: Mark = unmarked,
    ) -> None:
        """
        :param session: its ``mode`` is ``slide`` (each cell counts once, in however many frames it is), ``field`` (any
            number of cells a frame, all of which count) or ``cell`` (exactly one a frame).
        :param limit: take this many frames at most.
        :param until: end when so many leukocytes are counted. The frame that reaches the number counts whole, later
            ones not at all.
        :param button: an instrument's button, or a sample that is loaded, starts the session; the button, or the
            sample's removal, ends it. What was seen before counts.
        :param notice: called with one line for whatever the user should know at once.
        :param watch: called after each decided frame, in the thread that runs ``run``.
        :param mark: told when frames leave each stage, up to their hand-over to sinks, and each wait between.
        """
        self._source = source
        self._session = session
        self._limit = limit
        self._limited = False
        self._notice = notice
        self._mark = mark
        self._stages = Stages()
        self._apart = source.live or session.mode == "slide"
        lossless = not source.live or getattr(source, "lossless", False)
        self._read_ahead: Channel[Looked | Refused] = Channel(1 if source.live else TOGETHER, latest=not lossless)
        self._looked: Channel[Looked | Refused] = Channel(1 if source.live else WAITING_FRAMES)
        self._together = 1 if source.live else TOGETHER
        self._outlets = [Outlet(sink, self._stages, notice, source.live) for sink in sinks]
        stages: list[tuple[Callable[[], None], Channel[Any]]] = [(self._look, self._looked)]
        if self._apart:  # images wait for whoever reads them: no thread of its own, and one less to switch to
            stages.insert(0, (self._read, self._read_ahead))
        self._threads = [
            threading.Thread(target=self._guard, args=stage, name=f"edge-wbc {stage[0].__name__}", daemon=True)
            for stage in stages
        ]
        self._stopped = threading.Event()
        self._over = threading.Event()
        self._begun = threading.Event()
        self._button = button
        self._instruments: list[Outlet] = []
        for outlet in self._outlets:
            if isinstance(outlet.sink, EventSink):
                outlet.sink.hear = self._hear
                self._instruments.append(outlet)
        below = engine.model.manifest.labels.unidentified_below
        self._counting: Counting = EachCell(below) if session.mode == "slide" else EachFrame()
        self._deciding = Deciding(
            engine, self._counting, self._stages, until=until, notice=notice, watch=watch, mark=mark
        )
        self._looking = Looking(self._counting, self._stages, session.mode, source.continuous, mark)
        self._started: float | None = None
        self._error: EdgeWbcError | None = None
        self._crash: BaseException | None = None

    def stop(self) -> None:
        """End the session early; ``run`` then returns within 2 s with everything seen so far delivered."""
        self._stopped.set()
        self.end()

    def end(self) -> None:
        """Take no more frames, and end as at the end of the source: sinks take the time they need."""
        self._over.set()
        self._begun.set()
        self._read_ahead.end()

    def status(self) -> Summary:
        """Where the session stands; from any thread, at any time."""
        seconds = 0.0 if self._started is None else time.monotonic() - self._started
        return self._summary(self._deciding.tally.differential(), seconds)

    def slide(self) -> SlideMap | None:
        """Where the stage has been and which cells were counted there, in mode ``slide``; from any thread."""
        return self._counting.slide()

    def mosaic(self) -> tuple[Mosaic, SlideMap] | None:
        """A picture of what was visited in mode ``slide``. Meant for the end: frames wait meanwhile."""
        return self._counting.mosaic()

    def run(self) -> Outcome:
        """Run the session to its end.

        :raises EnvironmentMissing: a sink could not be opened; nothing was done.
        :raises OutputFailed: the same.
        """
        cv2.setNumThreads(1)  # stages overlap instead; OpenCV's own threads would only get in their way
        opened: list[Outlet] = []
        try:
            first = self._instruments if self._button else []
            for outlet in first:
                outlet.open(self._session)
                opened.append(outlet)
            if self._button:
                self._wait_for_button()
            for outlet in self._outlets:
                if outlet not in first:
                    outlet.open(self._session)
                    opened.append(outlet)
            return self._run()
        finally:
            self.stop()
            self._source.close()
            self._looked.end()
            for outlet in opened:
                outlet.close()
            for thread in self._threads:
                if thread.ident is not None:
                    thread.join(LEAVE_S)

    def _wait_for_button(self) -> None:
        """:raises UsageError: no instrument is there that has one."""
        if not self._instruments:
            raise UsageError("no output has a button; add the instrument by --to serial:///dev/ttyACM0")
        self._notice("waiting for the instrument's button")
        self._begun.wait()
        self._session = starting_now(self._session)

    def _hear(self, event: str) -> None:
        self._notice(f"instrument: {event.replace('_', ' ')}")
        if not self._button:
            return
        if not self._begun.is_set():
            if event in STARTING:
                self._begun.set()
        elif event in ENDING:
            self.end()

    def _run(self) -> Outcome:
        started = self._started = time.monotonic()
        for thread in self._threads:
            thread.start()
        self._classify()
        if self._crash is not None:
            raise self._crash
        how = self._how()
        if counted := self._deciding.finish():
            for outlet in self._outlets:
                outlet.put(counted)
        differential = self._deciding.tally.differential()
        summary = self._summary(differential, time.monotonic() - started, how)
        for outlet in self._outlets:
            outlet.finish(differential, summary)
        for outlet in self._outlets:
            while outlet.working and not self._stopped.is_set():
                outlet.wait(LOOK_S)
        deadline = time.monotonic() + INTERRUPTED_FINISH_S
        for outlet in self._outlets:
            outlet.join(deadline)
        summary = self._summary(differential, time.monotonic() - started, how)
        failed = tuple(outlet.error for outlet in self._outlets if outlet.error is not None)
        return Outcome(summary, self._error, failed)

    def _how(self) -> str:
        """What ended the session, as `Summary.ended` has it."""
        if self._stopped.is_set():
            return "stopped"
        if self._deciding.enough:
            return "cells"
        if self._error is not None:
            return str(self._error)
        if self._over.is_set():
            return "asked"
        return "limit" if self._limited else "source"

    def _guard(self, work: Callable[[], None], channel: Channel[Any]) -> None:
        """Run a stage; whatever ends it, the next stage learns that nothing more comes."""
        try:
            work()
        except EdgeWbcError as error:
            self._error = error
            self._notice(str(error))
        except BaseException as error:
            self._crash = error
        finally:
            channel.end()

    def _given(self) -> Iterator[Looked | Refused]:
        """What the source gives, until it ends or the session is stopped."""
        started = time.perf_counter_ns()
        for item in self._source.frames():
            if self._over.is_set():
                return
            self._stages.add("read", time.perf_counter_ns() - started)
            self._mark(item.index, "read")
            yield item if isinstance(item, Refused) else Looked(item)
            started = time.perf_counter_ns()

    def _read(self) -> None:
        for item in self._given():
            if not isinstance(item, Refused) and not self._source.live:
                item = self._looking.judged(item)
            if not self._read_ahead.put(item):
                return

    def _look(self) -> None:
        items: Iterator[Looked | Refused] = iter(self._read_ahead.get, None) if self._apart else self._given()
        for taken, item in enumerate(items, 1):
            self._looked.put(item if isinstance(item, Refused) else self._first_part(item))
            if taken == self._limit:
                self._limited = True
                break
        self._read_ahead.end()

    def _first_part(self, item: Looked) -> Looked:
        """As much of a frame's work as the reading thread does. Of a frame that follows no other it leaves the quality
        to the engine's thread, which has less to do; and less than that or more, as that one waits or falls behind."""
        self._mark(item.frame.index, "wait looking")
        if self._source.continuous:
            return self._looking.located(self._looking.judged(item))
        shared = not self._apart
        if shared and self._looked.waiting < FEW:
            return item
        item = self._looking.located(item)
        return self._looking.judged(item) if shared and self._looked.waiting >= MANY else item

    def _rest(self, item: Looked | Refused) -> Looked | Refused:
        """With the rest of the work done."""
        if isinstance(item, Refused):
            return item
        self._mark(item.frame.index, "wait engine")
        return self._looking.located(self._looking.judged(item))

    def _classify(self) -> None:
        while not self._deciding.enough and (item := self._looked.get(self._together)) is not None:
            batch = [self._rest(item)]
            while _cells_in(batch) < LARGEST_BATCH and (more := self._looked.get_waiting()) is not None:
                batch.append(self._rest(more))
            self._decide(batch)
        if self._deciding.enough:
            self.end()
            self._looked.end()

    def _decide(self, batch: Sequence[Looked | Refused]) -> None:
        told = self._deciding.decide(batch)
        for outlet in self._outlets:
            outlet.put(*(_with_picture(*each) if outlet.pictures else each.result for each in told))

    def _summary(self, differential: Differential, seconds: float, ended: str = "") -> Summary:
        counts = self._deciding.counts
        return Summary(
            frames=counts.frames,
            dropped=self._read_ahead.dropped,
            refused=counts.refused,
            rejected=dict(counts.rejected),
            restarts=getattr(self._source, "restarts", 0),
            lost_s=round(getattr(self._source, "lost_s", 0.0), 3),
            cells=counts.cells,
            fps=round(counts.frames / max(seconds, 1e-9), 2),
            seconds=round(seconds, 3),
            age_ms=percentiles_ms(list(counts.ages_ns), (50, 90, 99)),
            stages=self._stages.summary(),
            differential=differential,
            sinks={outlet.sink.uri: outlet.report() for outlet in self._outlets},
            ended=ended,
        )


def _with_picture(item: FrameResult | Refused, frame: Frame | None) -> FrameResult | Refused:
    return item if isinstance(item, Refused) or frame is None else replace(item, pixels=frame.pixels)


def _cells_in(batch: Sequence[Looked | Refused]) -> int:
    return sum(len(item.seen.cells) for item in batch if isinstance(item, Looked))
