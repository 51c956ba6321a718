"""Video files, all frames or at their own pace."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from edge_wbc.errors import SourceError
from edge_wbc.sources.pixels import check_pixels
from edge_wbc.types import Frame, Refused

COUNTED_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi"})
"""Videos whose header tells the number of frames; in others OpenCV only estimates it."""
COMPLETE = 0.9
"""Part of the frames told of that a whole video gives at least; edited files may hide a few."""
USUAL_FPS = 25.0
"""Where a file does not tell its rate."""


class VideoFile:
    """The frames of a video file: every one, as fast as they are taken, or at the pace at which they were taken."""

    continuous = True

    def __init__(self, path: Path, *, real_time: bool = False) -> None:
        """
        :param real_time: give each frame when it is due by its own timestamp, as a camera would.
        :raises SourceError: not a video.
        """
        self.uri = str(path)
        self.live = real_time
        self._path = path
        try:
            str(path).encode()
        except UnicodeEncodeError:  # OpenCV 5.0 crashes on it
            raise SourceError(f"{path}: no video is opened whose name is not UTF-8; rename it") from None
        if not path.stat().st_size:
            raise SourceError(f"{path}: the file is empty; record or copy it again")
        self._capture = cv2.VideoCapture(str(path))
        self._closed = threading.Event()
        if not self._capture.isOpened():
            raise SourceError(f"{path}: not a video that OpenCV can read; convert it, for example to MP4 with H.264")

    def frames(self) -> Iterator[Frame | Refused]:
        index = 0
        declared = round(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        try:
            pace = Pace(self._capture.get(cv2.CAP_PROP_FPS))
            while not self._closed.is_set():
                time_ns = time.monotonic_ns()
                good, pixels = self._capture.read()
                if not good:
                    break
                if self.live:
                    time_ns = pace.due_ns(self._capture.get(cv2.CAP_PROP_POS_MSEC), time.monotonic_ns())
                    if self._closed.wait(max(0.0, (time_ns - time.monotonic_ns()) / 1e9)):
                        return
                try:
                    yield Frame(check_pixels(pixels, f"{self.uri} frame {index}"), index, time_ns, self.uri)
                except SourceError as error:
                    yield Refused(index, self.uri, str(error))
                index += 1
        finally:
            self._capture.release()
        if self._closed.is_set():
            return
        if not index:
            raise SourceError(f"{self.uri}: no frame could be decoded; convert it, for example to MP4 with H.264")
        if self._path.suffix.lower() in COUNTED_SUFFIXES and index < COMPLETE * declared:
            why = f"{self.uri}: the video breaks off after frame {index} of {declared}; copy it again"
            yield Refused(index, self.uri, why)

    def close(self) -> None:
        self._closed.set()


class Pace:
    """When frames are due, by the timestamps of their file.

    :param fps: the rate the file tells, for frames whose timestamp does not go forward.
    """

    def __init__(self, fps: float) -> None:
        self._period_ms = 1000 / (fps if 0 < fps <= 1000 else USUAL_FPS)
        self._first: tuple[float, int] | None = None
        self._last_ms = 0.0
        self._shift_ms = 0.0

    def due_ns(self, position_ms: float, now_ns: int) -> int:
        """On the monotonic clock; the first frame is due now."""
        if self._first is None:
            self._first = position_ms, now_ns
            return now_ns
        first_ms, began_ns = self._first
        at_ms = position_ms - first_ms + self._shift_ms
        if not at_ms > self._last_ms:
            if math.isfinite(at_ms):
                self._shift_ms += self._last_ms + self._period_ms - at_ms
            at_ms = self._last_ms + self._period_ms
        self._last_ms = at_ms
        return began_ns + round(at_ms * 1e6)
