"""Which stained blobs are one white cell: lobes of a nucleus are joined, the nuclei of cells that touch are parted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import cv2
import numpy as np

from edge_wbc.types import Box, Cell, Pixels
from edge_wbc.vision.geometry import part_shared
from edge_wbc.vision.stain import Grey

JOIN_GAP = 0.15
"""Blobs nearer than this, in lengths of the longest side among them, are lobes of one nucleus…"""
LONGEST = 3.5
"""… unless the nucleus would be longer than so many red cells are wide…"""
LONG, FULL = 2.6, 0.7
"""… or longer than so many, and each of the two has this part of a red cell's area: a small lymphocyte's nucleus has
about all of it."""
ONE_IN_THE_OTHER = 0.3
"""Boxes that share more than this part of the smaller one are no two cells side by side."""
TWO = 2.8
"""Areas of a red cell from which on a blob may be the nuclei of two cells…"""
PART = 1.1
"""… if each has so many…"""
NECKS = (0.4, 0.55, 0.7)
"""… and they hang together by a neck narrower than one of these parts of the widest place…"""
SECOND = 0.6
"""… of which each has at least this part itself."""

PADDING = 0.12
"""Added on each side of the nucleus, in lengths of its longer side, to take the cytoplasm in."""


class Blob(NamedTuple):
    """In pixels of the working image; ``right`` and ``bottom`` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    area: float
    contrast: float
    """Mean response, in units of density."""
    blue_taken: float
    """Density in blue over density in green."""

    @property
    def prominence(self) -> float:
        return float(self.contrast * self.area**0.5)

    @property
    def length(self) -> int:
        return max(self.right - self.left, self.bottom - self.top)

    @property
    def box(self) -> Box:
        return Box(self.left, self.top, self.right - self.left, self.bottom - self.top)


def cell_around(blob: Blob, scale: float, pixels: Pixels) -> Cell:
    """The cell of a nucleus: its box in a frame that was brought to ``scale``, its contrast for a score."""
    padding = PADDING * blob.length
    height, width = pixels.shape[:2]
    left = max(0, round((blob.left - padding) / scale))
    top = max(0, round((blob.top - padding) / scale))
    right = min(width, round((blob.right + padding) / scale))
    bottom = min(height, round((blob.bottom + padding) / scale))
    return Cell(Box(left, top, right - left, bottom - top), round(min(1.0, blob.contrast / 255), 4))


def join(blobs: Sequence[Blob], red_cell_px: float | None) -> list[Blob]:
    """Put the lobes of nuclei together, the nearest first.

    :param red_cell_px: diameter of the frame's red cells; None if not known.
    """
    cells = dict(enumerate(blobs))
    part_of = list(range(len(blobs)))
    for i, j in _near(blobs):
        a, b = part_of[i], part_of[j]
        if a != b and _are_one(cells[a], cells[b], red_cell_px):
            cells[a] = _both(cells[a], cells.pop(b))
            part_of = [a if cell == b else cell for cell in part_of]
    return list(cells.values())


def part(mask: Grey, red_cell_px: float) -> list[Grey]:
    """The nuclei of cells that touch, parted where they are narrow.

    :param mask: of one blob, filled, 0 or 255, with a clear border.
    :returns: masks like it, one a nucleus; one only where nothing is to be parted.
    """
    least = PART * disc(red_cell_px)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    deepest = float(depth.max())
    for neck in NECKS:
        _, cores = cv2.threshold(depth, neck * deepest, 255, cv2.THRESH_BINARY)
        count, cores = cv2.connectedComponents(cores.astype(np.uint8))
        deep = [core for core in range(1, count) if float(depth[cores == core].max()) >= SECOND * deepest]
        if len(deep) < 2:
            continue
        around = np.where(np.isin(cores, deep), 0, 255).astype(np.uint8)
        _, nearest = cv2.distanceTransformWithLabels(around, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_CCOMP)
        parts = [np.where(nearest == core, mask, 0).astype(np.uint8) for core in range(1, len(deep) + 1)]
        if min(cv2.countNonZero(one) for one in parts) >= least and not _overlap(
            [Box(*cv2.boundingRect(one)) for one in parts]
        ):
            return parts
    return [mask]


def may_be_two(area: float, red_cell_px: float) -> bool:
    """Whether a blob is so large that it is worth asking :func:`part`."""
    return area >= TWO * disc(red_cell_px)


def disc(diameter: float) -> float:
    """Its area."""
    return float(np.pi / 4 * diameter**2)


def _near(blobs: Sequence[Blob]) -> list[tuple[int, int]]:
    """Pairs that may be lobes of one nucleus, the nearest first."""
    if len(blobs) < 2:
        return []
    left, top, right, bottom = np.array([blob[:4] for blob in blobs], np.float32).T
    length = np.maximum(right - left, bottom - top)
    across = np.maximum.outer(left, left) - np.minimum.outer(right, right)
    down = np.maximum.outer(top, top) - np.minimum.outer(bottom, bottom)
    gap = np.hypot(np.maximum(across, 0), np.maximum(down, 0)) / np.maximum.outer(length, length)
    first, second = np.nonzero(np.triu(gap <= JOIN_GAP, 1))
    order = np.argsort(gap[first, second], kind="stable")
    return list(zip(first[order].tolist(), second[order].tolist(), strict=True))


def _are_one(a: Blob, b: Blob, red_cell_px: float | None) -> bool:
    if red_cell_px is None:
        return True
    length = _both(a, b).length
    red_cells = length / red_cell_px
    if _overlap([a.box, b.box]):
        return red_cells <= LONGEST or length == max(a.length, b.length)
    two_nuclei = min(a.area, b.area) > FULL * disc(red_cell_px)
    return red_cells <= (LONG if two_nuclei else LONGEST)


def _both(a: Blob, b: Blob) -> Blob:
    area = a.area + b.area
    return Blob(
        min(a.left, b.left),
        min(a.top, b.top),
        max(a.right, b.right),
        max(a.bottom, b.bottom),
        area,
        (a.area * a.contrast + b.area * b.contrast) / area,
        min(a.blue_taken, b.blue_taken),
    )


def _overlap(boxes: Sequence[Box]) -> bool:
    """Whether any two boxes lie more over than beside each other."""
    return any(part_shared(a, b) > ONE_IN_THE_OTHER for a, b in combinations(boxes, 2))
