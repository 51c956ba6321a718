"""From frames to results: looking and classifying each in a thread, every sink and a live source in one of its own.

    source ──▶ intake: read, look ──▶ queue ──▶ crop, classify, count ──▶ a queue a sink ──▶ sinks

A live source keeps only its newest frame and what it skips is counted; a file source loses nothing. Ctrl-C, the end
of the source and a fatal error end a session the same way: no new frames, what was seen is decided, sinks finish.
Before it is told to begin, and in pauses, frames of a live source are only shown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2

from edge_wbc.classify import LARGEST_BATCH
from edge_wbc.counting import Counting, EachCell, EachFrame
from edge_wbc.deciding import Deciding
from edge_wbc.engines.base import Engine
from edge_wbc.errors import EdgeWbcError, UsageError
from edge_wbc.gate import OVER, WAITING, Gate
from edge_wbc.intake import Intake
from edge_wbc.looking import Looked, Looking
from edge_wbc.metrics import Mark, Stages, percentiles_ms, unmarked
from edge_wbc.outlet import Outlet
from edge_wbc.records import beginning_now
from edge_wbc.sinks.base import EventSink, Sink
from edge_wbc.sources.base import Source
from edge_wbc.types import Differential, Frame, FrameResult, Refused, Session, Summary
from edge_wbc.vision.mosaic import Mosaic
from edge_wbc.vision.slide_map import SlideMap

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
    session: Session | None
    """As it began; None if it never did."""


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
        waiting: bool = False,
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
        :param waiting: it begins when told to: see `begin`.
        :param notice: called with one line for whatever the user should know at once.
        :param watch: called after each decided frame, in the thread that runs ``run``; and, in the one that looks, with
            each frame of a live source that comes before the session begins or in a pause.
        :param mark: told when frames leave each stage, up to their hand-over to sinks, and each wait between.
        """
        self._source = source
        self._session = session
        self._watched = watch is not None
        self._notice = notice
        self._mark = mark
        self._stages = Stages()
        self._gate = Gate()
        self._outlets = [Outlet(sink, self._stages, notice, source.live) for sink in sinks]
        self._stopped = threading.Event()
        self._waits = waiting or button
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
        looking = Looking(self._counting, self._stages, session.mode, source.continuous, mark)
        self._intake = Intake(source, looking, self._gate, session.mode, limit, self._stages, notice, watch, mark)

    @property
    def phase(self) -> str:
        """As in `gate`: waiting, starting, running, paused or over."""
        return self._gate.phase

    @property
    def session(self) -> Session:
        """As it began; before that, as it was given."""
        return self._session

    def begin(self, until: int | None = None) -> bool:
        """Let a session begin that waits for it; from any thread. Returns whether one did.

        :param until: in place of the one given before.
        """
        if self._gate.phase == WAITING and until is not None:
            self._deciding.until = until
        return self._gate.begin()

    def pause(self) -> bool:
        """Count nothing until `resume`, from any thread. A live source is shown meanwhile, and in mode ``slide`` still
        followed, so that cells count once wherever the stage goes; another waits. Returns whether it ran."""
        return self._gate.pause()

    def resume(self) -> bool:
        """Go on after a pause. Returns whether there was one."""
        return self._gate.resume()

    def stop(self) -> None:
        """End the session early; ``run`` then returns within 2 s with everything seen so far delivered."""
        self._stopped.set()
        self.end()

    def end(self) -> None:
        """Take no more frames, and end as at the end of the source: sinks take the time they need."""
        self._intake.end()

    def status(self) -> Summary:
        """Where the session stands; from any thread, at any time."""
        return self._summary(self._deciding.tally.differential())

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
            if self._waits:
                self._wait(opened)
            if self._gate.phase == OVER:
                return self._outcome(began=False)
            for outlet in self._outlets:
                if outlet not in opened:
                    outlet.open(self._session)
                    opened.append(outlet)
            return self._run()
        finally:
            self.stop()
            self._source.close()
            self._intake.close()
            for outlet in opened:
                outlet.close()
            self._intake.join(LEAVE_S)

    def _wait(self, opened: list[Outlet]) -> None:
        """Until the session is to begin, or is over without.

        :param opened: takes the instruments that are opened for their buttons.
        :raises UsageError: no instrument is there that has one.
        """
        if self._button:
            if not self._instruments:
                raise UsageError("no output has a button; add the instrument by --to serial:///dev/ttyACM0")
            for outlet in self._instruments:
                outlet.open(self._session)
                opened.append(outlet)
            self._notice("waiting for the instrument's button")
        if self._watched:
            self._intake.start()
        self._gate.wait_begun()
        self._session = beginning_now(self._session)

    def _hear(self, event: str) -> None:
        self._notice(f"instrument: {event.replace('_', ' ')}")
        if not self._button:
            return
        if self._gate.phase == WAITING:
            if event in STARTING:
                self.begin()
        elif event in ENDING:
            self.end()

    def _run(self) -> Outcome:
        self._gate.begin()
        self._gate.open()
        self._intake.start()
        self._classify()
        self._intake.check()
        how = self._how()
        if counted := self._deciding.finish():
            for outlet in self._outlets:
                outlet.put(counted)
        differential = self._deciding.tally.differential()
        self._gate.end()
        summary = self._summary(differential, how)
        for outlet in self._outlets:
            outlet.finish(differential, summary)
        for outlet in self._outlets:
            while outlet.working and not self._stopped.is_set():
                outlet.wait(LOOK_S)
        deadline = time.monotonic() + INTERRUPTED_FINISH_S
        for outlet in self._outlets:
            outlet.join(deadline)
        return self._outcome(began=True, how=how)

    def _outcome(self, *, began: bool, how: str = "") -> Outcome:
        self._intake.check()
        summary = self._summary(self._deciding.tally.differential(), how or self._how())
        failed = tuple(outlet.error for outlet in self._outlets if outlet.error is not None)
        return Outcome(summary, self._intake.error, failed, self._session if began else None)

    def _how(self) -> str:
        """What ended the session, as `Summary.ended` has it."""
        if self._stopped.is_set():
            return "stopped"
        if self._deciding.enough:
            return "cells"
        if self._intake.error is not None:
            return str(self._intake.error)
        if self._intake.over:
            return "asked"
        return "limit" if self._intake.limited else "source"

    def _classify(self) -> None:
        while not self._deciding.enough and (item := self._intake.get()) is not None:
            batch = [item]
            while _cells_in(batch) < LARGEST_BATCH and (more := self._intake.get_waiting()) is not None:
                batch.append(more)
            self._decide(batch)
        if self._deciding.enough:
            self.end()
            self._intake.close()

    def _decide(self, batch: Sequence[Looked | Refused]) -> None:
        told = self._deciding.decide(batch)
        for outlet in self._outlets:
            outlet.put(*(_with_picture(*each) if outlet.pictures else each.result for each in told))

    def _summary(self, differential: Differential, ended: str = "") -> Summary:
        counts, seconds = self._deciding.counts, self._gate.seconds
        return Summary(
            frames=counts.frames,
            dropped=self._intake.dropped,
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
