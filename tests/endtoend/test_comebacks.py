"""A real pipeline and a real RTSP server that die under a running session, which goes on."""

from __future__ import annotations

import itertools
import signal
import statistics
from collections.abc import Callable

import pytest

from edge_wbc.pipeline import Outcome
from tests import comebacks
from tests.comebacks import Watched, kill_pipeline, kill_server
from tests.gst import RtspServer, needs_gstreamer

KILLS = 3


@needs_gstreamer
@pytest.mark.parametrize("what", ["pipeline", "rtsp server"])
def test_the_session_goes_on_within_two_seconds(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comebacks, "MOST_AWAY_S", 0.3)
    run: Callable[[], tuple[list[float], Outcome, Watched]] = {
        "pipeline": lambda: kill_pipeline(KILLS),
        "rtsp server": lambda: kill_server(RtspServer(), KILLS),
    }[what]
    times, outcome, watched = run()
    assert len(times) == KILLS
    assert statistics.median(times) < 2
    assert outcome.error is None
    assert watched.source.restarts == KILLS
    assert watched.source.lost_s > 0
    indices = [result.frame.index for result in watched.results]
    assert all(a < b for a, b in itertools.pairwise(indices)), "indices go on"
    cells = [cell.number for result in watched.results for cell in result.counted]
    assert cells == list(range(1, len(cells) + 1)), "counts go on"
    assert outcome.summary.cells == outcome.summary.frames == len(cells)
    lost = [line for line in watched.told if line.endswith("; opening it again")]
    back = [line for line in watched.told if "frames again after" in line]
    assert len(lost) == len(back) == KILLS


@needs_gstreamer
def test_a_pipeline_that_stalls_is_started_again() -> None:
    _, outcome, watched = kill_pipeline(1, signal.SIGSTOP)
    assert outcome.error is None
    assert watched.source.restarts == 1
    assert watched.told[0].endswith(": no frame for 3 s; opening it again")
