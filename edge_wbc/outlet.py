"""Carries results to one sink in a thread of its own, so that no sink can hold up the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from edge_wbc.channel import Channel
from edge_wbc.errors import EdgeWbcError, OutputFailed
from edge_wbc.metrics import Stages
from edge_wbc.sinks.base import Sink
from edge_wbc.types import CountedCell, Differential, FrameResult, Refused, Session, Summary

WAITING_RESULTS = 1024
"""Frames' results that may wait for a sink; when it is full the pipeline waits, and a live source drops frames."""
WAITING_PICTURES = 8
"""The same where each holds a whole frame."""


class Outlet:
    """A sink with its queue and thread. A sink that fails gets nothing more; its error is kept."""

    def __init__(self, sink: Sink, stages: Stages, notice: Callable[[str], None], live: bool = False) -> None:
        """
        :param live: a sink of pictures that is too slow leaves some out, rather than have frames dropped.
        """
        self.sink = sink
        self.pictures = bool(getattr(sink, "pictures", False))
        self.error: EdgeWbcError | None = None
        self._stages = stages
        self._notice = notice
        self._results: Channel[FrameResult | Refused | tuple[CountedCell, ...]] = (
            Channel(WAITING_PICTURES, latest=live) if self.pictures else Channel(WAITING_RESULTS)
        )
        self._end: tuple[Differential, Summary] | None = None
        self._crash: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"edge-wbc {sink.uri}", daemon=True)

    def open(self, session: Session) -> None:
        """:raises EdgeWbcError: the sink can't be opened."""
        try:
            self.sink.open(session)
        except BaseException:
            self.sink.close()
            raise
        self._thread.start()

    def put(self, *items: FrameResult | Refused | tuple[CountedCell, ...]) -> None:
        """Give the sink frames, or the cells that were counted after the last one."""
        self._results.put(*items)

    def finish(self, differential: Differential, summary: Summary) -> None:
        """Let the sink deliver what waits, then the differential; returns at once."""
        self._end = (differential, summary)
        self._results.end()

    @property
    def working(self) -> bool:
        return self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the sink has finished."""
        self._thread.join(seconds)

    def join(self, deadline: float) -> None:
        """Wait until the sink has finished, and give up at ``deadline`` on the monotonic clock."""
        self.wait(max(0.0, deadline - time.monotonic()))
        if self._crash is not None:
            raise self._crash
        if self._thread.is_alive() and self.error is None:
            self._fail(OutputFailed(f"{self.sink.uri}: did not finish in time; its last results may be missing"))

    def close(self) -> None:
        self._results.end()
        self._thread.join(1.0)
        try:
            self.sink.close()
        except EdgeWbcError as error:  # the others are still to be closed
            if self.error is None:
                self._fail(error)

    def report(self) -> Mapping[str, Any]:
        report = dict(self.sink.report())
        if self.pictures:
            report["left_out"] = self._results.dropped
        return report | {"error": str(self.error)} if self.error else report

    def _run(self) -> None:
        try:
            while (item := self._results.get()) is not None:
                with self._stages.time(f"sink {self.sink.uri.partition(':')[0]}"):
                    self._give(item)
            if self._end is not None:
                self.sink.finish(*self._end)
            for line in self.sink.report().get("notices", ()):
                self._notice(line)
        except EdgeWbcError as error:
            self._fail(error)
        except BaseException as error:
            self._crash = error
            self._results.end()

    def _give(self, item: FrameResult | Refused | tuple[CountedCell, ...]) -> None:
        if isinstance(item, Refused):
            self.sink.refused(item)
        elif isinstance(item, FrameResult):
            self.sink.frame(item)
        else:
            self.sink.last(item)

    def _fail(self, error: EdgeWbcError) -> None:
        self.error = error
        self._notice(str(error))
        self._results.end()
