"""Frames from image files, folders of them, and video files. Nothing is lost: whoever reads sets the pace."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc import MOST_PIXELS
from edge_wbc.errors import SourceError, UsageError, reason
from edge_wbc.sources import tiff
from edge_wbc.types import Frame, Pixels, Refused
from edge_wbc.uri import Uri

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg"})
COUNTED_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi"})
"""Videos whose header tells the number of frames; in others OpenCV only estimates it."""
COMPLETE = 0.9
"""Part of the frames told of that a whole video gives at least; edited files may hide a few."""
SMALLEST_PX = 32
MOST_BYTES = 512 * 2**20
"""Largest image file read: twice the largest frame, uncompressed and with an alpha channel."""

if "OPENCV_LOG_LEVEL" not in os.environ:  # what is wrong with a file is said once, in our own words
    set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel  # OpenCV 4, 5
    set_log_level(0)


def read_image(path: Path) -> Pixels:
    """Decode a still image.

    :returns: (height, width, 3) uint8 BGR.
    :raises SourceError: missing, empty, truncated, not an image, not 8-bit colour, or of an unusable size.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise SourceError(
                f"{path}: {size / 1e9:.1f} GB is no single frame; cut it into fields of at most 8000×8000"
            )
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: {reason(error)}; check the path") from None
    if not data:
        raise SourceError(f"{path}: the file is empty; copy it again")
    if _is_truncated(data):
        raise SourceError(f"{path}: the image breaks off before its end; copy it again")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if "PIXELS" in str(error):
            raise SourceError(
                f"{path}: more than {MOST_PIXELS // 10**6} million pixels; cut it into fields of at most 8000×8000"
            ) from None
        pixels = None
    if pixels is None:
        raise SourceError(f"{path}: not an image; give JPEG, PNG, BMP or TIFF")
    return check_pixels(tiff.to_eight_bits(pixels, path), str(path))


def read_frames(path: Path, index: int, time_ns: int) -> Iterator[Frame | Refused]:
    """The frames of an image file: one, or each page of a TIFF; what can't be used comes as ``Refused``.

    :param index: of the first frame.
    """
    pages = tiff.page_count(path)
    for number in range(pages):
        origin = str(path) if pages == 1 else f"{path} page {number + 1}"
        try:
            if pages == 1:
                pixels = read_image(path)
            elif (page := tiff.read_page(path, number)) is None:
                raise SourceError(f"{origin}: can't be read; copy the file again")
            else:
                pixels = check_pixels(tiff.to_eight_bits(page, path), origin)
            yield Frame(pixels, index + number, time_ns, str(path))
        except SourceError as error:
            yield Refused(index + number, str(path), str(error))


def check_pixels(pixels: npt.NDArray[Any], name: str) -> Pixels:
    """Refuse what can't be a colour frame of a stained smear.

    :returns: (height, width, 3) uint8 BGR; an alpha channel is left out.
    :raises SourceError: grey, deeper than 8 bits, too small or too large.
    """
    if pixels.dtype != np.uint8:
        raise SourceError(f"{name}: {pixels.dtype.itemsize * 8}-bit image; save it with 8 bits a channel")
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise SourceError(f"{name}: grey image; stain can't be told without colour, give a colour image")
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST_PX:
        raise SourceError(f"{name}: {width}×{height} pixels; a frame needs at least {SMALLEST_PX}×{SMALLEST_PX}")
    if height * width > MOST_PIXELS:
        raise SourceError(
            f"{name}: {width}×{height} pixels, over {MOST_PIXELS // 10**6} million; "
            "cut it into fields of at most 8000×8000"
        )
    return pixels if pixels.shape[2] == 3 else np.ascontiguousarray(pixels[:, :, :3])


class ImageFiles:
    """Still images in the order given, a frame each, or one for each page of a TIFF."""

    live = False

    def __init__(self, uri: str, paths: Sequence[Path]) -> None:
        self.uri = uri
        self.paths = paths
        self._closed = False

    def __len__(self) -> int:
        return len(self.paths)

    def frames(self) -> Iterator[Frame | Refused]:
        index = 0
        for path in self.paths:
            for item in read_frames(path, index, time.monotonic_ns()):
                if self._closed:
                    return
                yield item
                index += 1

    def close(self) -> None:
        self._closed = True


class VideoFile:
    """Every frame of a video file."""

    live = False

    def __init__(self, path: Path) -> None:
        self.uri = str(path)
        try:
            self.uri.encode()
        except UnicodeEncodeError:  # OpenCV 5.0 crashes on it
            raise SourceError(f"{path}: no video is opened whose name is not UTF-8; rename it") from None
        if not path.stat().st_size:
            raise SourceError(f"{path}: the file is empty; record or copy it again")
        self._capture = cv2.VideoCapture(str(path))
        self._closed = False
        if not self._capture.isOpened():
            raise SourceError(f"{path}: not a video that OpenCV can read; convert it, for example to MP4 with H.264")

    def frames(self) -> Iterator[Frame | Refused]:
        index = 0
        declared = round(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        try:
            while not self._closed:
                time_ns = time.monotonic_ns()
                good, pixels = self._capture.read()
                if not good:
                    break
                try:
                    yield Frame(check_pixels(pixels, f"{self.uri} frame {index}"), index, time_ns, self.uri)
                except SourceError as error:
                    yield Refused(index, self.uri, str(error))
                index += 1
        finally:
            self._capture.release()
        if self._closed:
            return
        if not index:
            raise SourceError(f"{self.uri}: no frame could be decoded; convert it, for example to MP4 with H.264")
        if Path(self.uri).suffix.lower() in COUNTED_SUFFIXES and index < COMPLETE * declared:
            why = f"{self.uri}: the video breaks off after frame {index} of {declared}; copy it again"
            yield Refused(index, self.uri, why)

    def close(self) -> None:
        self._closed = True


def open_path(uri: Uri) -> ImageFiles | VideoFile:
    """A file or folder.

    :raises SourceError: it is not there, or a folder holds no image.
    """
    uri.allow()
    if not uri.path:
        raise UsageError(f"{uri.text!r} names no file or folder; write a path")
    path = Path(uri.path)
    if path.suffix.lower() in VIDEO_SUFFIXES and os.path.isfile(path):
        return VideoFile(path)
    return open_images([path], uri.text)


def open_images(paths: Sequence[Path], uri: str | None = None) -> ImageFiles:
    """Image files, and the images in folders and their subfolders in the order of their names.

    :raises SourceError: a path is not there, or a folder holds no image.
    """
    found: list[Path] = []
    for path in paths:
        try:
            kind = path.stat().st_mode
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise SourceError(f"{path}: {reason(error)}; check the path") from None
        if stat.S_ISDIR(kind):
            inside = images_below(path)
            if not inside:
                raise SourceError(f"{path}: no image in this folder; give one with JPEG, PNG, BMP or TIFF files")
            found += inside
        elif stat.S_ISREG(kind):
            found.append(path)
        else:
            raise SourceError(f"{path}: neither a file nor a folder; for a camera write v4l2://{path}")
    return ImageFiles(uri or " ".join(map(str, paths)), found)


def images_below(folder: Path) -> list[Path]:
    """The image files in a folder and its subfolders, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def _is_truncated(data: bytes) -> bool:
    """True if a JPEG or PNG lacks its end. Inside a JPEG's scan no marker can occur, so its end mark must follow the
    start of the last scan; the end mark of a thumbnail stands before it."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" not in data[-4096:]
