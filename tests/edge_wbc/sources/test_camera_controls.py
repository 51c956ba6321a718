"""What a Video4Linux camera is asked for, and what it is told when it does not comply.

No camera is here: ``cv2.VideoCapture`` is replaced by one that keeps what is set, as a driver would. Not run on one.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_wbc.errors import UsageError
from edge_wbc.sources import camera
from edge_wbc.sources.base import open_source
from edge_wbc.sources.camera import Camera
from edge_wbc.supervisor import open_supervised
from edge_wbc.types import Frame


class Driver:
    """Takes what it is given, except what ``fixed`` holds; ``at_ms`` is when it says that a frame came."""

    def __init__(self, fixed: dict[int, float], at_ms: Callable[[], float]) -> None:
        self.asked: list[tuple[int, float]] = []
        self._has = {**fixed}
        self._fixed = fixed
        self._at_ms = at_ms

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, number: int, value: float) -> bool:
        self.asked.append((number, value))
        if number in self._fixed:
            return False
        self._has[number] = value
        return True

    def get(self, number: int) -> float:
        return self._at_ms() if number == cv2.CAP_PROP_POS_MSEC else self._has.get(number, 0.0)

    def read(self) -> tuple[bool, np.ndarray]:
        return True, np.full((64, 64, 3), 99, np.uint8)

    def release(self) -> None:
        pass


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Driver]:
    """Makes ``/dev/video0``, at the path ``device.path``."""
    (tmp_path / "video0").touch()

    def make(fixed: dict[int, float] | None = None, at_ms: Callable[[], float] = lambda: 0.0) -> Driver:
        driver = Driver(fixed or {}, at_ms)
        monkeypatch.setattr(camera.cv2, "VideoCapture", lambda *_: driver)
        return driver

    return make


ALL = "size=1280x720&fps=60&format=MJPG&exposure_ms=2&gain=4&white_balance=4600"


def opened(tmp_path: Path, options: str) -> Camera:
    source = open_source(f"v4l2://{tmp_path}/video0?{options}")
    assert isinstance(source, Camera)
    return source


def test_the_format_is_asked_first_and_automatics_are_off_before_values(
    device: Callable[..., Driver], tmp_path: Path
) -> None:
    driver = device()
    assert opened(tmp_path, ALL).remarks == ()
    asked = [step for step in driver.asked if step[0] != cv2.CAP_PROP_BUFFERSIZE]
    assert asked == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 60),
        (cv2.CAP_PROP_AUTO_EXPOSURE, 1),
        (cv2.CAP_PROP_EXPOSURE, 20),
        (cv2.CAP_PROP_GAIN, 4),
        (cv2.CAP_PROP_AUTO_WB, 0),
        (cv2.CAP_PROP_WB_TEMPERATURE, 4600),
    ]


def test_automatics_are_left_to_the_camera(device: Callable[..., Driver], tmp_path: Path) -> None:
    driver = device()
    opened(tmp_path, "exposure_ms=auto&white_balance=auto")
    assert driver.asked[-2:] == [(cv2.CAP_PROP_AUTO_EXPOSURE, 3), (cv2.CAP_PROP_AUTO_WB, 1)]


def test_without_options_nothing_is_asked(device: Callable[..., Driver], tmp_path: Path) -> None:
    driver = device()
    open_source(f"v4l2://{tmp_path}/video0")
    assert driver.asked == [(cv2.CAP_PROP_BUFFERSIZE, 1)]


@pytest.mark.parametrize(
    ("fixed", "said"),
    [
        ({cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV")}, "did not take format=MJPG, it has YUYV"),
        ({cv2.CAP_PROP_FOURCC: -1.0}, "did not take format=MJPG, it has another"),
        ({cv2.CAP_PROP_FRAME_HEIGHT: 480.0}, "did not take height=720, it has 480"),
        ({cv2.CAP_PROP_FPS: 30.0}, "did not take fps=60, it has 30"),
        ({cv2.CAP_PROP_EXPOSURE: 156.0}, "did not take exposure_ms=2, it has 15.6"),
        ({cv2.CAP_PROP_EXPOSURE: -1.0}, "did not take exposure_ms=2, it has none to set"),
        ({cv2.CAP_PROP_GAIN: 0.0}, "did not take gain=4, it has 0"),
        ({cv2.CAP_PROP_WB_TEMPERATURE: 6500.0}, "did not take white_balance=4600, it has 6500"),
    ],
)
def test_what_the_camera_did_not_take_is_one_line(
    fixed: dict[int, float], said: str, device: Callable[..., Driver], tmp_path: Path
) -> None:
    device(fixed)
    told: list[str] = []
    source = open_supervised(f"v4l2://{tmp_path}/video0?{ALL}", told.append)
    source.close()
    assert told == [f"v4l2://{tmp_path}/video0?{ALL}: the camera {said}"]


def test_a_rate_that_is_rounded_is_taken(device: Callable[..., Driver], tmp_path: Path) -> None:
    device({cv2.CAP_PROP_FPS: 29.97})
    assert opened(tmp_path, "fps=30").remarks == ()


@pytest.mark.parametrize("balance", ["daylight", "10", "-4600"])
def test_a_white_balance_is_auto_or_kelvin(balance: str, device: Callable[..., Driver], tmp_path: Path) -> None:
    device()
    with pytest.raises(UsageError, match="neither auto nor kelvin"):
        opened(tmp_path, f"white_balance={balance}")


def first(source: Camera) -> Frame:
    (frame,) = itertools.islice(source.frames(), 1)
    assert isinstance(frame, Frame)
    return frame


def test_the_time_of_a_frame_is_when_the_driver_got_it(device: Callable[..., Driver], tmp_path: Path) -> None:
    device(at_ms=lambda: time.monotonic() * 1e3 - 25)
    frame = first(opened(tmp_path, "fps=30"))
    assert 0.025e9 <= time.monotonic_ns() - frame.time_ns < 1e9


@pytest.mark.parametrize("off_s", [-3600, 3600, -1.5])
def test_a_time_on_another_clock_is_not_believed(off_s: float, device: Callable[..., Driver], tmp_path: Path) -> None:
    device(at_ms=lambda: (time.monotonic() + off_s) * 1e3)
    before = time.monotonic_ns()
    assert before <= first(opened(tmp_path, "fps=30")).time_ns <= time.monotonic_ns()
