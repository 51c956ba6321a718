"""What may be a frame; and OpenCV is told to be quiet, for every source."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc import MOST_PIXELS
from edge_wbc.errors import SourceError
from edge_wbc.types import Pixels

SMALLEST_PX = 32

if "OPENCV_LOG_LEVEL" not in os.environ:  # what is wrong with a file is said once, in our own words
    set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel  # OpenCV 4, 5
    set_log_level(0)


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
