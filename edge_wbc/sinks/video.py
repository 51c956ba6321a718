"""The frames of a session as a video, cells outlined and named as they are decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_wbc.draw import draw_result
from edge_wbc.errors import OutputFailed, UsageError
from edge_wbc.types import CountedCell, Differential, FrameResult, Pixels, Refused, Session, Summary
from edge_wbc.uri import Uri

FPS = 25.0
SUFFIXES = {".mp4": "mp4v", ".avi": "MJPG"}
"""Container → codec that OpenCV's own FFmpeg has."""


class VideoSink:
    """Every frame that reaches it, one after the other; the first frame's size is the video's."""

    pictures = True

    def __init__(self, uri: str, path: Path, fps: float) -> None:
        self.uri = uri
        self._path = path
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._frames = 0

    def open(self, session: Session) -> None:
        """:raises OutputFailed: the file can't be written."""
        try:
            self._path.open("wb").close()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise OutputFailed(f"{self._path}: can't be written ({error}); choose another place") from None

    def frame(self, result: FrameResult) -> None:
        assert result.pixels is not None
        self._write(draw_result(result.pixels, result))

    def refused(self, refused: Refused) -> None:
        pass

    def last(self, counted: Sequence[CountedCell]) -> None:
        pass

    def finish(self, differential: Differential, summary: Summary) -> None:
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def report(self) -> Mapping[str, Any]:
        return {"path": str(self._path), "frames": self._frames}

    def _write(self, picture: Pixels) -> None:
        height, width = picture.shape[:2]
        if self._writer is None:
            self._size = width // 2 * 2, height // 2 * 2  # codecs want even sides
            codec = cv2.VideoWriter.fourcc(*SUFFIXES[self._path.suffix.lower()])
            self._writer = cv2.VideoWriter(str(self._path), codec, self._fps, self._size)
            if not self._writer.isOpened():
                raise OutputFailed(
                    f"{self._path}: OpenCV here can't write this video; try another ending, .avi or .mp4"
                )
        if (width, height) != self._size:
            picture = _fitted(picture, self._size)
        self._writer.write(picture)
        self._frames += 1


def _fitted(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """The whole picture within the size, grey around it."""
    scale = min(size[0] / picture.shape[1], size[1] / picture.shape[0])
    inner = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    canvas = np.full((size[1], size[0], 3), 64, np.uint8)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA)
    return canvas


def open_video(uri: Uri) -> VideoSink:
    """``video:out.mp4`` or ``video:///out.mp4?fps=25``.

    :raises UsageError: no file, another ending, or a rate that makes no sense.
    """
    uri.allow("fps")
    path, fps = Path(uri.path), uri.option("fps", float, FPS)
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{uri.text}: not a video file; write video:PATH.mp4 or video:PATH.avi")
    if not 1 <= fps <= 1000:
        raise UsageError(f"{uri.text}: fps={fps:g} is not from 1 to 1000; write for example fps=25")
    return VideoSink(uri.text, path, fps)
