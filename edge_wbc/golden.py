"""The golden crops: the same drawn cells for every engine to be held against the reference on."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from edge_wbc.sources.base import open_source
from edge_wbc.types import Frame, Pixels
from edge_wbc.vision.crop import MARGIN, crop

COUNT = 64
SEED = 1


class Golden(NamedTuple):
    """Every white cell of one simulated slide."""

    crops: Pixels
    """uint8 (64, size, size, 3) BGR; not to be written to."""
    labels: tuple[str, ...]
    """What each is drawn as."""


@lru_cache(maxsize=4)
def golden(size: int, margin: float = MARGIN) -> Golden:
    """The crops with their labels, drawn once."""
    frames = open_source(f"smear://?seed={SEED}&cells={COUNT}").frames()
    shown = [frame for frame in frames if isinstance(frame, Frame)]
    cells = [(frame.pixels, cell) for frame in shown for cell in frame.truth or ()]
    crops = np.stack([crop(pixels, cell.box, size, margin=margin) for pixels, cell in cells])
    return Golden(crops, tuple(cell.label for _, cell in cells))


def golden_crops(size: int, margin: float = MARGIN) -> Pixels:
    """The crops alone, the caller's to keep: uint8 (64, size, size, 3) BGR."""
    crops: Pixels = golden(size, margin).crops.copy()
    return crops
