"""Crops → batch → engine → predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_wbc.engines.base import Engine
from edge_wbc.types import UNIDENTIFIED, Cell, Pixels, Prediction
from edge_wbc.vision.crop import crop

LARGEST_BATCH = 8
"""Crops that go to the engine at once; more are split."""


def cut(cells: Sequence[tuple[Pixels, Cell]], engine: Engine) -> Pixels:
    """The crops of cells, each given with the pixels of its frame: uint8 (N, S, S, 3) BGR, N ≥ 0."""
    expected = engine.model.manifest.input
    crops = np.empty((len(cells), expected.size_px, expected.size_px, 3), np.uint8)
    for i, (pixels, cell) in enumerate(cells):
        crop(pixels, cell.box, expected.size_px, margin=expected.margin, out=crops[i])
    return crops


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
