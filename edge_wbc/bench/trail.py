"""Where a frame's time goes from its capture on: the stages it is in, and what it waits for between them."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from edge_wbc.metrics import Mark as Marking
from edge_wbc.sinks.instrument import InstrumentSink
from edge_wbc.types import CountedCell, Differential, FrameResult, Refused, Session, Summary

ACKNOWLEDGEMENT = "wait acknowledgement"
ORDER = (
    "read",
    "wait looking",
    "reduce",
    "quality",
    "locate",
    "track",
    "wait engine",
    "wait batch",
    "crop",
    "classify",
    "count",
    "hand over",
    "wait sink",
    "sink",
    ACKNOWLEDGEMENT,
)
"""Every stage and wait, as a frame meets them. An image that follows no other may be located after its wait for the
engine's thread; a frame waits for its batch before the engine and after it."""
STAGES = {
    "decode": ("read",),
    "locate": ("reduce", "quality", "locate", "track"),
    "engine": ("crop", "classify", "count", "hand over"),
    "sink": ("sink", ACKNOWLEDGEMENT),
}
"""What may bound a pipeline, and the parts of it; the instrument's line is the sink's."""

TOLD_AT_ONCE = dict.fromkeys(("wait batch", "crop", "count"), "classify")
"""Parts that are marked only when all of them are over: what was waited for a processor is known of all together."""


class Mark(NamedTuple):
    """A frame left a stage or a wait."""

    name: str
    at_ns: int
    """On the monotonic clock."""
    delayed_ns: int = 0
    """What the thread that says so waited for a processor since it spoke last."""


Marks = Sequence[Mark]


class Journey(NamedTuple):
    """A frame on its way to one end."""

    frame: int
    captured_ns: int
    marks: Marks
    ended_ns: int

    @property
    def took_ns(self) -> int:
        return self.ended_ns - self.captured_ns

    def steps(self) -> Iterable[tuple[str, int, int]]:
        """Each part with its begin and end; nothing is between them, and nothing beyond the journey's end.

        What is left after the last mark is the wait for the acknowledgement.
        """
        at_ns = self.captured_ns
        for name, left_ns, _ in (*self.marks, Mark(ACKNOWLEDGEMENT, self.ended_ns)):
            end_ns = min(max(left_ns, at_ns), self.ended_ns)
            if end_ns > at_ns:
                yield name, at_ns, end_ns
            at_ns = end_ns

    @property
    def delayed_ns(self) -> int:
        """How much of it the frame's thread could have run and waited for a processor."""
        spent: Counter[str] = Counter()
        delayed: Counter[str] = Counter()
        for name, began_ns, ended_ns in self.steps():
            spent[TOLD_AT_ONCE.get(name, name)] += ended_ns - began_ns
        for mark in self.marks:
            delayed[TOLD_AT_ONCE.get(mark.name, mark.name)] += mark.delayed_ns
        return sum(min(most, delayed[name]) for name, most in spent.items())


class Trail:
    """Keeps every mark by frame."""

    def __init__(self, delay: Callable[[], int] = lambda: 0) -> None:
        """:param delay: what the calling thread waited for a processor since it asked last, in ns."""
        self.marks: dict[int, list[Mark]] = {}
        self._delay = delay

    def __call__(self, frame: int, left: str, at_ns: int | None = None) -> None:
        mark = Mark(left, time.monotonic_ns() if at_ns is None else at_ns, self._delay())
        self.marks.setdefault(frame, []).append(mark)


class Delivery:
    """Stands before the instrument's sink: tells when frames came to it, and when their results were acknowledged."""

    def __init__(self, sink: InstrumentSink, mark: Marking, done: Callable[[int], object] = lambda frame: None) -> None:
        """:param done: called with a frame's index once all its results are acknowledged, from any thread."""
        self.uri = sink.uri
        self.decided: dict[int, tuple[int, int]] = {}
        """Capture and decision of each frame that came here, by its index."""
        self.acknowledged: list[tuple[int, int]] = []
        """Frame and time of each result."""
        self._sink = sink
        self._mark = mark
        self._done = done
        self._lock = threading.Lock()
        self._waiting: deque[int] = deque()
        self._reached = 0
        sink.acknowledged = self._heard

    def open(self, session: Session) -> None:
        self._sink.open(session)

    def frame(self, result: FrameResult) -> None:
        index = result.frame.index
        self._mark(index, "wait sink")
        self.decided[index] = (result.frame.time_ns, result.decided_ns)
        self._expect(result.counted)
        self._sink.frame(result)
        self._mark(index, "sink")
        if not result.counted:
            self._done(index)

    def refused(self, refused: Refused) -> None:
        self._sink.refused(refused)

    def last(self, counted: Sequence[CountedCell]) -> None:
        self._expect(counted)
        self._sink.last(counted)

    def finish(self, differential: Differential, summary: Summary) -> None:
        self._sink.finish(differential, summary)

    def close(self) -> None:
        self._sink.close()

    def report(self) -> Mapping[str, Any]:
        return self._sink.report()

    def _expect(self, counted: Sequence[CountedCell]) -> None:
        with self._lock:
            self._waiting.extend(one.frame.index for one in counted)

    def _heard(self, position: int) -> None:
        now_ns = time.monotonic_ns()
        whole = []
        with self._lock:
            while self._reached < position and self._waiting:
                self._reached += 1
                index = self._waiting.popleft()
                self.acknowledged.append((index, now_ns))
                if not self._waiting or self._waiting[0] != index:
                    whole.append(index)
        for index in whole:
            self._done(index)


def parts_ns(journeys: Sequence[Journey]) -> dict[str, list[int]]:
    """By part in the order of ``ORDER``, what each journey spent in it, 0 where it did not meet it: over the parts the
    sums are what the journeys took. Parts that none met are left out."""
    found: dict[str, list[int]] = {name: [0] * len(journeys) for name in ORDER}
    for place, journey in enumerate(journeys):
        for name, began_ns, ended_ns in journey.steps():
            found[name][place] += ended_ns - began_ns
    return {name: each for name, each in found.items() if any(each)}


def occupancy(journeys: Sequence[Journey]) -> dict[str, float]:
    """By name in ``STAGES``, the share of the time from the first capture to the last end in which at least one frame
    was there; empty without journeys."""
    if not journeys:
        return {}
    spans: dict[str, list[tuple[int, int]]] = {stage: [] for stage in STAGES}
    stage_of = {part: stage for stage, parts in STAGES.items() for part in parts}
    for journey in journeys:
        for name, began_ns, ended_ns in journey.steps():
            if name in stage_of:
                spans[stage_of[name]].append((began_ns, ended_ns))
    whole = max(one.ended_ns for one in journeys) - min(one.captured_ns for one in journeys)
    return {stage: _covered(each) / max(1, whole) for stage, each in spans.items()}


def _covered(spans: list[tuple[int, int]]) -> int:
    """How much of the time lies in at least one of them."""
    covered, reached = 0, -1
    for began, ended in sorted(spans):
        covered += max(0, ended - max(began, reached))
        reached = max(reached, ended)
    return covered
