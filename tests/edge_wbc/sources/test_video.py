"""Videos at their own pace: real files, and timestamps that do not go forward."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_wbc.sources.base import open_source
from edge_wbc.sources.video import Pace
from edge_wbc.types import Frame

FRAMES, FPS = 11, 25
SPAN_NS = (FRAMES - 1) * 1e9 / FPS


@pytest.fixture(params=["avi", "mp4", "mkv"])
def video(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"slide.{request.param}"
    code = cv2.VideoWriter.fourcc(*("mp4v" if request.param == "mp4" else "MJPG"))
    writer = cv2.VideoWriter(str(path), code, FPS, (128, 96))
    for number in range(FRAMES):
        writer.write(np.full((96, 128, 3), 20 * number, np.uint8))
    writer.release()
    return path


def times(text: str) -> list[int]:
    source = open_source(text)
    found = [frame.time_ns for frame in source.frames() if isinstance(frame, Frame)]
    source.close()
    assert len(found) == FRAMES
    return found


def test_at_its_pace_a_frame_comes_when_it_is_due(video: Path) -> None:
    source = open_source(f"file://{video}?pace=real")
    assert source.live
    gaps = []
    for frame in source.frames():
        assert isinstance(frame, Frame)
        gaps.append(time.monotonic_ns() - frame.time_ns)
    assert min(gaps) >= 0, "none comes before it is due"
    stamped = times(f"file://{video}?pace=real")
    assert stamped[-1] - stamped[0] == pytest.approx(SPAN_NS, rel=0.02)
    assert [b - a for a, b in itertools.pairwise(stamped)] == pytest.approx([1e9 / FPS] * (FRAMES - 1), rel=0.1)


def test_without_a_pace_nothing_waits(video: Path) -> None:
    assert not open_source(str(video)).live
    stamped = times(str(video))
    assert stamped[-1] - stamped[0] < SPAN_NS


class TestPace:
    def test_timestamps_of_the_file(self) -> None:
        pace = Pace(25)
        assert [pace.due_ns(at, 7) for at in (100, 140, 200)] == [7, 40_000_007, 100_000_007]

    def test_a_file_without_timestamps_has_its_rate(self) -> None:
        pace = Pace(50)
        assert [pace.due_ns(0, 0) for _ in range(4)] == [0, 20_000_000, 40_000_000, 60_000_000]

    @pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), 1e9])
    def test_a_file_without_a_rate_has_the_usual_one(self, fps: float) -> None:
        pace = Pace(fps)
        assert [pace.due_ns(0, 0) for _ in range(2)] == [0, 40_000_000]

    def test_timestamps_that_go_backwards_go_on_from_there(self) -> None:
        """As in files put together from several."""
        pace = Pace(25)
        due = [pace.due_ns(at, 0) / 1e6 for at in (0, 40, 80, 0, 40, 80)]
        assert due == [0, 40, 80, 120, 160, 200]

    def test_a_nan_does_no_harm(self) -> None:
        pace = Pace(25)
        due = [pace.due_ns(at, 0) / 1e6 for at in (0, float("nan"), 90)]
        assert due == [0, 40, 90]
