"""The contract of an engine, for every one there is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_wbc.classify import classify
from edge_wbc.engines.base import ENGINES, Engine, installed, open_engine, ready
from edge_wbc.errors import ModelError, UsageError
from edge_wbc.golden import golden_crops
from edge_wbc.manifest import Model, manifest_path, sha256, write_manifest
from edge_wbc.types import LABELS, Box, Pixels
from edge_wbc.vision.crop import crop
from tests.doubles import VERSIONS
from tests.on_the_double import tensorrt_here


@pytest.fixture(scope="module")
def crops(draw_field: Any) -> Pixels:
    """64 crops: half of drawn cells, the rest noise, black and white."""
    nuclei = [Box(60 + 140 * (i % 4), 60 + 110 * (i // 4), 40 + 4 * i, 56) for i in range(16)]
    fields = [draw_field(nuclei, seed=seed) for seed in (1, 2)]
    drawn = [crop(field, box, 64) for field in fields for box in nuclei]
    noise = np.random.default_rng(5).integers(0, 256, (30, 64, 64, 3), np.uint8)
    return np.stack([*drawn, *noise, np.zeros_like(noise[0]), np.full_like(noise[0], 255)])


@pytest.fixture(scope="module", params=[*(name for name in ENGINES if name != "tensorrt"), *VERSIONS])
def name(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Each engine; TensorRT is the double of each version."""
    if request.param in VERSIONS:
        with tensorrt_here(tmp_path_factory.mktemp("cache"), request.param):
            yield "tensorrt"
        return
    if not installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    yield request.param


@pytest.fixture(scope="module")
def engine(name: str, model: Model) -> Iterator[Engine]:
    engine = open_engine(name, model, threads=1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def reference(model: Model, crops: Pixels) -> np.ndarray:
    """The probabilities ONNX Runtime gives each crop alone."""
    engine = open_engine("onnxruntime", model, threads=1)
    found = np.concatenate([engine.infer(crops[i : i + 1]).probabilities for i in range(len(crops))])
    engine.close()
    return found


def test_shapes_and_types(engine: Engine, crops: Pixels) -> None:
    for count in (1, 7):
        outputs = engine.infer(crops[:count])
        for array in outputs:
            assert array.shape == (count, len(engine.model.manifest.labels.names))
            assert array.dtype == np.float32
    assert engine.name in ENGINES
    assert engine.precision in {"f32", "bf16", "f16", "int8"}


def test_probabilities_are_the_softmax_of_the_logits(engine: Engine, crops: Pixels) -> None:
    outputs = engine.infer(crops)
    assert np.abs(outputs.probabilities.sum(axis=1) - 1).max() < 1e-5
    assert outputs.probabilities.min() >= 0
    assert (outputs.probabilities.argmax(axis=1) == outputs.logits.argmax(axis=1)).all()


def test_crops_are_told_apart(engine: Engine, crops: Pixels) -> None:
    probabilities = engine.infer(crops).probabilities
    assert np.ptp(probabilities, axis=0).max() > 0.1, "the answer depends on the crop"


def test_a_batch_gives_what_one_by_one_gives(engine: Engine, crops: Pixels) -> None:
    alone = np.concatenate([engine.infer(crops[i : i + 1]).probabilities for i in range(16)])
    for count in range(1, 17):
        assert np.abs(engine.infer(crops[:count]).probabilities - alone[:count]).max() <= 1e-5, count


def test_engines_agree(engine: Engine, crops: Pixels, reference: np.ndarray) -> None:
    assert np.abs(engine.infer(crops).probabilities - reference).max() <= 1e-4


def test_the_golden_crops_get_the_same_labels(engine: Engine, model: Model) -> None:
    golden = golden_crops(model.manifest.input.size_px)
    assert len(golden) == 64
    reference = open_engine("onnxruntime", model, threads=1)
    assert [p.label for p in classify(golden, engine)] == [p.label for p in classify(golden, reference)]
    reference.close()


def test_outputs_are_the_callers_to_keep(engine: Engine, crops: Pixels) -> None:
    first = engine.infer(crops[:4])
    kept = [array.copy() for array in first]
    engine.infer(crops[4:8])
    engine.infer(crops[60:64])
    for array, copy in zip(first, kept, strict=True):
        assert np.array_equal(array, copy)
        array[:] = 0  # and to write to
    assert np.array_equal(engine.infer(crops[:4]).probabilities, kept[0])


def test_the_crops_are_only_read(engine: Engine, crops: Pixels) -> None:
    before = crops.copy()
    engine.infer(crops)
    assert np.array_equal(crops, before)


def test_one_crop_of_another_kind_is_refused_by_openvino_too(model: Model, crops: Pixels) -> None:
    """It copies one crop itself: that must not widen or convert what does not fit."""
    engine = open_engine("openvino", model, threads=1)
    for wrong in (crops[:1].astype(np.float32), crops[:1, ..., :1], crops[:1, :32]):
        with pytest.raises((TypeError, RuntimeError)):
            engine.infer(np.ascontiguousarray(wrong))


def test_close_twice(name: str, model: Model, crops: Pixels) -> None:
    engine = open_engine(name, model)
    outputs = engine.infer(crops[:1])
    engine.close()
    engine.close()
    assert np.isfinite(outputs.probabilities).all(), "what was given stays"


def test_auto_takes_the_first_installed(model: Model) -> None:
    engine = open_engine("auto", model)
    assert engine.name == next(name for name in ENGINES if ready(name))
    engine.close()


def test_an_unknown_engine_is_refused(model: Model) -> None:
    with pytest.raises(UsageError, match="known are auto, tensorrt, openvino, onnxruntime"):
        open_engine("tensorflow", model)


def tiny_graph(path: Path, **change: Any) -> Path:
    """A graph of the right form; ``change`` spoils a part of it."""
    onnx = pytest.importorskip("onnx")
    make, tensor = onnx.helper, onnx.TensorProto
    part = {
        "input": "crops",
        "dtype": tensor.UINT8,
        "shape": ["N", 64, 64, 3],
        "probabilities": "probabilities",
        "outputs": ("probabilities", "logits"),
        "classes": len(LABELS),
        **change,
    }
    weights = np.random.default_rng(6).normal(size=(part["shape"][-1], part["classes"])).astype(np.float32)
    nodes = [
        make.make_node("Cast", [part["input"]], ["float"], to=tensor.FLOAT),
        make.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2], keepdims=0),
        make.make_node("MatMul", ["mean", "weights"], ["logits"]),
        make.make_node("Softmax", ["logits"], [part["probabilities"]], axis=1),
    ]
    graph = make.make_graph(
        nodes,
        "tiny",
        [make.make_tensor_value_info(part["input"], part["dtype"], part["shape"])],
        [make.make_tensor_value_info(name, tensor.FLOAT, ["N", part["classes"]]) for name in part["outputs"]],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), path)
    return path


def beside(model: Model, graph: Path) -> Model:
    """The shipped manifest, as that of another graph."""
    group = model.manifest.graph.model_copy(update={"file": graph.name, "sha256": sha256(graph)})
    other = replace(model, manifest=model.manifest.model_copy(update={"graph": group}), graph=graph)
    write_manifest(manifest_path(graph), other.manifest)
    return other


def test_a_graph_of_the_right_form_runs(name: str, model: Model, crops: Pixels, tmp_path: Path) -> None:
    engine = open_engine(name, beside(model, tiny_graph(tmp_path / "tiny.onnx")))
    assert engine.infer(crops[:5]).probabilities.shape == (5, len(LABELS))
    engine.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dtype": 1}, r"takes crops float32\[N, 64, 64, 3\], not crops uint8\[N, 64, 64, 3\]"),
        ({"shape": ["N", 32, 32, 3]}, r"takes crops uint8\[N, 32, 32, 3\]"),
        ({"shape": [1, 64, 64, 3]}, r"takes crops uint8\[1, 64, 64, 3\]"),
        ({"shape": ["N", 3, 64, 64]}, r"takes crops uint8\[N, 3, 64, 64\]"),
        ({"input": "x"}, "takes x uint8"),
        ({"outputs": ("logits",)}, "returns logits float32.*, not probabilities and logits"),
        ({"outputs": ("logits", "probabilities")}, "not probabilities and logits"),
        ({"probabilities": "softmax", "outputs": ("softmax", "logits")}, "returns softmax"),
        ({"classes": 5}, f"returns 5 probabilities, its manifest has {len(LABELS)} labels"),
    ],
)
def test_a_graph_of_another_form_is_refused(
    name: str, change: dict[str, Any], says: str, model: Model, tmp_path: Path
) -> None:
    graph = tiny_graph(tmp_path / "other.onnx", **change)
    with pytest.raises(ModelError, match=says) as caught:
        open_engine(name, beside(model, graph))
    assert str(graph) in str(caught.value)
    assert "export" in str(caught.value)


@pytest.mark.parametrize("part", [0, 3, 0.5])
def test_a_file_that_is_no_graph_is_refused(name: str, part: float, model: Model, tmp_path: Path) -> None:
    graph = tmp_path / "broken.onnx"
    data = model.graph.read_bytes()
    graph.write_bytes(b"no graph at all" if part == 3 else data[: int(part * len(data))])
    with pytest.raises(ModelError, match=r"refuses it|takes nothing") as caught:
        open_engine(name, beside(model, graph))
    assert str(graph) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_signal_after_engines_were_closed_in_turn_is_handled() -> None:
    """A CPU plugin of OpenVINO leaves an unmapped stack for signals behind, where there are several."""
    program = """
import os, signal
from edge_wbc.engines.base import open_engine
from edge_wbc.manifest import load_model
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
engines = [open_engine("openvino", load_model("leukonet-4-int8"), 1) for _ in range(3)]
for engine in engines:
    engine.close()
del engine, engines
os.kill(os.getpid(), signal.SIGINT)
print(len(heard))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
