from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed: no graph can be quantised")
pytest.importorskip("torch", reason="torch is not installed: training's readers can't be used")

import onnx

from calibration import peers
from calibration.calibrate import infer
from calibration.peers import beside


@pytest.fixture(scope="module")
def by_onnxruntime(model, crops):
    names = model.manifest.labels.names
    truth = [names[i] for i in infer("onnxruntime", model, crops).argmax(axis=1)]
    ticks = []
    found = [peer for peer in beside(model, crops[:8], crops, truth, ticks.append) if "onnxruntime" in peer.tool]
    assert ticks == [1, 2]
    return found[0]


def test_onnxruntimes_defaults_are_what_tensorrt_refuses(by_onnxruntime):
    rules = {finding.rule for finding in by_onnxruntime.findings if finding.refused}
    assert "zero-point" in rules
    assert 0 < by_onnxruntime.refused <= len(by_onnxruntime.findings)


def test_its_graph_is_held_against_fp32_on_the_crops_that_judge(by_onnxruntime, crops):
    gate = by_onnxruntime.gate
    assert gate.crops == len(crops)
    assert 0.8 < gate.agreement <= 1
    assert 0 < gate.worst_difference < 1, "it is another graph than fp32"


def test_a_tool_can_not_change_the_shipped_graph(model, crops, monkeypatch):
    before = model.graph.read_bytes()

    def rude(given, made, calibrating):
        made.write_bytes(given.read_bytes())
        given.write_bytes(b"")

    monkeypatch.setattr(peers, "TOOLS", {"rude": ("onnx", rude)})
    names = model.manifest.labels.names
    (peer,) = beside(model, crops[:2], crops, [names[0]] * len(crops), lambda done: None)
    assert model.graph.read_bytes() == before
    assert peer.tool == f"rude {onnx.__version__}"
    assert peer.gate.agreement == 1
    assert peer.gate.worst_difference < 1e-5


def test_a_tool_that_is_not_installed_is_left_out(model, crops, monkeypatch):
    monkeypatch.setattr(peers, "TOOLS", {"none": ("no_such_package", None)})
    assert beside(model, crops[:2], crops[:2], [model.manifest.labels.names[0]] * 2, lambda done: None) == []
    assert np.isfinite(infer("onnxruntime", model, crops[:1])).all()
