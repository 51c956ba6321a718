"""The slide as far as it was seen, put together from keyframes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.types import Box, Pixels, Place
from edge_wbc.vision.keyframes import THUMB_LENGTH_PX, Keyframes

MOST_PIXELS = 16_000_000
"""Of a mosaic, 48 MB: some 800 fields side by side; what spreads further is shown smaller."""
WHITE = 255
PARTS, MOSTLY = 16, 0.5
"""Overlap is told to a sixteenth of a frame; an image that is less than half covered is mostly new. Neighbours share
two thirds, and reading images is what takes time."""


@dataclass(frozen=True, slots=True, eq=False)
class Mosaic:
    """A picture of what was visited."""

    picture: Pixels
    """(height, width, 3) uint8 BGR, white where the stage never was or no image was kept."""
    scale: float
    """Its pixels in a slide pixel."""
    corner: Place
    """Its left upper corner on the slide."""

    def box(self, box: Box) -> Box:
        """A box on the slide as it lies in the picture."""
        x, y = (box.xmin - self.corner.x) * self.scale, (box.ymin - self.corner.y) * self.scale
        return Box(round(x), round(y), round(box.width * self.scale), round(box.height * self.scale))


def mosaic(keyframes: Keyframes, island: int = 0) -> Mosaic | None:
    """What was seen of an island, 160 pixels a frame; None where no image of it is kept."""
    shown = [key for key in sorted(keyframes.images) if keyframes.islands[key] == island]
    if not shown:
        return None
    at, frame = keyframes.at[shown], np.array(keyframes.size)
    corner = at.min(axis=0)
    extent = at.max(axis=0) - corner + frame
    scale = THUMB_LENGTH_PX / max(keyframes.size)
    scale *= min(1.0, math.sqrt(MOST_PIXELS / float(extent.prod() * scale**2)))
    width, height = np.maximum(1, np.rint(frame * scale)).astype(int).tolist()
    places = np.rint((at - corner) * scale).astype(int)
    across, down = np.add(places.max(axis=0), (width, height)).tolist()
    picture = np.full((down, across, 3), WHITE, np.uint8)
    for i in _needed(places, (width, height), (across, down)):
        key, (x, y) = shown[i], places[i].tolist()
        image = np.asarray(cv2.imdecode(np.frombuffer(keyframes.images[key].thumb, np.uint8), cv2.IMREAD_COLOR))
        if image.shape[:2] != (height, width):
            image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
        picture[y : y + height, x : x + width] = image
    return Mosaic(picture, scale, Place(*corner.tolist()))


def _needed(places: npt.NDArray[np.int_], size: tuple[int, int], extent: tuple[int, int]) -> list[int]:
    """Which of the images at places (n, 2) show all that any of them shows: first those that are mostly new.

    Only parts that an image shows whole are covered by it, or nothing would be left for what lies between two.
    """
    part = max(1, min(size) // PARTS)
    covered = np.zeros((extent[1] // part + 1, extent[0] // part + 1), bool)
    kept: set[int] = set()
    for most_covered in (MOSTLY, 1.0):
        for i in reversed(range(len(places))):
            (left, top), (right, bottom) = (-(-places[i] // part)).tolist(), ((places[i] + size) // part).tolist()
            if covered[top:bottom, left:right].mean() < most_covered:
                covered[top:bottom, left:right] = True
                kept.add(i)
    return sorted(kept)
