"""``doctor --prove``: real engines, TensorRT as its double, one shipped model."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_wbc.bench import prove as proving
from edge_wbc.bench.machine import look
from edge_wbc.bench.processor import Clock
from edge_wbc.bench.prove import prove
from edge_wbc.cli.doctor import doctor
from edge_wbc.engines.onnxruntime import OnnxruntimeEngine
from edge_wbc.engines.openvino import OpenvinoEngine
from tests.data import drawn_cell
from tests.on_the_double import tensorrt_here


@pytest.fixture(autouse=True)
def one_model(monkeypatch):
    monkeypatch.setattr(proving, "shipped", lambda: ["leukonet-int8"])


def run(*arguments):
    return CliRunner().invoke(doctor, ["--prove", "--smoke", *map(str, arguments)], standalone_mode=False)


def test_every_engine_is_held_against_the_reference_and_timed():
    seen = []
    proofs = list(prove(0.0, [], lambda done, what: seen.append((done, what))))
    assert [proof.engine for proof in proofs] == ["openvino", "onnxruntime"]
    assert seen == [(0, "leukonet-int8 on openvino"), (1, "leukonet-int8 on onnxruntime")]
    for proof in proofs:
        assert proof.passed
        assert (proof.golden.crops, proof.golden.same, proof.real) == (64, 64, None)
        assert [timing.batch for timing in proof.timings] == [1, 8]
        assert all(0 < timing.ms["p50"] <= timing.ms["p99"] for timing in proof.timings)
        assert proof.built == {}
    assert proofs[1].golden.worst_difference == 0, "the reference beside itself"
    assert proofs[0].golden.worst_difference > 0


def test_an_engine_that_names_cells_otherwise_fails(tmp_path, monkeypatch):
    honest = OpenvinoEngine.infer

    def wrong(engine, crops):
        outputs = honest(engine, crops)
        return outputs._replace(probabilities=np.ascontiguousarray(outputs.probabilities[:, ::-1]))

    monkeypatch.setattr(OpenvinoEngine, "infer", wrong)
    done = run("--report", tmp_path / "report.json")
    assert done.return_value == 1
    assert "NO  leukonet-int8 on openvino" in done.stderr
    assert "1 of 2 passed" in done.stderr
    content = json.loads((tmp_path / "report.json").read_text())
    assert [(proof["engine"], proof["passed"]) for proof in content["proofs"]] == [
        ("openvino", False),
        ("onnxruntime", True),
    ]
    assert content["passed"] is False


def test_one_crop_of_64_named_otherwise_is_too_many():
    assert proving.Beside(64, 64, 0.0).passed
    assert not proving.Beside(64, 63, 0.0).passed
    assert proving.Beside(64, 63, 0.08, near=1).passed
    assert not proving.Beside(64, 62, 0.08, near=1).passed
    assert not proving.Beside(64, 61, 0.08, near=3).passed, "so many are no chance"
    assert proving.Beside(2000, 1998, 0.0).passed


def test_an_engine_that_does_not_run_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    from edge_wbc.errors import ModelError

    def refuse(*_):
        raise ModelError("x.onnx: OpenVINO refuses it; export the graph again")

    monkeypatch.setattr(OpenvinoEngine, "__init__", refuse)
    done = run("--report", tmp_path / "report.json", "--json")
    found = json.loads(done.stdout)
    assert done.return_value == 1
    assert [proof["error"] for proof in found["proofs"]] == ["x.onnx: OpenVINO refuses it; export the graph again", ""]
    assert found["proofs"][1]["passed"]


def test_the_report_holds_checks_machine_and_proofs(tmp_path):
    done = run("--report", tmp_path / "report.json")
    assert done.return_value == 0, done.output
    content = json.loads((tmp_path / "report.json").read_text())
    assert {"edge-wbc", "python", "gstreamer", "engine openvino", "serial port"} <= {
        check["what"] for check in content["checks"]
    }
    assert content["machine"]["processor"]
    assert content["smoke"] is True
    assert {"governors", "gpu", "rails_mw", "power_mode"} <= content["proofs"][0]["before"].keys()
    assert "research use only" in content["notice"].lower()
    assert "2 of 2 passed" in done.stderr


def test_real_cells_are_held_against_the_reference_too(tmp_path):
    cells = tmp_path / "cells"
    cells.mkdir()
    for i in range(3):
        cv2.imwrite(str(cells / f"{i}.png"), drawn_cell(i, 1 + i))
    (proof, _) = prove(0.0, proving.images_of(cells), lambda *_: None)
    assert (proof.real.crops, proof.real.same) == (3, 3)


def test_a_folder_without_images_and_a_report_without_a_place_are_refused(tmp_path):
    assert "no image in it" in str(run("--cells", tmp_path, "--report", tmp_path / "r.json").exception)
    assert not (tmp_path / "r.json").exists()
    assert "name a file that can be written" in str(run("--report", tmp_path / "none" / "r.json").exception)


def test_on_tensorrts_double_the_build_stands_in_the_report(tmp_path):
    with tensorrt_here(tmp_path / "cache"):
        proofs = list(prove(0.0, [], lambda *_: None))
    (proof,) = (proof for proof in proofs if proof.engine == "tensorrt")
    assert proof.passed, proof.error
    assert (proof.built["precision"], proof.built["tensorrt"]) == ("int8", "10.3.0")
    assert proof.golden.same == 64


def test_what_speaks_against_the_times_is_said(monkeypatch, tmp_path):
    moving = replace(look(), gpu=Clock(306, 306, 1020))
    monkeypatch.setattr(proving, "look", lambda: moving)
    monkeypatch.setattr(proving, "engines_here", lambda: ["onnxruntime"])
    assert OnnxruntimeEngine.name == "onnxruntime"
    assert "times may be off: the GPU's clock may move" in run("--report", tmp_path / "r.json").stderr
