"""Where the white blood cells are, by colour: about 1 ms for a 640×480 frame on one core.

Nuclei are the only things on a Romanowsky-stained smear that are blue over green, magenta, and dark in red at
once. The frame is flattened (illumination and the background's tint divided out) so that the same settings serve
several laboratories, thresholded, and nuclear lobes that lie close together are joined into one cell.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.types import Box, Cell, Pixels
from edge_wbc.vision.reduced import reduced, scale_of

WHITE = 200
"""Grey level of the background after flattening."""
RED_WEIGHT = 0.15
"""How much darkness in red counts beside colour."""
FLOOR = 25
"""No threshold below this."""
FAINTEST = 40
"""Mean response below which a blob is no white cell of a field; the faintest stain tried has its nuclei above it."""
MOST_BLUE_LOST = 0.5
"""Red cells take away as much blue as green, for haemoglobin absorbs both; nuclear stain takes less than half."""
OF_BRIGHTEST = 0.35
"""No threshold below this fraction of the strongest response in the frame."""
SMALLEST_PX = 16
"""Diameter in the working image below which a blob is a platelet or debris."""
JOIN_GAP = 0.15
"""Blobs nearer than this, in lengths of the longest side among them, are lobes of one nucleus."""
OF_BEST = 0.45
"""A cell has at least this fraction of the prominence (contrast × diameter) of the frame's best."""
PADDING = 0.12
"""Added on each side of the nucleus, in lengths of its longer side, to take the cytoplasm in."""

_GRID = (24, 32)
_SMALL_KERNEL = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


_Grey: TypeAlias = npt.NDArray[np.uint8]


class _Blob(NamedTuple):
    """In pixels of the working image; ``right`` and ``bottom`` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    area: float
    contrast: float
    blue_lost: float
    """Darkness in blue over darkness in green."""

    @property
    def prominence(self) -> float:
        return float(self.contrast * self.area**0.5)

    @property
    def length(self) -> int:
        return max(self.right - self.left, self.bottom - self.top)


def locate(pixels: Pixels, small: Pixels | None = None) -> list[Cell]:
    """The white cells of a field, the most prominent first.

    :param pixels: (height, width, 3) uint8 BGR, any size.
    :param small: the same reduced, where that is at hand.
    """
    blobs, scale = _blobs(pixels, small, SMALLEST_PX)
    blobs = [blob for blob in blobs if blob.contrast >= FAINTEST and blob.blue_lost <= MOST_BLUE_LOST]
    if not blobs:
        return []
    blobs.sort(key=lambda blob: blob.prominence, reverse=True)
    limit = OF_BEST * blobs[0].prominence
    return [_cell(blob, scale, pixels) for blob in blobs if blob.prominence >= limit]


def locate_one(pixels: Pixels, small: Pixels | None = None) -> Cell:
    """The cell of an image that shows exactly one: the best near the centre, or the centred square if none is found.

    :param pixels: (height, width, 3) uint8 BGR, any size.
    :param small: the same reduced, where that is at hand.
    """
    height, width = pixels.shape[:2]
    blobs, scale = _blobs(pixels, small, SMALLEST_PX // 2)
    if not blobs:
        side = min(height, width)
        return Cell(Box((width - side) // 2, (height - side) // 2, side, side), 0.0)

    def rank(blob: _Blob) -> float:
        across = ((blob.left + blob.right) / (2 * scale) - width / 2) / width
        down = ((blob.top + blob.bottom) / (2 * scale) - height / 2) / height
        return blob.prominence * (1 - float(np.hypot(across, down)))

    return _cell(max(blobs, key=rank), scale, pixels)


def _blobs(pixels: Pixels, small: Pixels | None, smallest_px: int) -> tuple[list[_Blob], float]:
    response, flat = _response(reduced(pixels) if small is None else small)
    otsu, _ = cv2.threshold(response, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    threshold = max(otsu, FLOOR, OF_BRIGHTEST * float(response.max()))
    _, mask = cv2.threshold(response, threshold, 255, cv2.THRESH_BINARY)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _SMALL_KERNEL)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _SMALL_KERNEL)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    smallest_area = np.pi / 4 * smallest_px**2
    blobs = []
    for outline in outlines:
        left, top, width, height = cv2.boundingRect(outline)
        area = cv2.contourArea(outline) + len(outline) / 2 + 1  # pixels, by Pick's theorem; holes count
        if area >= smallest_area:
            place = np.s_[top : top + height, left : left + width]
            contrast = cv2.mean(response[place], mask[place])[0]
            blue, green, *_ = cv2.mean(flat[place], mask[place])
            blue_lost = (WHITE - blue) / max(1.0, WHITE - green)
            blobs.append(_Blob(left, top, left + width, top + height, area, contrast, blue_lost))
    return _join_lobes(blobs), scale_of(pixels)


def _response(small: Pixels) -> tuple[_Grey, Pixels]:
    """How much each pixel of the reduced frame looks like a stained nucleus; that frame, flattened."""
    flat = cv2.divide(small, _background(small), scale=WHITE)
    blue, green, red = cv2.split(flat)
    magenta = cv2.subtract(cv2.min(blue, red), green)
    colour = cv2.add(magenta, cv2.subtract(blue, green))
    darkness = cv2.subtract(np.full_like(red, WHITE), red)
    response = cv2.addWeighted(darkness, RED_WEIGHT, colour, 1.0, 0.0)
    return cv2.GaussianBlur(response, (5, 5), 0), flat


def _background(small: Pixels) -> Pixels:
    """A plane per colour through the bright part of the frame: least squares, once more with dark places lifted."""
    height, width = small.shape[:2]
    design, solve = _plane(*_GRID)
    tiny = cv2.resize(small, (_GRID[1], _GRID[0]), interpolation=cv2.INTER_LINEAR).reshape(-1, 3).astype(np.float32)
    fit = design @ (solve @ tiny)
    lifted = np.where(tiny < fit - 15, fit, tiny)
    fit = np.clip(design @ (solve @ lifted), 20, 255).astype(np.uint8)
    background: Pixels = cv2.resize(fit.reshape(*_GRID, 3), (width, height), interpolation=cv2.INTER_LINEAR)
    return background


@functools.cache
def _plane(rows: int, columns: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    down, across = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    design = np.stack([np.ones(rows * columns), across.ravel(), down.ravel()], axis=1)
    return design.astype(np.float32), np.linalg.pinv(design).astype(np.float32)


def _join_lobes(blobs: list[_Blob]) -> list[_Blob]:
    joined: list[_Blob] = []
    waiting = list(blobs)
    while waiting:
        blob = waiting.pop()
        near = next((other for other in joined if _gap(blob, other) <= JOIN_GAP * max(blob.length, other.length)), None)
        if near is None:
            joined.append(blob)
            continue
        joined.remove(near)
        waiting.append(
            _Blob(
                min(blob.left, near.left),
                min(blob.top, near.top),
                max(blob.right, near.right),
                max(blob.bottom, near.bottom),
                blob.area + near.area,
                max(blob.contrast, near.contrast),
                min(blob.blue_lost, near.blue_lost),
            )
        )
    return joined


def _gap(a: _Blob, b: _Blob) -> float:
    across = max(a.left, b.left) - min(a.right, b.right)
    down = max(a.top, b.top) - min(a.bottom, b.bottom)
    return float(np.hypot(max(across, 0), max(down, 0)))


def _cell(blob: _Blob, scale: float, pixels: Pixels) -> Cell:
    padding = PADDING * blob.length
    height, width = pixels.shape[:2]
    left = max(0, round((blob.left - padding) / scale))
    top = max(0, round((blob.top - padding) / scale))
    right = min(width, round((blob.right + padding) / scale))
    bottom = min(height, round((blob.bottom + padding) / scale))
    return Cell(Box(left, top, right - left, bottom - top), round(min(1.0, blob.contrast / 255), 4))
