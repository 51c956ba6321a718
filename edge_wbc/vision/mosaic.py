"""The slide as far as it was seen, put together from keyframes."""

from __future__ import annotations

import numpy as np

from edge_wbc.types import Pixels
from edge_wbc.vision.places import Places


def mosaic(places: Places, island: int = 0) -> Pixels:
    """What was seen of an island, a tenth of 640-pixel frames: (height, width, 3) uint8 BGR, white between."""
    keyframes = places.keyframes
    shown = [key for key in sorted(keyframes.images) if keyframes.islands[key] == island]
    if not shown:
        return np.full((1, 1, 3), 255, np.uint8)
    first = keyframes.images[shown[0]]
    scale = max(first.thumb.shape[:2]) / max(first.size)
    corners = np.rint(keyframes.at[shown] * scale).astype(int)
    corners -= corners.min(axis=0)
    height, width = first.thumb.shape[:2]
    right, bottom = (corners.max(axis=0) + np.array((width, height))).tolist()
    canvas = np.full((bottom, right, 3), 255, np.uint8)
    for key, (x, y) in zip(shown, corners.tolist(), strict=True):
        canvas[y : y + height, x : x + width] = keyframes.images[key].thumb
    return canvas
