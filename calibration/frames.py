"""Cells to calibrate on from whole frames that nobody has labelled: located, and named by the fp32 graph itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edge_wbc.classify import cut
from edge_wbc.engines.base import REFERENCE, open_engine
from edge_wbc.errors import SourceError
from edge_wbc.manifest import Model
from edge_wbc.sources.files import images_below, read_image
from edge_wbc.vision.locate import locate
from training.datasets import Sample

SOURCE = "unlabelled frames"


def frames_in(folder: Path) -> list[Path]:
    """The images of a folder and of those below it, by name.

    :raises SourceError: not a folder, or no image in it.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder; give one that holds frames")
    found = images_below(folder)
    if not found:
        raise SourceError(f"{folder}: no image in it; give frames as JPEG, PNG, BMP or TIFF")
    return found


def read_frames(frames: Sequence[Path], model: Model, progress: Callable[[int], None]) -> list[Sample]:
    """Every white cell that the locator finds, under the class that the fp32 graph thinks most probable.

    Each frame is a group of its own.

    :param progress: called with the number of frames done.
    :raises SourceError: a frame can't be read, or no frame shows a cell.
    """
    names = model.manifest.labels.names
    engine = open_engine(REFERENCE, model)
    samples = []
    for done, path in enumerate(frames, 1):
        pixels = read_image(path)
        cells = locate(pixels)
        if cells:
            crops = cut([(pixels, cell) for cell in cells], engine)
            best = engine.infer(crops).probabilities.argmax(axis=1)
            samples += [
                Sample(path, names[i], SOURCE, f"{SOURCE}/{path}", cell.box)
                for i, cell in zip(best, cells, strict=True)
            ]
        progress(done)
    engine.close()
    if not samples:
        raise SourceError(f"{frames[0].parent}: no white cell found in {len(frames)} frames; give others")
    return samples
