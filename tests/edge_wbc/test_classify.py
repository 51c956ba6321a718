"""Crops → predictions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edge_wbc.classify import LARGEST_BATCH, classify, cut, decide
from edge_wbc.engines.base import Engine, open_engine
from edge_wbc.manifest import Model
from edge_wbc.types import LABELS, UNIDENTIFIED, Box, Cell
from edge_wbc.vision.crop import crop

THRESHOLD = 0.625


@pytest.fixture(scope="module")
def engine(model: Model) -> Iterator[Engine]:
    """The shipped graph, with a threshold of the test's own."""
    labels = model.manifest.labels.model_copy(update={"unidentified_below": THRESHOLD})
    changed = Model(model.manifest.model_copy(update={"labels": labels}), model.graph)
    engine = open_engine("onnxruntime", changed, threads=1)
    yield engine
    engine.close()


def rows(*best: tuple[int, float]) -> np.ndarray:
    """A row of probabilities for each (class, its probability); the rest is shared by the others."""
    table = [[(1 - value) / (len(LABELS) - 1)] * len(LABELS) for _, value in best]
    for row, (place, value) in zip(table, best, strict=True):
        row[place] = value
    return np.array(table, np.float32)


def test_at_the_threshold_a_cell_has_its_name(engine: Engine) -> None:
    predictions = decide(rows((3, THRESHOLD), (1, 0.99)), engine)
    assert [prediction.label for prediction in predictions] == ["lymphocyte", "eosinophil"]
    assert predictions[0].probability == THRESHOLD


def test_below_the_threshold_it_is_unidentified(engine: Engine) -> None:
    (prediction,) = decide(rows((3, 0.5)), engine)
    assert prediction.label == UNIDENTIFIED
    assert prediction.probability == 0.5, "still that of the most probable class"
    assert max(prediction.probabilities, key=lambda name: prediction.probabilities[name]) == "lymphocyte"


def test_a_prediction_holds_every_class(engine: Engine) -> None:
    (prediction,) = decide(rows((0, 0.9)), engine)
    assert tuple(prediction.probabilities) == engine.model.manifest.labels.names == LABELS
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_many_crops_are_answered_in_order(engine: Engine) -> None:
    crops = np.random.default_rng(3).integers(0, 256, (2 * LARGEST_BATCH + 3, 64, 64, 3), np.uint8)
    crops[LARGEST_BATCH + 1] = 128
    together = classify(crops, engine)
    assert len(together) == len(crops)
    for number in (0, LARGEST_BATCH - 1, LARGEST_BATCH, LARGEST_BATCH + 1, len(crops) - 1):
        (alone,) = classify(crops[number : number + 1], engine)
        assert together[number].probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_no_crops_no_predictions(engine: Engine) -> None:
    assert classify(np.empty((0, 64, 64, 3), np.uint8), engine) == []


def test_crops_are_cut_as_the_manifest_says(engine: Engine) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (120, 160, 3), np.uint8)
    boxes = [Box(10, 20, 50, 40), Box(100, 60, 30, 30)]
    crops = cut([(pixels, Cell(box, 1.0)) for box in boxes], engine)
    margin = engine.model.manifest.input.margin
    assert crops.shape == (2, 64, 64, 3)
    for found, box in zip(crops, boxes, strict=True):
        assert np.array_equal(found, crop(pixels, box, 64, margin=margin))
    assert cut([], engine).shape == (0, 64, 64, 3)
