"""TIFF as microscopes write it: several pages in a file, and OME-TIFF whose 16 bits hold fewer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

SUFFIXES = frozenset({".tif", ".tiff"})
OME = re.compile(rb"<(?:\w+:)?Pixels\b[^>]*\bSignificantBits=\"(\d+)\"")
"""In the description of the first page; of the OME data model, 2012-06 and later."""

ENDS_BYTES = 4 * 2**20
"""How much of a file's beginning and end is searched: writers put the description before the pixels or behind them."""


def page_count(path: Path) -> int:
    """Images in a file; 1 where that can't be told."""
    if path.suffix.lower() not in SUFFIXES or not hasattr(cv2, "imcount"):  # OpenCV before 4.5.4
        return 1
    try:
        return max(1, int(cv2.imcount(str(path))))
    except (cv2.error, UnicodeEncodeError):
        return 1


def read_page(path: Path, number: int) -> npt.NDArray[Any] | None:
    """One image of several, from 0; None if it can't be read.

    :returns: (height, width) or (height, width, channels), of the depth it has.
    """
    try:
        good, pages = cv2.imreadmulti(str(path), number, 1, flags=cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return pages[0] if good and len(pages) == 1 else None


def to_eight_bits(pixels: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    """Samples of 16 bits as 8, if the file's OME description tells how many of them are used; others as they are."""
    if pixels.dtype != np.uint16 or path.suffix.lower() not in SUFFIXES:
        return pixels
    bits = _told_bits(path)
    if bits is None or not 8 <= bits <= 16:
        return pixels
    return np.asarray(np.minimum(pixels >> (bits - 8), 255), np.uint8)


def _told_bits(path: Path) -> int | None:
    try:
        with path.open("rb") as file:
            ends = [file.read(ENDS_BYTES)]
            file.seek(max(ENDS_BYTES, path.stat().st_size - ENDS_BYTES))
            ends.append(file.read(ENDS_BYTES))
    except OSError:
        return None
    for data in ends:
        start = data.find(b"<OME")
        if start >= 0 and (found := OME.search(data, start)):
            return int(found[1])
    return None
