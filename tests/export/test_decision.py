"""Temperature and threshold as they are chosen at export, and the calibration error told with them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: nothing can be exported")
pytest.importorskip("onnx", reason="onnx is not installed: nothing can be exported")

from edge_wbc.errors import SourceError
from edge_wbc.manifest import MODELS, load_model
from export.decision import LEAST_THRESHOLD, cross_fitted_ece, decide_on, in_first_half
from export.graph import fit_temperature, probabilities_of
from tests.data import drawn_cell
from training.datasets import Sample
from training.evaluate import scored_from
from training.reliability import reliability, risk_coverage

LABELS = ("neutrophil", "monocyte", "not_a_cell")
WEIGHTS = MODELS.parents[1] / "training" / "leukonet.safetensors"


def drawn(count, spread, seed=1, groups=40):
    """Logits that are true log-probabilities, and samples whose labels are drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (count, len(LABELS))).astype(np.float32)
    labels = [LABELS[rng.choice(len(LABELS), p=row / row.sum())] for row in probabilities_of(logits, 1.0)]
    return logits, [Sample(Path("x"), label, "a", f"a/{i % groups}", None) for i, label in enumerate(labels)]


def test_the_threshold_rejects_a_fiftieth_of_the_cells():
    logits, samples = drawn(2000, 8)
    logits[:, 2] -= 30  # nothing looks like no cell
    samples = [sample for sample in samples if sample.label != "not_a_cell"]
    logits = logits[: len(samples)]
    samples = [
        Sample(sample.path, LABELS[int(row.argmax())], sample.source, sample.group, None)
        for sample, row in zip(samples, logits, strict=True)
    ]
    decision = decide_on(logits, samples, LABELS)
    assert decision.unidentified_below > LEAST_THRESHOLD
    scored = scored_from(samples, probabilities_of(logits, decision.temperature), LABELS)
    point = risk_coverage(scored, decision.unidentified_below).model
    assert 0.015 < point.rejected <= 0.02
    assert decision.threshold_from.startswith("chosen to reject 2% of the cells of locked groups: on these it ")
    assert point.words in decision.threshold_from


def test_the_threshold_is_never_below_a_half():
    logits, samples = drawn(500, 1)
    samples = [Sample(s.path, s.label if s.label != "not_a_cell" else "monocyte", "a", s.group, None) for s in samples]
    decision = decide_on(logits, samples, LABELS)
    assert decision.unidentified_below == 0.5
    assert decision.threshold_from.startswith("0.5, because below it every class is more likely wrong than right: ")


def test_a_threshold_needs_cells():
    logits, samples = drawn(20, 1)
    nothing = [Sample(sample.path, "not_a_cell", "a", sample.group, None) for sample in samples]
    with pytest.raises(SourceError, match="no cell of a known class"):
        decide_on(logits, nothing, LABELS)


def test_halves_hold_whole_groups_and_half_of_every_origin():
    groups = [f"{origin}/{i % 10}" for origin in ("a", "b") for i in range(50)]
    first = in_first_half(groups)
    assert not {group for group, one in zip(groups, first, strict=True) if one} & {
        group for group, one in zip(groups, first, strict=True) if not one
    }
    assert [sum(first[:50]), sum(first[50:])] == [25, 25]


def test_cross_fitting_judges_each_half_with_the_others_temperature():
    """One half of the groups is three times too sure, the other as much too unsure: no temperature suits both."""
    logits, samples = drawn(3000, 2)
    first = in_first_half([sample.group for sample in samples])
    logits[first] *= 3
    logits[~first] /= 3
    temperature = fit_temperature(logits, [LABELS.index(sample.label) for sample in samples])
    cells = np.array([sample.label != "not_a_cell" for sample in samples])
    part = [sample for sample, cell in zip(samples, cells, strict=True) if cell]
    fitted = reliability(scored_from(part, probabilities_of(logits, temperature)[cells], LABELS)).ece
    crossed = cross_fitted_ece(logits, samples, LABELS)
    assert crossed.keys() == {"a", "background"}
    assert crossed["a"] > 1.3 * fitted
    swapped = np.empty(logits.shape)
    swapped[first], swapped[~first] = (probabilities_of(logits[first], 1 / 3), probabilities_of(logits[~first], 3.0))
    assert crossed["a"] == pytest.approx(reliability(scored_from(part, swapped[cells], LABELS)).ece, abs=0.02)


def test_one_group_can_not_be_cross_fitted():
    assert cross_fitted_ece(*drawn(50, 1, groups=1), LABELS) is None


def draw_slides(data, *slides):
    """Four cells on each, as Chula's set holds them; its slide B-59 is locked."""
    fields = data / "chula"
    (fields / "images").mkdir(parents=True)
    lines = ["image,slide,xmin,ymin,xmax,ymax,label"]
    for i, slide in enumerate(slide for slide in slides for _ in range(4)):
        cv2.imwrite(str(fields / "images" / f"{i}.png"), drawn_cell(i, 1 + i % 2))
        lines.append(f"{i}.png,{slide},120,80,200,160,{('basophil', 'lymphocyte')[i % 2]}")
    (fields / "boxes.csv").write_text("\n".join(lines) + "\n")


def test_export_writes_the_threshold_and_the_calibration_of_locked_groups(tmp_path, edge_wbc_command):
    draw_slides(tmp_path / "data", "B-59")
    out = tmp_path / "out.onnx"
    done = edge_wbc_command("export", WEIGHTS, "--data", tmp_path / "data", "--out", out, "--json")
    assert done.code == 0, done.err
    manifest = load_model(out).manifest
    assert manifest.labels.unidentified_below == done.json["unidentified_below"] >= LEAST_THRESHOLD
    assert "rejects" in manifest.labels.threshold_from
    assert "of the rest" in manifest.labels.threshold_from or "leaves nothing" in manifest.labels.threshold_from
    metrics = manifest.metrics["chula"]
    assert {"ece", "ece_cross_fitted", "ece_by_chance", "ece_by_chance_clustered", "rejected", "error_on_rest"} <= (
        metrics.keys()
    )
    assert metrics["ece_cross_fitted"] is None, "one slide"
    assert metrics["images"] == 4
    assert metrics["accuracy_interval"] is None
    assert json.dumps(manifest.metrics)
    assert "unidentified below" in done.err


def test_export_in_int8_calibrates_what_it_exported(tmp_path, edge_wbc_command):
    draw_slides(tmp_path / "data", "B-59", "B-30")
    out = tmp_path / "out.onnx"
    done = edge_wbc_command(
        "export", WEIGHTS, "--data", tmp_path / "data", "--out", out, "--precision", "int8", "--json"
    )
    assert done.code == 0, done.err
    fp32, int8 = load_model(out).manifest, load_model(tmp_path / "out-int8.onnx").manifest
    assert (fp32.graph.precision, int8.graph.precision) == ("fp32", "int8")
    assert int8.parity["against"]["sha256"] == fp32.graph.sha256
    assert done.json["calibrated_on"] == int8.calibration["images"] >= 4
    assert done.json["locked"] is True
    assert "out-int8.onnx" in done.err


def test_export_in_int8_needs_real_cells(tmp_path, edge_wbc_command):
    done = edge_wbc_command("export", WEIGHTS, "--out", tmp_path / "out.onnx", "--precision", "int8")
    assert done.code == 2
    assert "needs --data" in done.err
    assert list(tmp_path.iterdir()) == []
