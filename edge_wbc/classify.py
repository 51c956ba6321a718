"""Crops → batch → engine → predictions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_wbc.engines.base import Engine, Overlapping
from edge_wbc.types import UNIDENTIFIED, Cell, Pixels, Prediction
from edge_wbc.vision.crop import crop

LARGEST_BATCH = 8
"""Crops that go to the engine at once; more are split."""


def cut(cells: Sequence[tuple[Pixels, Cell]], engine: Engine, room: Pixels | None = None) -> Pixels:
    """The crops of cells, each given with the pixels of its frame: uint8 (N, S, S, 3) BGR, N ≥ 0.

    :param room: what to write them into; a new array otherwise.
    """
    expected = engine.model.manifest.input
    crops = np.empty((len(cells), expected.size_px, expected.size_px, 3), np.uint8) if room is None else room
    for i, (pixels, cell) in enumerate(cells):
        crop(pixels, cell.box, expected.size_px, margin=expected.margin, out=crops[i])
    return crops


class Decided(NamedTuple):
    """Predictions with the crops that they are of, uint8 (S, S, 3) BGR, and how long they took."""

    predictions: list[Prediction]
    crops: list[Pixels]
    crop_ns: int
    classify_ns: int


def cut_and_classify(cells: Sequence[tuple[Pixels, Cell]], engine: Engine) -> Decided:
    """One prediction a cell, each given with the pixels of its frame.

    An engine that can computes one batch while the next is cut, straight into the memory from which it is read.
    """
    ahead = engine if isinstance(engine, Overlapping) else None
    predictions: list[Prediction] = []
    kept: list[Pixels] = []
    crop_ns, began = 0, time.perf_counter_ns()
    for start in range(0, len(cells), LARGEST_BATCH):
        batch = cells[start : start + LARGEST_BATCH]
        cutting = time.perf_counter_ns()
        crops = cut(batch, engine, ahead.room(len(batch)) if ahead else None)
        kept.extend(crops.copy() if ahead else crops)  # the engine's own memory is written again
        crop_ns += time.perf_counter_ns() - cutting
        if ahead is None:
            predictions += decide(engine.infer(crops).probabilities, engine)
            continue
        ahead.submit(crops)
        if start:
            predictions += decide(ahead.collect().probabilities, engine)
    if ahead and cells:
        predictions += decide(ahead.collect().probabilities, engine)
    return Decided(predictions, kept, crop_ns, time.perf_counter_ns() - began - crop_ns)


def classify(crops: Pixels, engine: Engine) -> list[Prediction]:
    """One prediction a crop.

    :param crops: uint8 (N, S, S, 3) BGR, N ≥ 0.
    """
    decided: list[Prediction] = []
    for start in range(0, len(crops), LARGEST_BATCH):
        probabilities, _ = engine.infer(crops[start : start + LARGEST_BATCH])
        decided += decide(probabilities, engine)
    return decided


def decide(probabilities: npt.NDArray[np.float32], engine: Engine) -> list[Prediction]:
    """Label each row (N, C), ``unidentified`` below the model's threshold."""
    labels = engine.model.manifest.labels
    return predictions(probabilities, labels.names, labels.unidentified_below)


def predictions(
    probabilities: npt.NDArray[np.floating], names: Sequence[str], unidentified_below: float
) -> list[Prediction]:
    """Label each row (N, C); the columns are ``names``."""
    decided = []
    for row in probabilities.tolist():
        best = max(range(len(row)), key=row.__getitem__)
        label = names[best] if row[best] >= unidentified_below else UNIDENTIFIED
        rounded = {name: round(value, 6) for name, value in zip(names, row, strict=True)}
        decided.append(Prediction(label, rounded[names[best]], rounded))
    return decided
