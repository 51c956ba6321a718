"""What viewers cost a session: the same camera, alone and with pages open, in turn."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from edge_wbc.bench.live import Freshness, measure
from edge_wbc.engines.base import Engine
from edge_wbc.errors import EnvironmentMissing
from edge_wbc.pipeline import Pipeline
from edge_wbc.sources.base import open_source
from edge_wbc.types import Frame, FrameResult, Pixels, Session
from edge_wbc.web.live_desk import Desk
from edge_wbc.web.live_parent import pages
from edge_wbc.web.live_state import summary_state
from edge_wbc.web.live_view import LiveView

VIEWERS = 3
"""Besides the one that reads at 10 kB/s."""
MOST_FRAMES_LOST = 0.05
VIEWS_A_SECOND = 8
"""That an open page takes of a running session."""
QUARTERS = 4
SAMPLED_S, FRAME_S = 0.5, 0.001
"""How often memory is looked at, and a frame given, where nobody waits for a camera."""


@dataclass(frozen=True, slots=True)
class Round:
    """One camera run alone, and one with viewers."""

    alone: Freshness
    viewed: Freshness
    viewers: Sequence[Mapping[str, int]]
    """What each got; the slow one last."""
    pages_s: float
    """Processor time of the pages' process."""

    @property
    def frames(self) -> float:
        """Frames decided with viewers ÷ alone."""
        return self.viewed.decided / max(1, self.alone.decided)

    @property
    def age(self) -> float:
        """99th percentile of the age of a frame when it is decided, with viewers ÷ alone."""
        return self.viewed.age_ms["p99"] / self.alone.age_ms["p99"]


@dataclass(frozen=True, slots=True)
class Endured:
    """What a day of viewing left behind."""

    views: int
    viewers: Sequence[Mapping[str, int]]
    """What each got; the slow one last."""
    session_mb: tuple[float, ...]
    """Resident memory of the session's process, the median of each quarter."""
    pages_mb: tuple[float, ...]
    """The same of the pages' process."""

    @property
    def growth(self) -> float:
        """Of either, the larger, from the second quarter to the last; the first fills what is kept."""
        return max(quarters[-1] / max(quarters[1], 1e-9) - 1 for quarters in (self.session_mb, self.pages_mb))


class _Shown:
    """A session as ``run --serve`` shows it."""

    def __init__(self) -> None:
        self._pipeline: Pipeline | None = None
        self.view = LiveView(lambda: {"phase": "running"}, self._figures)

    def attend(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def watch(self, frame: Frame, result: FrameResult) -> None:
        self.view.watch(frame, result)

    def _figures(self) -> dict[str, Any] | None:
        return None if self._pipeline is None else summary_state(self._pipeline.status())


def compare(
    pictures: Sequence[Pixels],
    engine: Engine,
    session: Session,
    *,
    size: tuple[int, int],
    fps: float,
    seconds: float,
    viewed_first: bool,
) -> Round:
    """One round; parameters as of `measure`.

    :param viewed_first: which of the two comes first, so that drift hits both alike over the rounds.
    """
    alone = None if viewed_first else measure(pictures, engine, session, size=size, fps=fps, seconds=seconds)
    shown = _Shown()
    with viewers(shown.view) as (process, pid):
        before_s = processor_s(pid)
        viewed = measure(pictures, engine, session, size=size, fps=fps, seconds=seconds, beside=shown)
        pages_s = processor_s(pid) - before_s
        got, _ = process.communicate("")
    if alone is None:
        alone = measure(pictures, engine, session, size=size, fps=fps, seconds=seconds)
    return Round(alone, viewed, json.loads(got), pages_s)


def endure(views: int, advance: Callable[[int], object]) -> Endured:
    """So many views for one open page and one that reads at 10 kB/s, as fast as they are taken.

    :param advance: told how many were sent.
    """
    view = LiveView(lambda: {"phase": "running"}, lambda: None, paced=False)
    frames = [(frame, FrameResult(frame.ref, (), (), (), frame.time_ns)) for frame in _fields()]
    samples: list[tuple[int, float, float]] = []
    sampled = 0.0
    with viewers(view, 1) as (process, pid):
        for frame, result in itertools.cycle(frames):
            if view.sent >= views:
                break
            view.watch(frame, result)
            if process.poll() is not None:
                raise EnvironmentMissing("the viewers' process has ended; see what it said above")
            if time.monotonic() - sampled >= SAMPLED_S:
                sampled = time.monotonic()
                samples.append((view.sent, memory_mb(os.getpid()), memory_mb(pid)))
                advance(view.sent)
            time.sleep(FRAME_S)
        got, _ = process.communicate("")
    quarters = [[one for one in samples if one[0] * QUARTERS // views == quarter] for quarter in range(QUARTERS)]
    session, pages_ = (
        tuple(round(median(one[which] for one in quarter), 1) if quarter else 0.0 for quarter in quarters)
        for which in (1, 2)
    )
    return Endured(views, json.loads(got), session, pages_)


def _fields() -> list[Frame]:
    found = open_source("smear://?seed=1&cells=20").frames()
    return [frame for frame in found if isinstance(frame, Frame)]


@contextmanager
def viewers(view: LiveView, count: int = VIEWERS) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The pages beside this process with viewers in one of their own; gives that one, and the pages' process id."""
    desk = Desk({}, "", None, recorded=False)
    with (
        tempfile.TemporaryDirectory(prefix="edge-wbc-bench-") as place,
        pages(Path(place), {"host": "127.0.0.1", "port": 0, "users": f"{place}/users"}, view, desk, _silent) as beside,
    ):
        command = [sys.executable, "-m", "edge_wbc.web.viewers", beside.url, str(count)]
        # Who views sits at another computer: these take what the session and the pages leave of this one.
        command = ["nice", "-n", "19", *command]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        time.sleep(1.0)  # they have logged in
        try:
            yield process, beside.process.pid
        finally:
            process.kill()
            process.communicate()


def processor_s(pid: int) -> float:
    """Processor time of a process so far; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident memory of a process; 0 where the system does not tell."""
    try:
        pages_ = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages_ * os.sysconf("SC_PAGE_SIZE") / 1e6


def _silent(line: str) -> None:
    """Nobody reads notices here."""
