"""The cell of an image that shows exactly one, by the response that the shipped weights were trained with.

Boxes of :func:`edge_wbc.vision.locate.locate` differ by some pixels from these, which costs weights trained on these a
percent or so: weights trained on the others may take them here, too, and this module may go.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.types import Box, Cell, Pixels
from edge_wbc.vision.lobes import JOIN_GAP, Blob, cell_around
from edge_wbc.vision.stain import WHITE, Grey, reduced, scale_of

RED_WEIGHT = 0.15
"""How much darkness in red counts beside colour."""
FLOOR = 25
"""No threshold below this."""
OF_BRIGHTEST = 0.35
"""No threshold below this fraction of the strongest response in the frame."""
SMALLEST_PX = 8
"""Diameter in the working image below which a blob is debris."""

_GRID = (24, 32)
_SMALL_KERNEL = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


def locate_one(pixels: Pixels, small: Pixels | None = None) -> Cell:
    """The cell of an image that shows exactly one: the best near the centre, or the centred square if none is found.

    :param pixels: (height, width, 3) uint8 BGR, any size.
    :param small: the same reduced, where that is at hand.
    """
    height, width = pixels.shape[:2]
    scale = scale_of(pixels)
    blobs = _blobs(reduced(pixels) if small is None else small)
    if not blobs:
        side = min(height, width)
        return Cell(Box((width - side) // 2, (height - side) // 2, side, side), 0.0)

    def rank(blob: Blob) -> float:
        across = ((blob.left + blob.right) / (2 * scale) - width / 2) / width
        down = ((blob.top + blob.bottom) / (2 * scale) - height / 2) / height
        return blob.prominence * (1 - float(np.hypot(across, down)))

    return cell_around(max(blobs, key=rank), scale, pixels)


def _blobs(small: Pixels) -> list[Blob]:
    response = _response(small)
    otsu, _ = cv2.threshold(response, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    threshold = max(otsu, FLOOR, OF_BRIGHTEST * float(response.max()))
    _, mask = cv2.threshold(response, threshold, 255, cv2.THRESH_BINARY)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _SMALL_KERNEL)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _SMALL_KERNEL)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    smallest_area = np.pi / 4 * SMALLEST_PX**2
    blobs = []
    for outline in outlines:
        left, top, width, height = cv2.boundingRect(outline)
        area = cv2.contourArea(outline) + len(outline) / 2 + 1  # pixels, by Pick's theorem; holes count
        if area >= smallest_area:
            place = np.s_[top : top + height, left : left + width]
            contrast = cv2.mean(response[place], mask[place])[0]
            blobs.append(Blob(left, top, left + width, top + height, area, contrast, 0.0))
    return _join_lobes(blobs)


def _response(small: Pixels) -> Grey:
    """How much each pixel of the working image looks like a stained nucleus."""
    flat = cv2.divide(small, _background(small), scale=WHITE)
    blue, green, red = cv2.split(flat)
    magenta = cv2.subtract(cv2.min(blue, red), green)
    colour = cv2.add(magenta, cv2.subtract(blue, green))
    darkness = cv2.subtract(np.full_like(red, WHITE), red)
    response = cv2.addWeighted(darkness, RED_WEIGHT, colour, 1.0, 0.0)
    return np.asarray(cv2.GaussianBlur(response, (5, 5), 0), np.uint8)


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


def _join_lobes(blobs: list[Blob]) -> list[Blob]:
    joined: list[Blob] = []
    waiting = list(blobs)
    while waiting:
        blob = waiting.pop()
        near = next((other for other in joined if _gap(blob, other) <= JOIN_GAP * max(blob.length, other.length)), None)
        if near is None:
            joined.append(blob)
            continue
        joined.remove(near)
        waiting.append(
            Blob(
                min(blob.left, near.left),
                min(blob.top, near.top),
                max(blob.right, near.right),
                max(blob.bottom, near.bottom),
                blob.area + near.area,
                max(blob.contrast, near.contrast),
                0.0,
            )
        )
    return joined


def _gap(a: Blob, b: Blob) -> float:
    across = max(a.left, b.left) - min(a.right, b.right)
    down = max(a.top, b.top) - min(a.bottom, b.bottom)
    return float(np.hypot(max(across, 0), max(down, 0)))
