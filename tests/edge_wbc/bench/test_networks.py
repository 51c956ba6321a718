"""What a user would take instead: published networks in the same engine, our weights in PyTorch."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import closing

import numpy as np
import pytest
from click.testing import CliRunner

from edge_wbc.bench import networks, torch_peer
from edge_wbc.bench.contenders import ANY_GRAPH
from edge_wbc.bench.engine_alone import measure
from edge_wbc.bench.torch_peer import KINDS, TorchPeer
from edge_wbc.cli.bench import bench
from edge_wbc.engines.openvino import OpenvinoEngine
from edge_wbc.errors import EnvironmentMissing
from edge_wbc.golden import golden_crops
from edge_wbc.manifest import load_model

CROPS = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)

CHILD = """
import base64, json, sys
print(json.dumps({"ready": "0"}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    pixels = base64.b64decode(asked["crops"])
    if pixels[0] == 7:
        print(json.dumps({"error": "no compiler"}), flush=True)
    elif pixels[0] == 8:
        sys.exit()
    elif "least" in asked:
        print(json.dumps({"calls_ns": [len(pixels)] * asked["least"]}), flush=True)
    else:
        print(json.dumps({"probabilities": [[sum(pixels), asked["shape"][0]]]}), flush=True)
"""


@pytest.fixture
def child(model, monkeypatch):
    """A program that speaks as ``training.torch_peer`` does."""
    peer = TorchPeer(model, "eager", 1)
    monkeypatch.setattr(peer, "_command", [sys.executable, "-c", CHILD])
    yield peer
    peer.close()


def test_another_process_answers_and_times(child):
    assert child.answer(CROPS).tolist() == [[CROPS.sum(), 2]]
    assert child.timed(CROPS, 3, 0.0) == [CROPS.size] * 3
    child.close()
    child.close()


def test_what_goes_wrong_there_is_one_line(child, monkeypatch):
    with pytest.raises(EnvironmentMissing, match="PyTorch: no compiler; measure again with --no-peers"):
        child.answer(np.full_like(CROPS, 7))
    with pytest.raises(EnvironmentMissing, match="PyTorch ended"):
        child.answer(np.full_like(CROPS, 8))
    monkeypatch.setattr(torch_peer, "PATIENCE_S", 0)
    silent = TorchPeer(load_model(), "eager", 1)
    monkeypatch.setattr(silent, "_command", [sys.executable, "-c", "input()"])
    with pytest.raises(EnvironmentMissing, match="said nothing for 0 s"):
        silent.answer(CROPS)
    silent.close()


def hide(monkeypatch, *names):
    """As if these packages were not installed."""
    honest = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else honest(name))


def test_without_torch_the_rows_say_so_and_are_no_failure(model, monkeypatch):
    hide(monkeypatch, "torch", "safetensors")
    found = list(networks.in_pytorch(model, 1, 1, None, list(KINDS)))
    assert [one.what["engine"] for one in found] == ["PyTorch eager", "torch.compile"]
    rows = measure(found, 5, 0.0)
    assert {row.absent for row in rows} == {
        "torch and safetensors not installed; pip install 'edge-wbc[train]'",
    }
    assert all(row.error == "" and row.peer for row in rows)
    assert not list(networks.in_pytorch(load_model("leukonet-int8"), 1, 1, None, list(KINDS))), "PyTorch's is another"


def test_without_onnx_the_rows_say_so_and_the_command_is_no_failure(tmp_path, monkeypatch):
    hide(monkeypatch, "onnx", "torch")
    absent = networks.write_published(tmp_path, ("a", "b"))
    assert absent == "onnx is not installed; pip install 'edge-wbc[export]'"
    monkeypatch.setattr(networks, "write_published", lambda folder, labels: absent)
    monkeypatch.setattr("edge_wbc.bench.contenders.peers.program", lambda name: None)
    done = CliRunner().invoke(bench, ["engine", "--smoke", "--engine", "openvino"], standalone_mode=False)
    assert done.return_value == 0, done.output
    assert f"edge-wbc: ResNet-18, openvino f32, batch 1: {absent}" in done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "ResNet-18" in line]
    assert "absent" in line


def test_the_published_networks_take_turns_in_the_same_engine(model, tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed: no peer can be written")
    assert networks.write_published(tmp_path, model.manifest.labels.names) == ""
    found = list(networks.published(tmp_path, "", "openvino", 2, 1, ["f32"]))
    assert [one.what["model"] for one in found] == ["MobileNetV3-Small", "ResNet-18"]
    assert {one.group for one in found} == {(ANY_GRAPH, "f32", "2")}
    assert {one.crops.shape for one in found} == {(2, 224, 224, 3)}
    assert found[0].answer(found[0].crops).shape == (2, len(model.manifest.labels.names))
    assert list(networks.published(tmp_path, "", "tensorrt", 1, 1, [""])) == []


def test_a_network_that_cannot_be_written_is_told(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed: no peer can be written")
    said = networks.write_published(tmp_path / "none", ("a",))
    assert "its graph can't be written" in said
    assert "\n" not in said


def test_pytorch_gives_our_engines_answers_and_times_itself(model):
    if torch_peer.absent():
        pytest.skip(torch_peer.absent())
    expected = model.manifest.input
    crops = golden_crops(expected.size_px, expected.margin)[:2]
    with closing(TorchPeer(model, "eager", 1)) as peer:
        answers, calls = peer.answer(crops), peer.timed(crops, 3, 0.0)
        with pytest.raises(EnvironmentMissing, match=r"PyTorch: .*measure again with --no-peers"):
            peer.answer(crops[..., :2])
        assert (peer.answer(crops) == answers).all(), "it goes on"
    with closing(OpenvinoEngine(model, 1)) as engine:
        assert np.abs(answers - engine.infer(crops).probabilities).max() < 1e-5
    assert len(calls) == 3
    assert min(calls) > 10_000
