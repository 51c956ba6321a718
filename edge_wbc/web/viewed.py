"""What viewers cost a session: the same camera, alone and with pages open, in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_wbc.bench.live import Freshness, measure
from edge_wbc.engines.base import Engine
from edge_wbc.pipeline import Pipeline
from edge_wbc.types import Frame, FrameResult, Pixels, Session
from edge_wbc.web.live_desk import Desk
from edge_wbc.web.live_parent import pages
from edge_wbc.web.live_state import summary_state
from edge_wbc.web.live_view import LiveView

VIEWERS = 3
"""Besides the one that reads at 10 kB/s."""
MOST_FRAMES_LOST = 0.05


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


@contextmanager
def viewers(view: LiveView) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The pages beside this process with viewers in one of their own; gives that one, and the pages' process id."""
    desk = Desk({}, "", None, recorded=False)
    with (
        tempfile.TemporaryDirectory(prefix="edge-wbc-bench-") as place,
        pages(Path(place), {"host": "127.0.0.1", "port": 0, "users": f"{place}/users"}, view, desk, _silent) as beside,
    ):
        command = [sys.executable, "-m", "edge_wbc.web.viewers", beside.url, str(VIEWERS)]
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


def memory_bytes(pid: int) -> int:
    """Resident memory of a process; 0 where the system does not tell."""
    try:
        pages_ = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages_ * os.sysconf("SC_PAGE_SIZE")


def _silent(line: str) -> None:
    """Nobody reads notices here."""
