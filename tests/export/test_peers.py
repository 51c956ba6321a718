"""The published networks that leukonet is timed beside are those networks, and nothing slows them."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no peer can be written")

import onnxruntime  # noqa: E402

from edge_wbc.engines.base import open_engine  # noqa: E402
from edge_wbc.engines.openvino_runtime import core  # noqa: E402
from edge_wbc.manifest import Model, load_model  # noqa: E402
from edge_wbc.types import Pixels  # noqa: E402
from export.peers import NOTICE, PEERS, write_peer  # noqa: E402
from export.writer import parameters  # noqa: E402

LABELS = ("neutrophil", "eosinophil", "lymphocyte")


@pytest.fixture(scope="module", params=list(PEERS))
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return write_peer(request.param, LABELS, tmp_path_factory.mktemp("peer"))


@pytest.fixture(scope="module")
def crops() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "published_parameters", "published_macs"),
    [
        ("MobileNetV3-Small", 2_542_856, 56.5e6),
        ("EfficientNet-B0", 5_288_548, 0.39e9),
        ("ResNet-18", 11_689_512, 1.81e9),
    ],
)
def test_a_peer_is_as_large_as_published(name: str, published_parameters: int, published_macs: float) -> None:
    graph, macs = PEERS[name](1000)
    plain = ("squeeze.bias", "excite.bias", "wide.bias", "head.bias")
    normalised = sum(
        constant.dims[0]
        for constant in graph.graph.initializer
        if constant.name.endswith(".bias") and not constant.name.endswith(plain)
    )
    # A batch-norm has two parameters a channel; folded, one is left.
    assert parameters(graph) + normalised == published_parameters
    assert macs == pytest.approx(published_macs, rel=0.015)


def test_engines_agree_on_a_peer(peer: Model, crops: Pixels) -> None:
    loaded = load_model(peer.graph)
    assert loaded.manifest.model.notice == NOTICE
    assert loaded.manifest.labels.names == LABELS
    found = []
    for name in ("onnxruntime", "openvino"):
        engine = open_engine(name, loaded, 1)
        found.append(engine.infer(crops))
        engine.close()
    assert np.isfinite(found[0].logits).all()
    assert np.abs(found[0].logits - found[1].logits).max() < 1e-4
    assert np.abs(found[0].probabilities - found[1].probabilities).max() < 1e-4
    assert np.abs(found[0].logits[0] - found[0].logits[1]).max() > 1e-3, "what goes in makes no difference"


def test_activations_of_a_peer_keep_their_size(peer: Model, crops: Pixels) -> None:
    graph = onnx.load(peer.graph)
    names = [node.output[0] for node in graph.graph.node if not node.name.startswith("input.")]
    del graph.graph.output[:]
    graph.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in names)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for name, values in zip(names, session.run(names, {"crops": crops}), strict=True):
        assert 0.1 < np.sqrt(np.mean(np.square(values))) < 10, name
        assert not ((values != 0) & (np.abs(values) < np.finfo(np.float32).tiny)).any(), f"{name} has subnormal numbers"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="how OpenVINO joins operations is known for x86 only")
def test_openvino_joins_activations_and_shortcuts_to_convolutions(peer: Model) -> None:
    compiled = core().compile_model(core().read_model(peer.graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kinds = Counter(
        operation.get_rt_info()["layerType"].astype(str) for operation in compiled.get_runtime_model().get_ops()
    )
    nodes = onnx.load(peer.graph).graph.node
    gates = sum(node.name.endswith("gate.scale") for node in nodes)
    assert kinds["Convolution"] == sum(node.op_type == "Conv" for node in nodes)
    assert kinds["Eltwise"] == gates + 1, "beside the gates' products only the crop's normalisation"
    assert kinds.keys() <= {
        *("Input", "Output", "Const", "Convolution", "FullyConnected", "Eltwise", "Reduce", "Pooling"),
        *("Reshape", "Reorder", "Transpose", "Softmax"),
    }


def test_a_peer_has_the_same_bytes_each_time(peer: Model, tmp_path: Path) -> None:
    again = write_peer(peer.manifest.model.name, LABELS, tmp_path)
    assert again.graph.read_bytes() == peer.graph.read_bytes()
