"""How large the red cells of a frame are: the ruler by which white cells are told from platelets and from each other.

A red cell is about 7.5 µm across in any laboratory; what a micrometre is on the camera is not known.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_wbc.vision.stain import ZERO, Grey, Stained

FILLED = 0.002
"""Holes in what is stained are filled up to this part of the frame…"""
FILLED_ROUND = 0.03
"""… and up to this, if they are as round as the pale middle of a red cell: gaps between cells are not."""
ROUND = 0.6
"""Of a hole's box: how much it fills, and its shorter side to the longer."""
MOST_COVERED = 0.8
"""Part of the frame; where more is stained, cells lie on each other and their size does not show."""
FEWEST = 6
"""Ridges."""
LEAST_RADIUS_PX = 1.5
HALVED_FROM_PX = 16
"""Diameter from which on half the resolution says it as well, in a fourth of the time."""

_NEAR = np.ones((7, 7), np.uint8)


def diameter(image: Stained) -> float | None:
    """Typical diameter of the red cells in pixels of the working image; None where it does not show."""
    half = cv2.resize(image.green, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    found = _diameter(np.asarray(half, np.uint8), image.body)
    if found is not None and found >= HALVED_FROM_PX / 2:
        return 2 * found
    return _diameter(np.asarray(cv2.GaussianBlur(image.green, (3, 3), 0), np.uint8), image.body)


def _diameter(green: Grey, body: float) -> float | None:
    """Twice the median distance of the middles from the edge, weighted by itself: crumbs count for little."""
    _, clear = cv2.threshold(green, ZERO + body, 255, cv2.THRESH_BINARY_INV)
    count, parts = cv2.connectedComponents(clear, connectivity=4)
    area = np.bincount(parts.ravel(), minlength=count)
    filled = area < FILLED * green.size
    for hole in np.flatnonzero(~filled & (area < FILLED_ROUND * green.size)):
        _, _, wide, high = cv2.boundingRect((parts == hole).view(np.uint8))
        filled[hole] = area[hole] > ROUND * wide * high and min(wide, high) > ROUND * max(wide, high)
    filled[0] = True
    stained = np.where(filled, 255, 0).astype(np.uint8).take(parts)
    if cv2.countNonZero(stained) > MOST_COVERED * green.size:
        return None
    inside = cv2.distanceTransform(stained, cv2.DIST_L2, 3)
    highest = cv2.dilate(inside, _NEAR)
    radii = np.sort(inside[(inside == highest) & (inside > LEAST_RADIUS_PX)])
    if len(radii) < FEWEST:
        return None
    weight = np.cumsum(radii)
    return 2 * float(radii[np.searchsorted(weight, weight[-1] / 2)])
