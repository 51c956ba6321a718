"""From labelled samples to the crops a network is trained on: located and cut exactly as at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_wbc.sources.files import read_image
from edge_wbc.types import NOT_A_CELL, Box, Pixels
from edge_wbc.vision.crop import MARGIN, crop
from training.augment import STORED_PX
from training.datasets import Sample
from training.evaluate import located_cell, the_cell
from training.leukonet import CROP_PX


def box_of(pixels: Pixels, sample: Sample) -> Box:
    """The box the locator gives for a sample's cell; the annotated box where the locator misses it."""
    if sample.box is not None and sample.label == NOT_A_CELL:
        return sample.box
    return the_cell(pixels, sample).box


def run_time_crops(samples: Sequence[Sample], progress: Callable[[int], None]) -> Pixels:
    """uint8 (len(samples), CROP_PX, CROP_PX, 3) BGR: what the live pipeline cuts.

    :param progress: called with the number done after each image.
    :raises SourceError: an image can't be read.
    """
    return _crops(samples, CROP_PX, progress)


def stored_crops(samples: Sequence[Sample], progress: Callable[[int], None]) -> Pixels:
    """uint8 (len(samples), STORED_PX, STORED_PX, 3) BGR: run-time crops with more around them, at the same scale."""
    return _crops(samples, STORED_PX, progress)


def both_crops(
    samples: Sequence[Sample], progress: Callable[[int], None]
) -> tuple[Pixels, Pixels, npt.NDArray[np.bool_]]:
    """Stored crops, run-time crops, and which cells the locator finds without being told that there is one."""
    stored = np.empty((len(samples), STORED_PX, STORED_PX, 3), np.uint8)
    seen = np.empty((len(samples), CROP_PX, CROP_PX, 3), np.uint8)
    located = np.zeros(len(samples), bool)
    for i, (pixels, sample) in enumerate(_opened(samples)):
        box = box_of(pixels, sample)
        crop(pixels, box, STORED_PX, margin=MARGIN * STORED_PX / CROP_PX, out=stored[i])
        crop(pixels, box, CROP_PX, margin=MARGIN, out=seen[i])
        located[i] = located_cell(pixels, sample) is not None
        progress(i + 1)
    return stored, seen, located


def _opened(samples: Sequence[Sample]) -> Iterator[tuple[Pixels, Sample]]:
    last: tuple[Path | None, Pixels] = (None, np.empty((0, 0, 3), np.uint8))
    for sample in samples:
        if sample.path != last[0]:
            last = (sample.path, read_image(sample.path))
        yield last[1], sample


def _crops(samples: Sequence[Sample], size: int, progress: Callable[[int], None]) -> Pixels:
    crops = np.empty((len(samples), size, size, 3), np.uint8)
    for i, (pixels, sample) in enumerate(_opened(samples)):
        crop(pixels, box_of(pixels, sample), size, margin=MARGIN * size / CROP_PX, out=crops[i])
        progress(i + 1)
    return crops
