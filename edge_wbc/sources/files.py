"""Frames from image files, folders of them, and video files. Nothing is lost: whoever reads sets the pace."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_wbc import MOST_PIXELS
from edge_wbc.errors import SourceError, UsageError, reason
from edge_wbc.sources import tiff
from edge_wbc.sources.pixels import check_pixels
from edge_wbc.sources.video import VideoFile
from edge_wbc.types import Frame, Pixels, Refused
from edge_wbc.uri import Uri

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
REAL = "real"
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg"})
MOST_BYTES = 512 * 2**20
"""Largest image file read: twice the largest frame, uncompressed and with an alpha channel."""


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


class ImageFiles:
    """Still images in the order given, a frame each, or one for each page of a TIFF."""

    live = False
    continuous = False

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


def open_path(uri: Uri) -> ImageFiles | VideoFile:
    """A file or folder; a video with ``?pace=real`` at its own pace.

    :raises UsageError: no path, or a pace that makes no sense.
    :raises SourceError: it is not there, or a folder holds no image.
    """
    uri.allow("pace")
    if not uri.path:
        raise UsageError(f"{uri.text!r} names no file or folder; write a path")
    if uri.options.get("pace", REAL) != REAL:
        raise UsageError(f"{uri.text}: pace={uri.options['pace']!r}; write pace={REAL}, or leave it out")
    path, real_time = Path(uri.path), "pace" in uri.options
    if path.suffix.lower() in VIDEO_SUFFIXES and os.path.isfile(path):
        return VideoFile(path, real_time=real_time)
    if real_time:
        raise UsageError(f"{uri.text}: only a video has a pace; leave pace={REAL} out")
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
