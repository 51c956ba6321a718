"""How soon frames are back after a real pipeline or RTSP server was killed under a running session.

    python -m tests.comebacks [KILLS]

Prints, for each, the median and the worst time to the first decided frame: for the pipeline from its kill, or from
when it was stopped and hung (of which 3 s are the supervisor's patience); for the server from when it serves again
after having been away for up to 3 s.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from edge_wbc.cli.session import new_session
from edge_wbc.engines.base import open_engine
from edge_wbc.manifest import load_model
from edge_wbc.pipeline import Outcome, Pipeline
from edge_wbc.sources.base import Source, open_source
from edge_wbc.sources.gst_child import GStreamer
from edge_wbc.supervisor import Patience, Supervised
from edge_wbc.types import Frame, FrameResult
from tests.gst import RtspServer

BALL = (
    "gst://videotestsrc is-live=true pattern=ball background-color=0xffd8c8e8 foreground-color=0xff6030a0"
    " ! video/x-raw,width=320,height=240,framerate=30/1"
)
"""As bright and as coloured as a stained field: a frame that can't be judged has no cell."""
MOST_AWAY_S = 3.0
DEADLINE_S = 30.0


class Watched:
    """A session over a source that is killed again and again."""

    def __init__(self, uri: str, kills: int) -> None:
        self._newest: GStreamer | None = None
        self._changed = threading.Condition()
        self.told: list[str] = []
        self.results: list[FrameResult] = []
        self.source = Supervised(self._open, uri, self.told.append, replace(Patience(), losses=kills))

    def _open(self, uri: str) -> Source:
        source = open_source(uri)
        assert isinstance(source, GStreamer)
        self._newest = source
        return source

    def kill_child(self, by: signal.Signals = signal.SIGKILL) -> float:
        """Returns when, on the clock ``time.monotonic``."""
        assert self._newest is not None
        assert self._newest.child_pid is not None
        os.kill(self._newest.child_pid, by)
        return time.monotonic()

    def _see(self, frame: Frame, result: FrameResult) -> None:
        with self._changed:
            self.results.append(result)
            self._changed.notify_all()

    def wait_for_frame(self, restarts: int) -> float:
        """When a frame was decided after so many restarts."""
        with self._changed:
            seen = len(self.results)
            assert self._changed.wait_for(
                lambda: len(self.results) > seen and self.source.restarts >= restarts, DEADLINE_S
            ), f"no frame; {self.told[-3:]}"
            return time.monotonic()

    def run(self, drive: Callable[[], list[float]]) -> tuple[list[float], Outcome]:
        """Run the session while ``drive`` kills; its times and the session's outcome."""
        engine = open_engine("openvino", load_model(), threads=1)
        session = new_session(self.source.uri, "cell", engine)
        pipeline = Pipeline(self.source, engine, [], session, notice=self.told.append, watch=self._see)
        times: list[float] = []

        def driver() -> None:
            try:
                times.extend(drive())
            finally:
                pipeline.stop()

        thread = threading.Thread(target=driver)
        thread.start()
        outcome = pipeline.run()
        thread.join()
        engine.close()
        return times, outcome


def kill_pipeline(kills: int, by: signal.Signals = signal.SIGKILL) -> tuple[list[float], Outcome, Watched]:
    """Seconds from each signal to the child to the next decided frame; SIGSTOP makes it stall."""
    watched = Watched(BALL, kills)

    def drive() -> list[float]:
        times = []
        watched.wait_for_frame(0)
        for kill in range(1, kills + 1):
            killed = watched.kill_child(by)
            times.append(watched.wait_for_frame(kill) - killed)
        return times

    return *watched.run(drive), watched


def kill_server(server: RtspServer, kills: int, seed: int = 1) -> tuple[list[float], Outcome, Watched]:
    """Seconds from when the server serves again to the next decided frame."""
    away = random.Random(seed)
    server.start()
    watched = Watched(server.uri, kills)

    def drive() -> list[float]:
        times = []
        watched.wait_for_frame(0)
        for kill in range(1, kills + 1):
            server.kill()
            time.sleep(away.uniform(0, MOST_AWAY_S))
            server.start()
            back = time.monotonic()
            times.append(watched.wait_for_frame(kill) - back)
        return times

    try:
        return *watched.run(drive), watched
    finally:
        server.kill()


def main(kills: int) -> None:
    for name, (times, outcome, watched) in (
        ("pipeline", kill_pipeline(kills)),
        ("stalled pipeline", kill_pipeline(kills, signal.SIGSTOP)),
        ("rtsp server", kill_server(RtspServer(), kills)),
    ):
        sys.stdout.write(
            f"{name}: {kills} kills, frames again after p50 {statistics.median(times):.2f} s, worst {max(times):.2f} s;"
            f" {outcome.summary.frames} frames, {watched.source.restarts} restarts,"
            f" {watched.source.lost_s:.1f} s lost\n"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
