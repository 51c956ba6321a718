"""From a source to frames that were looked at: a live source is read in a thread of its own, looking in another.

    live source ──▶ newest frame ─┐
    video file  ──▶ judged frames ├─▶ look ──▶ queue
    images ───────────────────────┘

While nothing is to be counted a live source's frames are judged, located and shown, and go no further; a source of
which no frame may be lost waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from edge_wbc.channel import Channel
from edge_wbc.errors import EdgeWbcError
from edge_wbc.gate import PAUSED, WAITING, Gate
from edge_wbc.looking import Looked, Looking
from edge_wbc.metrics import Mark, Stages
from edge_wbc.sources.base import Source
from edge_wbc.types import Frame, FrameResult, Refused

WAITING_FRAMES = 4
"""Frames of a file source that may wait for the engine."""
TOGETHER = 4
"""Frames of a file source that go to the engine at once: fewer hand-overs, and latency is not what matters there."""
FEW, MANY = 2, 4
"""Images that follow no others are located by either thread, so that none waits for the other: with fewer than this
waiting for the engine's thread it has time to locate them as well; from so many on the reading one judges them too."""


class Intake:
    """The threads before the engine's. ``end`` from any thread."""

    def __init__(
        self,
        source: Source,
        looking: Looking,
        gate: Gate,
        mode: str,
        limit: int | None,
        stages: Stages,
        notice: Callable[[str], None],
        show: Callable[[Frame, FrameResult], None] | None,
        mark: Mark,
    ) -> None:
        """
        :param mode: of the session.
        :param limit: take this many frames at most.
        :param show: called, by the thread that looks, with each frame that goes no further.
        """
        self._source = source
        self._looking = looking
        self._gate = gate
        self._limit = limit
        self._stages = stages
        self._notice = notice
        self._show = show
        self._mark = mark
        self.limited = False
        """Whether it ended because so many frames were taken."""
        self.error: EdgeWbcError | None = None
        """What ended the source before its time."""
        self._crash: BaseException | None = None
        self._apart = source.live or mode == "slide"
        self._lossless = not source.live or getattr(source, "lossless", False)
        self._read_ahead: Channel[Looked | Refused] = Channel(1 if source.live else TOGETHER, latest=not self._lossless)
        self._looked: Channel[Looked | Refused] = Channel(1 if source.live else WAITING_FRAMES)
        self._together = 1 if source.live else TOGETHER
        self._over = threading.Event()
        self._missed, self._missed_idle = 0, 0
        stages_apart: list[tuple[Callable[[], None], Channel[Any]]] = [(self._look, self._looked)]
        if self._apart:  # images wait for whoever reads them: no thread of its own, and one less to switch to
            stages_apart.insert(0, (self._read, self._read_ahead))
        self._threads = [
            threading.Thread(target=self._guard, args=stage, name=f"edge-wbc {stage[0].__name__}", daemon=True)
            for stage in stages_apart
        ]

    @property
    def dropped(self) -> int:
        """Frames that a live source gave too quickly, while they were to be counted."""
        return self._read_ahead.dropped - self._missed_idle

    @property
    def over(self) -> bool:
        """Whether it was told to end."""
        return self._over.is_set()

    def start(self) -> None:
        """Does nothing where that was done."""
        for thread in self._threads:
            if thread.ident is None:
                thread.start()

    def check(self) -> None:
        """Raise what no stage may end by: a bug."""
        if self._crash is not None:
            raise self._crash

    def get(self) -> Looked | Refused | None:
        """The next frame, once some have come together; None after the last one."""
        item = self._looked.get(self._together)
        return None if item is None else self._rest(item)

    def get_waiting(self) -> Looked | Refused | None:
        """The next frame if one is there already."""
        item = self._looked.get_waiting()
        return None if item is None else self._rest(item)

    def end(self) -> None:
        """Take no more frames from the source; those taken are still given."""
        self._over.set()
        self._gate.end()
        self._read_ahead.end()

    def close(self) -> None:
        """Give nothing more."""
        self._looked.end()

    def join(self, timeout_s: float) -> None:
        """Wait so long for each thread; a driver that hangs is left behind."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout_s)

    def _guard(self, work: Callable[[], None], channel: Channel[Any]) -> None:
        """Run a stage; whatever ends it, the next stage learns that nothing more comes."""
        try:
            work()
        except EdgeWbcError as error:
            self.error = error
            self._notice(str(error))
        except BaseException as error:
            self._crash = error
        finally:
            channel.end()
            if channel is self._looked and self._gate.phase == WAITING:
                self._gate.end()  # nothing to begin with

    def _given(self) -> Iterator[Looked | Refused]:
        """What the source gives, until it ends or the session is stopped."""
        if self._lossless:
            self._gate.wait()
        started = time.perf_counter_ns()
        for item in self._source.frames():
            self._stages.add("read", time.perf_counter_ns() - started)
            if self._lossless:
                self._gate.wait()
            if self._over.is_set():
                return
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
        taken = 0
        for item in items:
            if self._is_idle():
                self._glance(item)
                continue
            self._looked.put(item if isinstance(item, Refused) else self._first_part(item))
            taken += 1
            if taken == self._limit:
                self.limited = True
                break
        self._read_ahead.end()

    def _is_idle(self) -> bool:
        """Whether the next frame is only shown; what was missed before it then does not count either."""
        idle = not self._lossless and not self._gate.counts
        missed, self._missed = self._missed, self._read_ahead.dropped
        self._missed_idle += (self._missed - missed) if idle else 0
        return idle

    def _glance(self, item: Looked | Refused) -> None:
        if isinstance(item, Refused) or self._show is None:
            return
        item = self._looking.glanced(item, following=self._gate.phase == PAUSED)
        decided_ns = time.monotonic_ns()
        self._show(item.frame, FrameResult(item.frame.ref, (), (), (), decided_ns, item.seen.again, item.rejected))

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
