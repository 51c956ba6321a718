"""Where the white blood cells are, by the colour of their nuclei and the size of the red cells around them.

The frame is brought to stain densities over its own background (:mod:`edge_wbc.vision.stain`). What responds more than
this frame's red cells do, and as much as its own surroundings' nucleus, is a blob; blobs that are lobes of one nucleus
are joined, and nuclei of cells that touch are parted, by the red cells' size (:mod:`edge_wbc.vision.lobes`). About 2 ms
for a 640×480 frame on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.types import Box, Cell, Pixels
from edge_wbc.vision import lobes, red_cells
from edge_wbc.vision.lobes import Blob, cell_around
from edge_wbc.vision.one_cell import locate_one
from edge_wbc.vision.reduced import reduced, scale_of
from edge_wbc.vision.stain import ZERO, Grey, Stained, red_response, stained

__all__ = ["locate", "locate_one"]

FLOOR = 10
"""No threshold of the response below this, in units of density."""
OVER_RED = 1.4
"""Times the response of red cells that a nucleus has at its edge…"""
OVER_RED_MEAN, FAINTEST = 1.5, 13
"""… and on average, and no less than this; the faintest stain tried has its nuclei above it."""
OF_ITS_OWN = 0.4
"""What responds less than this part of the blob it is in is not its nucleus."""
MOST_BLUE_TAKEN = 0.5
"""Red cells take about as much blue as green, for haemoglobin absorbs both; nuclear stain takes less than half."""
SMALLEST_PX = 16
"""Diameter in the working image below which a blob is a platelet or debris…"""
OF_RED_CELL = 0.5
"""… or below this part of a red cell's, if that is less."""
OF_BEST = 0.4
"""A cell has at least this fraction of the prominence (contrast × diameter) of the frame's best…"""
MOST_RED_CELLS = 6
"""… which counts as so many red cells' area at most: a clump of cells, not parted, is not to hide the single ones."""
CRUMB = 30
"""Pixels of the working image; less is no lobe of a nucleus."""
SMALL_RED_CELL_PX = 10
"""Red cells of a smaller diameter in the working image ask for a finer one…"""
FINER = 2.0
"""… by this, as often as need be."""

Labels: TypeAlias = npt.NDArray[np.int32]
Outline: TypeAlias = npt.NDArray[np.int32]

_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


def locate(pixels: Pixels, small: Pixels | None = None) -> list[Cell]:
    """The white cells of a field, the most prominent first.

    :param pixels: (height, width, 3) uint8 BGR, any size.
    :param small: the same reduced, where that is at hand.
    """
    finer, image = 1.0, stained(reduced(pixels) if small is None else small)
    red_cell_px = red_cells.diameter(image)
    while red_cell_px is not None and red_cell_px < SMALL_RED_CELL_PX and scale_of(pixels, finer) < 1:
        finer *= FINER
        image = stained(reduced(pixels, finer))
        red_cell_px = red_cells.diameter(image)
    scale = scale_of(pixels, finer)
    smallest = SMALLEST_PX if red_cell_px is None else min(SMALLEST_PX, OF_RED_CELL * red_cell_px)
    blobs = [blob for blob in _blobs(image, red_cell_px) if blob.area >= lobes.disc(smallest)]
    if not blobs:
        return []
    blobs.sort(key=lambda blob: blob.prominence, reverse=True)
    most = np.inf if red_cell_px is None else MOST_RED_CELLS * lobes.disc(red_cell_px)
    limit = OF_BEST * max(blob.contrast * min(blob.area, most) ** 0.5 for blob in blobs)
    return [cell_around(blob, scale, pixels) for blob in blobs if blob.prominence >= limit]


def _blobs(image: Stained, red_cell_px: float | None) -> list[Blob]:
    """Every nucleus, however small."""
    red = red_response(image)
    nuclei = _nuclei(image.response, max(FLOOR, OVER_RED * red))
    blobs = _measured(image, nuclei, *_regions(nuclei, red_cell_px))
    least = max(FAINTEST, OVER_RED_MEAN * red)
    stained_so = [blob for blob in blobs if blob.contrast >= least and blob.blue_taken <= MOST_BLUE_TAKEN]
    return lobes.join(stained_so, red_cell_px)


def _nuclei(response: Grey, threshold: float) -> Grey:
    """A mask of nuclei, 0 or 255: within each blob above the threshold, what responds as the most of it does."""
    _, mask = cv2.threshold(response, threshold, 255, cv2.THRESH_BINARY)
    count, parts = cv2.connectedComponents(mask)
    places = np.flatnonzero(mask.view(np.bool_))
    blob, level = parts.ravel()[places], response.ravel()[places].astype(np.float32)
    own = np.bincount(blob, level * level, count) / np.maximum(np.bincount(blob, level, count), 1)
    mask.ravel()[places[level < (OF_ITS_OWN * own).astype(np.float32)[blob]]] = 0
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _DISC)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _DISC), np.uint8)


def _regions(nuclei: Grey, red_cell_px: float | None) -> tuple[Labels, list[tuple[Box, int]]]:
    """Labels of the places in the outlines of nuclei, 0 for none, and the box and label of each; crumbs left out."""
    outlines, _ = cv2.findContours(nuclei, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    boxed = [pair for pair in zip(outlines, _boxes(outlines), strict=True) if pair[1].width * pair[1].height >= CRUMB]
    filled = cv2.drawContours(np.zeros_like(nuclei), [outline for outline, _ in boxed], -1, 255, cv2.FILLED)
    count, labels = cv2.connectedComponents(filled)
    regions = []
    for outline, box in boxed:
        label = int(labels[outline[0, 0, 1], outline[0, 0, 0]])
        if red_cell_px is None or not lobes.may_be_two(box.width * box.height, red_cell_px):
            regions.append((box, label))
            continue
        x, y, width, height = box
        own = labels[y : y + height, x : x + width]
        mask = np.pad(np.where(own == label, 255, 0).astype(np.uint8), 1)
        if not lobes.may_be_two(cv2.countNonZero(mask), red_cell_px):
            regions.append((box, label))
            continue
        for part in (one[1:-1, 1:-1] for one in lobes.part(mask, red_cell_px)):
            own[part > 0] = count
            left, top, *size = cv2.boundingRect(part)
            regions.append((Box(x + left, y + top, *size), count))
            count += 1
    return np.asarray(labels), regions


def _boxes(outlines: Sequence[Outline]) -> list[Box]:
    """Around each; at once, for a call to OpenCV hands Python's lock over, which another thread may then keep."""
    if not outlines:
        return []
    points = np.concatenate(outlines)[:, 0]
    begins = np.cumsum([0, *(len(outline) for outline in outlines[:-1])])
    least = np.minimum.reduceat(points, begins)
    size = np.maximum.reduceat(points, begins) - least + 1
    return [Box(*numbers) for numbers in np.hstack([least, size]).tolist()]


def _measured(image: Stained, nuclei: Grey, labels: Labels, regions: Sequence[tuple[Box, int]]) -> list[Blob]:
    """All at once: a call to OpenCV for each would take longer than what it does."""
    places = np.flatnonzero(labels > 0)
    label = labels.ravel()[places]
    area = np.bincount(label)
    inside = nuclei.ravel()[places] > 0
    places, label = places[inside], label[inside]
    size = np.maximum(np.bincount(label, minlength=len(area)), 1)
    contrast, blue, green = (
        np.bincount(label, plane.ravel()[places], len(area)) / size
        for plane in (image.response, image.blue, image.green)
    )
    taken = (blue - ZERO) / np.maximum(1.0, green - ZERO)
    return [
        Blob(x, y, x + width, y + height, float(area[at]), float(contrast[at]), float(taken[at]))
        for (x, y, width, height), at in regions
    ]
