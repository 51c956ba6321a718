from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed: no graph can be quantised")
pytest.importorskip("torch", reason="torch is not installed: training's readers can't be used")

from click.testing import CliRunner

from calibration import calibrate as calibrating
from calibration.cache import read_cache
from calibration.calibrate import try_methods
from calibration.cli import calibrate
from calibration.observe import METHODS
from calibration.sampling import listed
from edge_wbc.engines.base import open_engine
from edge_wbc.manifest import load_model, manifest_path
from tests.data import NO_REAL, REAL, drawn_cell
from training.datasets import Sample

CELLS = [Sample(Path(f"{label}.png"), label, "a", f"a/{label}", None) for label in ("neutrophil", "basophil")]


def ignore(done):
    pass


def test_methods_come_best_first_and_the_engines_are_held_against_each_other(model, crops):
    names = model.manifest.labels.names
    engine = open_engine("onnxruntime", model)
    truth = [names[i] for i in engine.infer(crops).probabilities.argmax(axis=1)]
    tried = try_methods(model, ["minmax", "percentile"], crops, crops, truth, ignore)
    assert tried[0].rank >= tried[1].rank
    for item in tried:
        assert item.gate.agreement > 0.9
        assert set(item.same_label) == {"openvino"}
        assert item.same_label["openvino"] > 0.9


def run(*arguments):
    return CliRunner().invoke(calibrate, list(map(str, arguments)), standalone_mode=False)


def test_graph_and_manifest_tell_how_they_were_made(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("calibration.gate.LEAST_AGREEMENT", 0.0)
    out = tmp_path / "small-int8.onnx"
    asked = ("--count", 6, "--seed", 3, "--method", "minmax", "--out", out)
    done = run("leukonet", "--data", folders, *asked, "--force", "--json")
    assert done.exception is None
    found = json.loads(done.stdout)
    assert (found["calibrated_on"], found["locked"]) == (6, False)
    written = load_model(out)
    record = written.manifest.calibration
    assert (record["method"], record["images"], record["per_class"]) == (
        "minmax",
        6,
        {"lymphocyte": 3, "neutrophil": 3},
    )
    chosen, others = (
        calibrating.cells_of(calibrating.labelled(folders, written), 6, seed).calibrating for seed in (3, 1)
    )
    assert record["list"] == listed(chosen, folders) != listed(others, folders)
    assert written.manifest.graph.precision == "int8"
    assert written.manifest.metrics == {}  # those of the fp32 graph are not this one's
    assert written.manifest.parity["against"]["sha256"] == load_model().manifest.graph.sha256
    calibrated = {row["file"] for row in record["list"]}
    assert written.manifest.parity["crops"] + len(calibrated) <= 24
    open_engine("openvino", written).infer(np.zeros((1, 64, 64, 3), np.uint8))


def test_a_graph_that_fails_is_written_only_by_force_and_marked(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("calibration.gate.LEAST_AGREEMENT", 1.1)
    out = tmp_path / "x.onnx"
    arguments = ("--data", folders, "--count", 4, "--method", "minmax", "--out", out)
    done = run("leukonet", *arguments)
    assert done.return_value == 1
    assert "nothing was written" in done.stderr
    assert not out.exists()
    done = run("leukonet", *arguments, "--force")
    assert done.return_value == 1
    assert load_model(out).manifest.parity["passed"] is False


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "give --data"),
        (("--data", "x", "--method", "mean"), "use one of minmax, percentile, mse, entropy"),
        (("--data", "x", "--out", "graph.bin"), "ends in .onnx"),
        (("--data", "x", "--frames", "y"), "give --data"),
        (("--data", "x", "--precision", "fp16", "--method", "mse"), "FP16 has no ranges"),
        (("--data", "x", "--cache", "10.3.0", "--auto-mixed"), "are of INT8 graphs"),
    ],
)
def test_wrong_usage_is_told_in_a_line(arguments, text):
    done = run("leukonet", *arguments)
    assert text in str(done.exception)


def test_an_int8_model_is_refused(copied, folders, tmp_path):
    path = manifest_path(copied)
    content = json.loads(path.read_text())
    content["graph"]["precision"] = "int8"
    path.write_text(json.dumps(content))
    assert "int8 already" in str(run(copied, "--data", folders, "--out", tmp_path / "x.onnx").exception)


def test_one_class_and_few_cells_are_pointed_out_and_too_few_refused(folders, tmp_path):
    shutil.rmtree(folders / "lymphocyte")
    out = tmp_path / "x.onnx"
    arguments = ("--data", folders, "--method", "minmax", "--out", out)
    done = run("leukonet", *arguments, "--count", 5)
    assert "only cells of one class, neutrophil" in done.stderr
    for image in sorted((folders / "neutrophil").iterdir())[1:]:
        image.unlink()
    assert "too few" in str(run("leukonet", *arguments).exception)


def test_sensitivity_says_what_each_layer_gains_and_its_error_by_each_method(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("calibration.gate.LEAST_AGREEMENT", 0.0)
    done = run("leukonet", "--data", folders, "--out", tmp_path / "x.onnx", "--force", "--sensitivity", "--json")
    assert done.exception is None
    found = json.loads(done.stdout)
    names = {layer["name"] for layer in found["layers"]}
    assert {"stem", "stage1.block1.conv2", "stage3.block2.conv2"} <= names
    assert found["signal_to_noise_db"].keys() == {"minmax", "percentile", "mse", "entropy"}
    assert all(of.keys() == names for of in found["signal_to_noise_db"].values())
    assert found["floating"] == []


def test_auto_mixed_leaves_layers_in_floating_point_until_the_gate_passes(folders, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "minmax", lambda histogram: histogram.largest / 200)
    out = tmp_path / "x.onnx"
    arguments = ("leukonet", "--data", folders, "--method", "minmax", "--out", out)
    failed = run(*arguments)
    assert failed.return_value == 1
    assert "nothing was written" in failed.stderr
    done = run(*arguments, "--auto-mixed")
    assert done.return_value == 0, done.stderr
    floating = load_model(out).manifest.calibration["floating"]
    assert floating
    assert f"in floating point: {floating[0]}" in done.stderr
    assert load_model(out).manifest.parity["passed"] is True


def test_unlabelled_frames_are_told_apart_by_what_the_fp32_graph_names(tmp_path, monkeypatch):
    monkeypatch.setattr("calibration.gate.LEAST_AGREEMENT", 0.0)
    frames = tmp_path / "frames"
    (frames / "slide").mkdir(parents=True)
    for i in range(6):
        cv2.imwrite(str(frames / "slide" / f"{i}.png"), drawn_cell(i, lobes=1 + 2 * (i % 2)))
    out = tmp_path / "x.onnx"
    done = run("leukonet", "--frames", frames, "--method", "minmax", "--out", out, "--force", "--json")
    assert done.exception is None
    assert "classes here are those that the fp32 graph names" in done.stderr
    manifest = load_model(out).manifest
    assert manifest.parity["labels_from"] == "the fp32 graph"
    assert all(part["right_before"] == part["crops"] for part in manifest.parity["classes"].values())
    calibrated = {row["file"] for row in manifest.calibration["list"]}
    assert calibrated <= {f"slide/{i}.png" for i in range(6)}
    assert 0 < len(calibrated) < 6  # the others judge


@pytest.mark.parametrize(("make", "text"), [(False, "not a folder"), (True, "no image in it")])
def test_frames_that_are_none_are_refused(tmp_path, make, text):
    folder = tmp_path / "frames"
    if make:
        folder.mkdir()
    assert text in str(run("leukonet", "--frames", folder, "--out", tmp_path / "x.onnx").exception)


def test_frames_without_a_cell_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((240, 320, 3), 225, np.uint8))
    assert "no white cell" in str(run("leukonet", "--frames", tmp_path, "--out", tmp_path / "x.onnx").exception)


def test_fewer_cells_than_asked_for_are_said():
    cells = calibrating.Cells([CELLS[0], CELLS[1]], [], locked=False)
    assert calibrating.warnings(cells, 2) == []
    assert "2 cells calibrate, 3 were asked for" in calibrating.warnings(cells, 3)[0]
    assert "one class" in calibrating.warnings(replace(cells, calibrating=cells.calibrating[:1]), 1)[0]


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason=NO_REAL)
def test_the_shipped_model_keeps_its_answers_on_real_cells(model):
    """Few crops calibrate here; the figure of the documentation is with 512."""
    cells = calibrating.cells_of(calibrating.labelled(REAL / "pbc", model), 64, 1)
    samples = [*cells.calibrating, *cells.judging]
    crops = calibrating.crops_for(samples, model, ignore)
    truth = [sample.label for sample in cells.judging]
    (tried,) = try_methods(model, ["mse"], crops[:64], crops[64:], truth, ignore)
    assert cells.locked
    assert tried.gate.passed, tried.gate.failures()


def test_fp16_is_judged_and_its_manifest_tells_how_far_it_is_from_overflow(folders, tmp_path):
    out = tmp_path / "x.onnx"
    done = run("leukonet", "--data", folders, "--precision", "fp16", "--out", out, "--json")
    assert (done.exception, done.return_value) == (None, 0)
    manifest = load_model(out).manifest
    assert manifest.graph.precision == "fp16"
    assert manifest.calibration["headroom"] > 4
    assert manifest.parity["passed"] is True
    assert manifest.parity["worst_difference"] == json.loads(done.stdout)["worst_difference"] > 0


def test_the_cache_is_written_for_tensorrt_10_alone(folders, tmp_path):
    out = tmp_path / "leukonet.cache"
    done = run("leukonet", "--data", folders, "--cache", "10.3.0", "--method", "minmax", "--out", out, "--json")
    assert done.exception is None
    cache = read_cache(out.read_text())
    assert cache.version == "10.3.0"
    assert cache.ranges == pytest.approx(json.loads(done.stdout)["ranges"])
    assert "no calibration cache" in str(run("leukonet", "--data", folders, "--cache", "11.4.1").exception)
