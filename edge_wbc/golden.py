"""The golden crops: the same drawn cells for every engine to be held against the reference on."""

from __future__ import annotations

import numpy as np

from edge_wbc.sources.base import open_source
from edge_wbc.types import Frame, Pixels
from edge_wbc.vision.crop import MARGIN, crop

COUNT = 64
SEED = 1


def golden_crops(size: int, margin: float = MARGIN) -> Pixels:
    """Every white cell of one simulated slide: uint8 (64, size, size, 3) BGR."""
    frames = open_source(f"smear://?seed={SEED}&cells={COUNT}").frames()
    shown = [frame for frame in frames if isinstance(frame, Frame)]
    return np.stack(
        [crop(frame.pixels, cell.box, size, margin=margin) for frame in shown for cell in frame.truth or ()]
    )
