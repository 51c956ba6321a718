from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: nothing can be exported")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: nothing can be exported")

import onnxruntime  # noqa: E402

from edge_wbc.engines.base import open_engine  # noqa: E402
from edge_wbc.manifest import MODELS, load_model  # noqa: E402
from export.graph import (  # noqa: E402
    LARGEST_DIFFERENCE,
    Decision,
    GateFailedError,
    fit_temperature,
    probabilities_of,
    write_graph,
)
from export.onnx import to_onnx  # noqa: E402
from export.plain import plain_graph  # noqa: E402
from training import weights  # noqa: E402
from training.leukonet import Architecture, Leukonet, logits_of  # noqa: E402

SHIPPED = ("leukonet", "leukonet-4")
DECISION = Decision(1.5, 0.5, "for a test")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    network = Leukonet(Architecture(3))
    for module in network.modules():  # statistics that are not the initial ones, so that folding shows
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.3, 0.3)
    return network.eval()


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def export(tmp_path, network, crops, **changed):
    given = {
        "out": tmp_path / "small.onnx",
        "network": network,
        "labels": ("neutrophil", "lymphocyte", "platelet"),
        "record": {"seed": 1},
        "decision": DECISION,
        "crops": crops,
        "crops_from": "noise",
        "description": "for a test",
    } | changed
    return write_graph(**given)


def test_the_graph_does_what_the_weights_do_and_says_so(tmp_path, network, crops):
    model, parity = export(tmp_path, network, crops)
    expected = probabilities_of(logits_of(network, crops), DECISION.temperature)
    for name in ("onnxruntime", "openvino"):
        engine = open_engine(name, load_model(model.graph))
        found = engine.infer(crops)
        engine.close()
        assert np.abs(found.probabilities - expected).max() <= LARGEST_DIFFERENCE
        assert parity.worst_difference[name] <= LARGEST_DIFFERENCE
    assert model.manifest.parity["crops"] == 5
    assert model.manifest.labels.counted == ("neutrophil", "lymphocyte")


def test_the_same_weights_give_the_same_bytes(network):
    one, two = (to_onnx(network, 1.0)[0].SerializeToString(deterministic=True) for _ in range(2))
    assert one == two


def test_nothing_is_written_where_the_graph_differs(tmp_path, network, crops, monkeypatch):
    other = Leukonet(Architecture(3)).eval()
    monkeypatch.setattr("export.graph.to_onnx", lambda network, temperature: to_onnx(other, temperature))
    with pytest.raises(GateFailedError, match="nothing was written"):
        export(tmp_path, network, crops)
    assert list(tmp_path.iterdir()) == []


def test_the_first_node_casts_and_the_nodes_bear_the_networks_names(network):
    graph, macs = to_onnx(network, 1.0)
    assert (graph.graph.node[0].op_type, graph.graph.node[0].input[0]) == ("Cast", "crops")
    names = {node.name for node in graph.graph.node}
    assert {"stem", "stage1.block1.conv1", "stage2.block2.conv2", "stage3.block1.shortcut", "head"} <= names
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    assert 0.04e9 < macs < 0.05e9


def test_macs_are_those_of_the_convolutions_as_run(network):
    counted = 0

    def count(module, inputs, output):
        nonlocal counted
        kernel = module.weight[0].numel()
        counted += kernel * (output[0].numel() if output.ndim == 4 else output.shape[1])

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    assert to_onnx(network, 1.0)[1] == counted


def test_temperature_is_found_again():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (4000, 4)).astype(np.float32)
    probabilities = probabilities_of(logits, 1.0)
    targets = [int(rng.choice(4, p=row / row.sum())) for row in probabilities]
    assert fit_temperature(logits * 2, targets) == pytest.approx(2.0, rel=0.1)


def test_the_plain_graph_gives_the_same_logits_for_the_same_crops_as_floats(network, crops):
    graph, _ = to_onnx(network, 1.0)
    whole = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    plain = onnxruntime.InferenceSession(plain_graph(graph).SerializeToString(), providers=["CPUExecutionProvider"])
    x = crops.astype(np.float32).transpose(0, 3, 1, 2)
    (expected,) = whole.run(["logits"], {"crops": crops})
    (found,) = plain.run(None, {"x": np.ascontiguousarray(x)})
    assert np.abs(expected - found).max() < 1e-3


@pytest.mark.parametrize("normalisation", ["crop", "fixed"])
@pytest.mark.parametrize("size", [64, 96, 128])
def test_graphs_of_every_size_and_normalisation_do_what_the_weights_do(normalisation, size):
    torch.manual_seed(1)
    network = Leukonet(Architecture(2, size, 32, (32, 32), (1, 1), normalisation)).eval()
    crops = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    crops[0, : size // 2] = 0  # an empty corner takes no part
    crops[1] = 130
    graph = to_onnx(network, 1.0)[0].SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"crops": crops})
    assert np.abs(found - logits_of(network, crops)).max() < 1e-4


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_graph_is_what_the_committed_weights_give(name):
    model = load_model(name)
    path = MODELS.parents[1] / "training" / f"{name}.safetensors"
    network, labels, _ = weights.load(path)
    assert path.stat().st_size <= 4_000_000
    graph, macs = to_onnx(network, model.manifest.graph.temperature)
    assert graph.SerializeToString(deterministic=True) == model.graph.read_bytes()
    assert labels == model.manifest.labels.names
    assert macs == model.manifest.graph.macs
    assert model.graph.stat().st_size <= 4_000_000
