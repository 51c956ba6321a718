from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from edge_wbc.engines.base import open_engine
from edge_wbc.errors import SourceError
from edge_wbc.manifest import load_model
from edge_wbc.types import Prediction
from tests.data import class_folders, drawn_cell
from training.datasets import Sample, read_class_folders
from training.evaluate import Scored, forced, report, score


def scored(label, said, probabilities=None):
    prediction = None
    if probabilities:
        prediction = Prediction(said, max(probabilities.values()), probabilities)
    return Scored(Sample(None, label, "a", "a/1", None), said, prediction)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def engine():
    engine = open_engine("onnxruntime", load_model())
    yield engine
    engine.close()


def test_figures_of_a_small_table():
    rows = (
        [scored("neutrophil", "neutrophil")] * 6
        + [scored("neutrophil", "monocyte")] * 2
        + [scored("monocyte", "monocyte")] * 1
        + [scored("monocyte", "unidentified")] * 1
    )
    found = report(rows)
    assert found.images == 10
    assert found.accuracy == pytest.approx(0.7)
    assert found.balanced_accuracy == pytest.approx((6 / 8 + 1 / 2) / 2)
    assert found.per_class["neutrophil"]["recall"] == pytest.approx(0.75)
    assert found.per_class["neutrophil"]["precision"] == 1
    assert found.per_class["monocyte"]["precision"] == pytest.approx(1 / 3)
    assert found.per_class["monocyte"]["n"] == 2
    low, high = found.per_class["neutrophil"]["interval"]
    assert low == pytest.approx(0.3491, abs=1e-3)  # Clopper–Pearson, 6 of 8
    assert high == pytest.approx(0.9681, abs=1e-3)
    assert found.confusion["monocyte"] == {"monocyte": 1, "unidentified": 1}


def test_missed_and_unreadable_cells_are_errors():
    found = report([scored("monocyte", "monocyte"), scored("monocyte", "missed"), scored("monocyte", "unreadable")])
    assert found.accuracy == pytest.approx(1 / 3)


def test_precision_of_what_was_never_said_is_none():
    assert report([scored("monocyte", "platelet")]).per_class["monocyte"]["precision"] is None


def test_nothing_to_score_is_refused():
    with pytest.raises(SourceError):
        report([])


def test_forced_names_the_most_probable_class():
    row = scored("monocyte", "unidentified", {"monocyte": 0.4, "platelet": 0.3})
    assert [item.said for item in forced([row, scored("monocyte", "missed")])] == ["monocyte", "missed"]


def test_field_mode_misses_what_cell_mode_takes_from_the_centre(tmp_path, engine):
    (tmp_path / "monocyte").mkdir()
    cv2.imwrite(str(tmp_path / "monocyte" / "blank.png"), np.full((200, 200, 3), 225, np.uint8))
    cv2.imwrite(str(tmp_path / "monocyte" / "cell.png"), drawn_cell(1))
    samples = read_class_folders(tmp_path)
    in_field = {item.sample.path.stem: item.said for item in score(samples, engine, "field", lambda done: None)}
    in_cell = {item.sample.path.stem: item.said for item in score(samples, engine, "cell", lambda done: None)}
    assert in_field["blank"] == "missed"
    assert in_field["cell"] != "missed"
    assert "missed" not in in_cell.values()


def test_every_image_is_scored_once_over_batch_borders(tmp_path, engine):
    samples = read_class_folders(class_folders(tmp_path, ("neutrophil", "monocyte"), 17))
    steps: list[int] = []
    items = score(samples, engine, "cell", steps.append)
    assert sorted(str(item.sample.path) for item in items) == sorted(str(sample.path) for sample in samples)
    assert steps == list(range(1, 35))


def test_the_verb_prints_the_contract(tmp_path):
    class_folders(tmp_path, ("NEUTROPHIL", "ig"), 2)
    (tmp_path / "NEUTROPHIL" / "broken.jpg").write_text("no image")
    evaluate = [sys.executable, "-m", "edge_wbc", "evaluate", str(tmp_path), "--model", "leukonet"]
    done = subprocess.run([*evaluate, "--mode", "cell", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 3  # one image can't be read; the figures are complete all the same
    printed = json.loads(done.stdout)
    assert {"images", "accuracy", "balanced_accuracy", "per_class", "confusion"} <= printed.keys()
    assert printed["images"] == 5
    assert set(printed["per_class"]) == {"neutrophil", "immature granulocyte"}
    assert {"recall", "precision", "n", "interval"} <= printed["per_class"]["neutrophil"].keys()
    assert printed["confusion"]["neutrophil"]["unreadable"] == 1
    assert "broken.jpg" in done.stderr
    assert "Traceback" not in done.stderr
