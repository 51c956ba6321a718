"""The contract of a source, for every one that needs no hardware."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from edge_wbc.errors import CameraError, EdgeWbcError, UsageError
from edge_wbc.sources.base import Source, open_source
from edge_wbc.sources.camera import Camera
from edge_wbc.types import Frame

DEADLINE_S = 30
COUNT = 12


def picture(number: int) -> np.ndarray:
    """A frame whose brightness tells its number."""
    return np.full((96, 128, 3), 20 + 18 * number, np.uint8)


def folder(tmp_path: Path) -> str:
    (tmp_path / "slide").mkdir()
    for number in reversed(range(COUNT)):
        cv2.imwrite(str(tmp_path / "slide" / f"{number:03}.png"), picture(number))
    return str(tmp_path / "slide")


def video(tmp_path: Path) -> str:
    path = str(tmp_path / "slide.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 25, (128, 96))
    for number in range(COUNT):
        writer.write(picture(number))
    writer.release()
    return path


class Kind(NamedTuple):
    make: Callable[[Path], str]
    live: bool
    numbered: bool
    """Brightness tells the number of the frame."""


KINDS = {
    "folder": Kind(folder, False, True),
    "video": Kind(video, False, True),
    "video at its pace": Kind(lambda path: f"file://{video(path)}?pace=real", True, True),
    "smear": Kind(lambda _: "smear://?seed=1&cells=8", False, False),
    "live smear": Kind(lambda _: "smear://?seed=1&cells=8&fps=200", True, False),
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def source(kind: Kind, tmp_path: Path) -> Source:
    return open_source(kind.make(tmp_path))


def frames(source: Source) -> list[Frame]:
    found = list(source.frames())
    assert all(isinstance(frame, Frame) for frame in found)
    return [frame for frame in found if isinstance(frame, Frame)]


def test_frames_come_whole_and_in_order(source: Source, kind: Kind) -> None:
    found = frames(source)
    source.close()
    assert len(found) > 3
    assert [frame.index for frame in found] == list(range(len(found)))
    assert all(a.time_ns <= b.time_ns for a, b in itertools.pairwise(found))
    for frame in found:
        assert frame.pixels.ndim == 3
        assert frame.pixels.shape[2] == 3
        assert frame.pixels.dtype == np.uint8
        assert frame.origin
    assert source.live == kind.live
    if kind.numbered:
        assert len(found) == COUNT
        assert [round((frame.pixels.mean() - 20) / 18) for frame in found] == list(range(COUNT))


def test_frames_are_the_takers_to_keep(source: Source) -> None:
    iterator = source.frames()
    first = next(iterator)
    assert isinstance(first, Frame)
    kept = first.pixels.copy()
    next(iterator)
    assert np.array_equal(first.pixels, kept)
    source.close()
    assert list(iterator) == []


def test_close_twice_and_from_another_thread(source: Source) -> None:
    iterator = source.frames()
    next(iterator)

    def close() -> None:
        source.close()
        source.close()

    thread = threading.Thread(target=close, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    assert list(iterator) == [], "iterating after close ends"


def test_close_before_the_first_frame(source: Source) -> None:
    source.close()
    assert list(source.frames()) == []
    source.close()


def test_close_ends_another_threads_iteration(kind: Kind, tmp_path: Path) -> None:
    endless = "smear://?seed=1&cells=100000&fps=200" if kind.live else kind.make(tmp_path)
    source = open_source(endless)
    begun, may_go_on = threading.Event(), threading.Event()
    seen: list[object] = []

    def read() -> None:
        for item in source.frames():
            seen.append(item)
            begun.set()
            may_go_on.wait(DEADLINE_S)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert begun.wait(DEADLINE_S)
    source.close()
    may_go_on.set()
    reader.join(DEADLINE_S)
    assert not reader.is_alive()
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no-such-place", 3),
        ("file:///no/such/place.mp4", 3),
        ("a" * 300, 3),
        ("file:///a%00b", 3),
        ("/dev/null", 3),
        ("", 2),
        ("file://", 2),
        ("file:///tmp?speed=2", 2),
        ("file:///tmp?pace=real", 2),
        ("file:///tmp?pace=2", 2),
        ("smaer://?seed=1", 2),
        ("camera://first", 2),
        ("camera://²", 2),
        ("camera://99999999999999999999", 2),
        ("v4l2:///dev/video0?zoom=2", 2),
        ("v4l2:///dev/video0?format=JPEG2000", 2),
        ("v4l2:///dev/video0?gain=much", 2),
        ("v4l2:///dev/video0?size=1280", 2),
        ("v4l2:///dev/no-such-camera", 4),
        ("v4l2:///etc/passwd", 4),
        ("v4l2://" + "a" * 300, 4),
        ("camera://99", 4),
    ],
)
def test_what_cannot_be_opened_is_refused_in_one_line(text: str, code: int, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EdgeWbcError) as caught:
        open_source(text)
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)
    assert text in str(caught.value) or text.partition("%")[0].removeprefix("file://") in str(caught.value)
    assert capfd.readouterr().err == "", "OpenCV adds nothing of its own"


def test_a_camera_is_live_and_says_when_it_stops(tmp_path: Path) -> None:
    camera = Camera("camera://0", cv2.VideoCapture(video(tmp_path)))
    assert camera.live
    iterator = camera.frames()
    assert [frame.index for frame in itertools.islice(iterator, COUNT)] == list(range(COUNT))
    with pytest.raises(CameraError, match="camera://0: the camera stopped giving frames"):
        next(iterator)
    camera.close()
    camera.close()


def test_a_closed_camera_ends_quietly(tmp_path: Path) -> None:
    camera = Camera("camera://0", cv2.VideoCapture(video(tmp_path)))
    iterator = camera.frames()
    next(iterator)
    camera.close()
    assert list(iterator) == []


def test_a_plain_usage_error_names_what_is_known() -> None:
    with pytest.raises(UsageError, match="known are file:, watch:, smear:, v4l2:, camera:, csi:, gst:, rtsp:, http:"):
        open_source("teleport://x")
