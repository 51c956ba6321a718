"""Pixels as industrial and scientific cameras give them, to colour frames of 8 bits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.errors import SourceError
from edge_wbc.types import Pixels

_NAME = re.compile(r"(Mono|RGB|BGR|RGBa|BGRa|BayerRG|BayerGR|BayerGB|BayerBG)(8|10|12|14|16)")
"""Names of the Pixel Format Naming Convention (EMVA, PFNC 2.4) whose pixels fill whole bytes."""
COMPONENTS = {"RGB": 3, "BGR": 3, "RGBa": 4, "BGRa": 4}
_TO_BGR = {
    "Mono": cv2.COLOR_GRAY2BGR,
    "RGB": cv2.COLOR_RGB2BGR,
    "RGBa": cv2.COLOR_RGBA2BGR,
    "BGRa": cv2.COLOR_BGRA2BGR,
    "BayerRG": cv2.COLOR_BayerBG2BGR,
    "BayerGR": cv2.COLOR_BayerGB2BGR,
    "BayerGB": cv2.COLOR_BayerGR2BGR,
    "BayerBG": cv2.COLOR_BayerRG2BGR,
}
"""PFNC names the colours of the first row's first two pixels, OpenCV those of the second row's second and third."""
EIGHT = 8


@dataclass(frozen=True, slots=True)
class RawFormat:
    """How a camera's pixels are to be read."""

    kind: str
    """``Mono``, ``RGB``, ``BGR``, ``RGBa``, ``BGRa``, or ``Bayer`` with the colours of the first two pixels."""
    bits: int
    """Of a value that are used, 8 to 16; more than 8 lie in two bytes, the lowest bit first."""

    @property
    def components(self) -> int:
        """Values a pixel."""
        return COMPONENTS.get(self.kind, 1)


def raw_format(name: str) -> RawFormat:
    """A format by its PFNC name.

    :raises SourceError: packed, or no picture in the visible.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise SourceError(f"pixel format {name} is not read here; choose RGB8, BGR8 or BayerRG8 by ?format=")
    return RawFormat(found[1], int(found[2]))


def to_bgr(data: npt.NDArray[Any], given: RawFormat) -> Pixels:
    """A colour frame; of deeper values the upper 8 bits.

    :param data: (height, width) or (height, width, components), uint8 or uint16.
    :raises SourceError: not of this format.
    """
    components = 1 if data.ndim == 2 else data.shape[2]
    fits = data.dtype == (np.uint8 if given.bits == EIGHT else np.uint16)
    if not fits or components != given.components:
        depth = f"{data.dtype.itemsize * EIGHT}-bit pixels of {components} values"
        raise SourceError(f"{depth} are not {given.kind}{given.bits}; the camera's adapter is not understood")
    eight = data if given.bits == EIGHT else np.right_shift(data, given.bits - EIGHT)
    narrow: Pixels = np.ascontiguousarray(eight if eight.dtype == np.uint8 else np.minimum(eight, 255).astype(np.uint8))
    if given.kind == "BGR":
        return narrow
    return np.asarray(cv2.cvtColor(narrow, _TO_BGR[given.kind]), np.uint8)
