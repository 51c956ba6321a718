"""Cameras and streams through OpenCV: live, only the newest frame matters.

v4l2:///dev/video0?size=1280x720&fps=60&format=MJPG&exposure_ms=2&gain=4&white_balance=4600
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence

import cv2

from edge_wbc.errors import CameraError, SourceError, UsageError
from edge_wbc.sources.controls import set_camera
from edge_wbc.sources.pixels import check_pixels
from edge_wbc.sources.settings import camera_settings
from edge_wbc.types import Frame, Refused
from edge_wbc.uri import Uri

OLDEST_NS = 10**9
"""A frame that the driver calls older is on another clock."""


class Camera:
    """Any device or stream that ``cv2.VideoCapture`` opens."""

    live = True
    continuous = True

    def __init__(
        self,
        uri: str,
        capture: cv2.VideoCapture,
        *,
        reopens: bool = True,
        remarks: Sequence[str] = (),
        driver_time: bool = False,
    ) -> None:
        """
        :param reopens: when it ends it is lost, and not at its end.
        :param remarks: lines the user should see.
        :param driver_time: the position of a frame is when its driver got it, on the monotonic clock.
        """
        self.uri = uri
        self.reopens = reopens
        self.remarks = tuple(remarks)
        self._driver_time = driver_time
        self._capture = capture
        self._reading = threading.Lock()
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame | Refused]:
        index = 0
        while not self._closed.is_set():
            with self._reading:
                good, pixels = self._capture.read()
                time_ns = self._captured_ns()
            if not good and self._closed.is_set():
                return
            if not good:
                raise CameraError(f"{self.uri}: the camera stopped giving frames; check its cable and start again")
            try:
                yield Frame(check_pixels(pixels, self.uri), index, time_ns, self.uri)
            except SourceError as error:
                yield Refused(index, self.uri, str(error))
            index += 1

    def _captured_ns(self) -> int:
        now_ns = time.monotonic_ns()
        if self._driver_time:
            told_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
            if now_ns - OLDEST_NS <= told_ns <= now_ns:
                return told_ns
        return now_ns

    def close(self) -> None:
        self._closed.set()
        if self._reading.acquire(timeout=1.0):  # a stuck driver keeps its thread; the process may still end
            self._capture.release()
            self._reading.release()


def open_v4l2(uri: Uri) -> Camera:
    """``v4l2:///dev/video0``, with :mod:`edge_wbc.sources.settings`; what the camera did not take is in ``remarks``.

    :raises UsageError: an unknown option, or a value that makes no sense.
    :raises CameraError: no such device, or it gives no frames.
    """
    asked = camera_settings(uri, "size", "fps", "format", "exposure_ms", "gain", "white_balance")
    if not os.path.exists(uri.path):
        raise CameraError(f"{uri.text}: no such camera; `edge-wbc sources` lists what is here")
    capture = _opened(uri, cv2.VideoCapture(uri.path, cv2.CAP_V4L2))
    return Camera(uri.text, capture, remarks=set_camera(capture, asked, uri.text), driver_time=True)


def open_index(uri: Uri) -> Camera:
    """``camera://0``: the camera OpenCV counts as the first, second …

    :raises UsageError: not a number.
    :raises CameraError: no such camera.
    """
    uri.allow()
    if not (uri.path.isdecimal() and len(uri.path) < 6):
        raise UsageError(f"{uri.text}: write camera://0 for the first camera, camera://1 for the second")
    return Camera(uri.text, _opened(uri, cv2.VideoCapture(int(uri.path))))


def open_stream(uri: Uri) -> Camera:
    """``http://…``, as OpenCV reads it; ``rtsp://…`` where GStreamer is not here.

    :raises CameraError: the stream can't be opened.
    """
    capture = _opened(uri, cv2.VideoCapture(uri.text))
    a_file = capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0  # opened again it would show the same cells again
    return Camera(uri.text, capture, reopens=not a_file)


def _opened(uri: Uri, capture: cv2.VideoCapture) -> cv2.VideoCapture:
    if not capture.isOpened():
        capture.release()
        raise CameraError(
            f"{uri.text}: can't be opened; check that it is connected, not in use, and that you may read it"
        )
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture
