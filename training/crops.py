"""From labelled samples to the crops a network is trained on: located and cut exactly as at run time.

What a session recorded is cut already. It has no surroundings, so those that turning and shifting need are made of
itself, mirrored at its edge; what the network sees without a change is the recorded crop, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.sources.files import read_image
from edge_wbc.types import NOT_A_CELL, Box, Pixels
from edge_wbc.vision.crop import MARGIN, crop
from training.augment import SEEN
from training.datasets import Sample
from training.evaluate import located_cell, recorded, the_cell
from training.leukonet import CROP_PX

SURROUNDINGS = cv2.BORDER_REFLECT_101
"""How the surroundings of a recorded crop are made."""


def box_of(pixels: Pixels, sample: Sample) -> Box:
    """The box the locator gives for a sample's cell; the annotated box where the locator misses it."""
    if sample.box is not None and sample.label == NOT_A_CELL:
        return sample.box
    return the_cell(pixels, sample).box


def run_time_crops(samples: Sequence[Sample], progress: Callable[[int], None], size: int = CROP_PX) -> Pixels:
    """uint8 (len(samples), size, size, 3) BGR: what the live pipeline cuts.

    :param progress: called with the number done after each image.
    :raises SourceError: an image can't be read.
    """
    return _crops(samples, size, progress)


def stored_px(size: int) -> int:
    """Side of a stored crop for a network that sees ``size`` pixels."""
    return round(size / SEEN)


def stored_crops(samples: Sequence[Sample], progress: Callable[[int], None], size: int = CROP_PX) -> Pixels:
    """uint8 (len(samples), size / SEEN, size / SEEN, 3) BGR: run-time crops and more around them, same scale."""
    return _crops(samples, size, progress, more=True)


def both_crops(
    samples: Sequence[Sample], progress: Callable[[int], None], size: int = CROP_PX
) -> tuple[Pixels, Pixels, npt.NDArray[np.bool_]]:
    """Stored crops, run-time crops, and which cells the locator finds without being told that there is one."""
    side = stored_px(size)
    stored = np.empty((len(samples), side, side, 3), np.uint8)
    seen = np.empty((len(samples), size, size, 3), np.uint8)
    located = np.zeros(len(samples), bool)
    for i, (pixels, sample) in enumerate(_opened(samples)):
        if sample.is_crop:
            seen[i], located[i] = recorded(pixels, sample, size), True
            stored[i] = _with_surroundings(seen[i], side)
            progress(i + 1)
            continue
        box = box_of(pixels, sample)
        crop(pixels, box, side, margin=MARGIN / SEEN, out=stored[i])
        crop(pixels, box, size, margin=MARGIN, out=seen[i])
        located[i] = located_cell(pixels, sample) is not None
        progress(i + 1)
    return stored, seen, located


def _with_surroundings(seen: Pixels, side: int) -> Pixels:
    """(S, S, 3) → (side, side, 3)."""
    before = (side - seen.shape[0]) // 2
    after = side - seen.shape[0] - before
    return np.asarray(cv2.copyMakeBorder(seen, before, after, before, after, SURROUNDINGS), np.uint8)


def _opened(samples: Sequence[Sample]) -> Iterator[tuple[Pixels, Sample]]:
    last: tuple[Path | None, Pixels] = (None, np.empty((0, 0, 3), np.uint8))
    for sample in samples:
        if sample.path != last[0]:
            last = (sample.path, read_image(sample.path))
        yield last[1], sample


def _crops(samples: Sequence[Sample], size: int, progress: Callable[[int], None], *, more: bool = False) -> Pixels:
    """:param more: with what is around them."""
    side, margin = (stored_px(size), MARGIN / SEEN) if more else (size, MARGIN)
    crops = np.empty((len(samples), side, side, 3), np.uint8)
    for i, (pixels, sample) in enumerate(_opened(samples)):
        if sample.is_crop:
            crops[i] = _with_surroundings(recorded(pixels, sample, size), side)
        else:
            crop(pixels, box_of(pixels, sample), side, margin=margin, out=crops[i])
        progress(i + 1)
    return crops
