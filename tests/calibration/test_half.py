from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no graph can be lowered")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from calibration.body import body  # noqa: E402
from calibration.cache import cached_tensors  # noqa: E402
from calibration.gate import judge  # noqa: E402
from calibration.half import halve, weights  # noqa: E402
from calibration.headroom import overflow  # noqa: E402
from calibration.view import View, name_of  # noqa: E402
from edge_wbc.engines.base import open_engine  # noqa: E402
from edge_wbc.errors import ModelError  # noqa: E402
from edge_wbc.manifest import Model  # noqa: E402
from tests.calibration.test_lint import Net, residual  # noqa: E402
from tests.data import NO_REAL, REAL  # noqa: E402


def ignore(done):
    pass


@pytest.fixture
def floats(model):
    return onnx.load(model.graph)


@pytest.fixture(scope="module")
def lowered(model):
    return halve(onnx.load(model.graph))


def types(graph):
    """Element type by tensor."""
    inferred = onnx.shape_inference.infer_shapes(graph).graph
    found = {item.name: item.data_type for item in graph.graph.initializer}
    for item in (*inferred.input, *inferred.output, *inferred.value_info):
        found[item.name] = item.type.tensor_type.elem_type
    return found


def scaled(graph, name, factor):
    """Multiply the weights and the bias of a layer."""
    for part in ("weight", "bias"):
        tensor = next(item for item in graph.graph.initializer if item.name == f"{name}.{part}")
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), tensor.name))
    return graph


def test_every_convolution_computes_in_fp16_and_neither_front_nor_head(lowered):
    kinds = types(lowered)
    for node in lowered.graph.node:
        if node.op_type == "Cast":
            continue
        found = {kinds[name] for name in (*node.input, *node.output)}
        if name_of(node).startswith("input.") or name_of(node) in ("head", "temperature", "softmax"):
            assert TensorProto.FLOAT16 not in found, node.name
        else:
            assert found == {TensorProto.FLOAT16}, node.name
    casts = [name_of(node) for node in lowered.graph.node if node.op_type == "Cast"]
    assert casts == ["input.cast", "input.shown", "input.normalised.out.to_half", "flatten.out.to_float"]


def test_borders_versions_and_names_stay_and_no_weight_is_there_twice(floats, lowered):
    assert list(lowered.graph.input) == list(floats.graph.input)
    assert list(lowered.graph.output) == list(floats.graph.output)
    assert (lowered.ir_version, lowered.opset_import) == (floats.ir_version, floats.opset_import)
    names = [node.name for node in lowered.graph.node if not node.name.endswith((".to_half", ".to_float"))]
    assert names == [node.name for node in floats.graph.node]
    assert len(lowered.graph.initializer) == len(floats.graph.initializer)
    before, after = View(floats).constants, View(lowered).constants
    assert np.array_equal(after["stem.weight.half"], before["stem.weight"].astype(np.float16))
    assert np.array_equal(after["head.weight"], before["head.weight"])


def test_the_same_graph_gives_the_same_bytes_and_is_left_as_it_was(floats):
    given = floats.SerializeToString(deterministic=True)
    one, other = (halve(floats).SerializeToString(deterministic=True) for _ in range(2))
    assert one == other
    assert floats.SerializeToString(deterministic=True) == given


def test_onnxs_own_evaluator_which_computes_in_fp16_gives_nearly_the_same(floats, lowered, crops):
    exact, near = (ReferenceEvaluator(graph).run(["logits"], {"crops": crops[:2]})[0] for graph in (floats, lowered))
    assert near.dtype == np.float32
    assert 0 < np.abs(near - exact).max() < 0.02


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_both_engines_run_it_and_agree_with_fp32(model, lowered, crops, tmp_path, engine):
    path = tmp_path / "half.onnx"
    onnx.save(lowered, path)
    exact = open_engine(engine, model).infer(crops)
    near = open_engine(engine, Model(model.manifest, path)).infer(crops)
    assert 0 < np.abs(near.logits - exact.logits).max() < 0.02
    names = model.manifest.labels.names
    gate = judge(exact.probabilities, near.probabilities, [names[0]] * len(crops), names)
    assert gate.agreement == 1
    assert gate.worst_difference < 0.01


def test_what_activations_hold_is_what_the_graph_computes(floats, crops):
    seen = []
    found = {item.tensor: item for item in overflow(floats, crops[:20], seen.append)}
    assert seen == [16, 20]
    lowered_tensors = {name for node in body(View(floats)) for name in node.output} | {"input.normalised.out"}
    assert found.keys() == lowered_tensors
    shown = onnx.ModelProto()
    shown.CopyFrom(floats)
    shown.graph.output.append(helper.make_tensor_value_info("stem.out", TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    sizes = np.abs(session.run(["stem.out"], {"crops": crops[:20]})[0])
    stem = found["stem.out"]
    assert stem.node == "stem"
    assert stem.largest == pytest.approx(float(sizes.max()), rel=1e-5)
    assert stem.headroom == pytest.approx(65504 / float(sizes.max()), rel=1e-5)
    assert stem.subnormal == pytest.approx(float((sizes < 2.0**-14).mean()), abs=1e-4)
    assert [item.finding for item in found.values() if item.finding] == []


def test_a_layer_whose_values_leave_the_range_is_named_before_any_value_is_infinite(floats, crops):
    largest = {item.tensor: item.largest for item in overflow(floats, crops, ignore)}["stem.out"]
    below, above = (
        [item for item in overflow(scaled(floats, "stem", factor), crops, ignore) if item.tensor == "stem.out"]
        for factor in (15_000 / largest, 18_000 / 15_000)
    )
    assert below[0].finding is None
    assert above[0].finding.startswith("stem: its output reaches 1.8e+04, FP16 ends at 65504")
    assert np.isinf(overflow(scaled(floats, "stem", np.inf), crops[:2], ignore)[1].largest)


def test_a_layer_whose_values_fp16_can_hardly_tell_apart_is_named(floats, crops):
    found = {item.tensor: item.finding for item in overflow(scaled(floats, "stem", 1e-6), crops, ignore)}
    assert found["input.normalised.out"] is None
    assert found["stem.out"].startswith("stem: 100% of its output is below 6.1e-05")


def test_weights_that_overflow_vanish_or_lose_digits(floats):
    held = {item.name: item for item in weights(floats)}
    assert "head.weight" not in held
    assert (held["stem.weight"].zeroed, held["stem.weight"].values) == (0, 864)
    stem = View(floats).constants["stem.weight"]
    factor = 3e-5 / float(np.abs(stem).max())
    lost = next(item for item in weights(scaled(floats, "stem", factor)) if item.name == "stem.weight")
    values = np.abs(stem * np.float32(factor))
    assert lost.largest == pytest.approx(3e-5)
    assert lost.zeroed == int((values <= 2.0**-25).sum()) > 0
    assert lost.subnormal == 864 - lost.zeroed
    with pytest.raises(ModelError, match=r"stem\.weight holds 6\.6e\+04, FP16 ends at 65504"):
        halve(scaled(floats, "stem", 66_000 / 3e-5))


def other(kind="Relu", **attributes):
    """Another network's graph: a branch resized and gated, its shape computed, its constants shared."""
    net = Net()
    one, three = net.constant("one", np.float32(1)), net.constant("three", np.float32(3))
    x = net.node("Mul", "front", [net.node("Cast", "cast", ["crops"], to=TensorProto.FLOAT), three])
    x = net.node(kind, "act", [net.conv("first", x, inputs=3, quantised=False)], **attributes)
    twice = net.node("Resize", "twice", [x, "", net.constant("scales", np.float32([1, 1, 2, 2]))], mode="nearest")
    x = net.node("Add", "shared", [net.node("MaxPool", "pool", [twice], kernel_shape=[2, 2], strides=[2, 2]), one])
    gate = net.node("Softmax", "gate", [net.node("Mul", "less", [x, net.node("Constant", "c", [], value=LITTLE)])])
    x = net.node("Mul", "gated", [gate, x])
    sides = net.node("Gather", "batch", [net.node("Shape", "shape", [x]), net.constant("zero", np.int64([0]))])
    target = net.node("Concat", "target", [sides, net.constant("rest", np.int64([-1]))], axis=0)
    x = net.node("MatMul", "head", [net.node("Reshape", "flat", [x, target]), net.constant("w", HEAD)])
    net.nodes.append(helper.make_node("Add", [x, one], ["scores"], name="end"))
    return returning(net.model("scores"), {"scores": [1, 4], "twice.out": [1, 32, 32, 32]})


def returning(graph, shapes):
    """The graph with these float32 outputs."""
    del graph.graph.output[:]
    graph.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()
    )
    return graph


LITTLE = numpy_helper.from_array(np.float32(1e-3))
HEAD = np.random.default_rng(3).normal(0, 0.05, (32 * 256, 4)).astype(np.float32)


def run(graph, feed):
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"crops": feed})


def test_other_networks_keep_what_fp16_would_spoil_and_their_outputs():
    graph = onnx.shape_inference.infer_shapes(other())
    lowered = halve(graph)
    kinds = types(lowered)
    assert [item.type.tensor_type.elem_type for item in lowered.graph.output] == [TensorProto.FLOAT] * 2
    view = View(lowered)
    made = {name_of(node): kinds[node.output[0]] for node in view.nodes}
    assert {made[name] for name in ("first", "act", "twice", "pool", "shared", "gated", "flat")} == {
        TensorProto.FLOAT16
    }
    assert {made[name] for name in ("front", "gate", "head", "end")} == {TensorProto.FLOAT}
    assert "c" not in made  # its FP16 twin has taken its place
    assert {item.name for item in lowered.graph.value_info} <= {name for node in view.nodes for name in node.output}
    assert view.constants["scales"].dtype == np.float32  # Resize takes no others
    assert {view.constants[name].dtype for name in ("one", "one.half")} == {np.dtype("f4"), np.dtype("f2")}
    feed = np.random.default_rng(4).integers(0, 256, (1, 3, 16, 16), np.uint8)
    for exact, near in zip(run(graph, feed), run(lowered, feed), strict=True):
        assert np.abs(near - exact).max() <= 2e-3 * np.abs(exact).max()


def test_a_float_input_that_a_convolution_takes_itself_stays_float():
    net = Net()
    graph = returning(net.model(net.conv("first", "crops", inputs=3, quantised=False)), {"first.out": [1, 32, 16, 16]})
    graph.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    lowered = halve(graph)
    assert list(lowered.graph.input) == list(graph.graph.input)
    feed = np.random.default_rng(4).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)
    (exact,), (near,) = (ReferenceEvaluator(item).run(None, {"crops": feed}) for item in (graph, lowered))
    assert 0 < np.abs(near - exact).max() < 0.02
    assert cached_tensors(graph) == ["crops", "first.out"]


def test_operators_it_does_not_know_are_named():
    with pytest.raises(ModelError, match=r"act: nothing is known of LpNormalization in FP16"):
        halve(other("LpNormalization"))
    with pytest.raises(ModelError, match=r"QuantizeLinear"):
        halve(returning(residual(), {"pool.out": [1, 32, 1, 1]}))


def test_a_branch_in_a_subgraph_is_refused(floats):
    body_of = helper.make_graph(
        [helper.make_node("Identity", ["stem.out"], ["inner"])],
        "then",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    floats.graph.initializer.append(numpy_helper.from_array(np.bool_(True), "yes"))
    floats.graph.node.append(
        helper.make_node("If", ["yes"], ["outer"], name="if", then_branch=body_of, else_branch=body_of)
    )
    with pytest.raises(ModelError, match="if: nothing is known of If"):
        halve(floats)


def test_a_constant_that_would_become_zero_is_refused(floats):
    floats.graph.initializer.append(numpy_helper.from_array(np.float32([1e-8]), "least"))
    node = next(item for item in floats.graph.node if item.name == "stem.relu")
    node.op_type = "Max"
    node.input.append("least")
    with pytest.raises(ModelError, match="least holds 1e-08, which is 0 in FP16"):
        halve(floats)


def test_a_graph_that_is_fp16_already_has_nothing_to_lower(lowered):
    with pytest.raises(ModelError, match="no layer of this graph computes in float32"):
        halve(lowered)


def test_types_that_contradict_each_other_are_refused(floats):
    next(item for item in floats.graph.node if item.name == "flatten").input[0] = "input.pixels.3.axis"
    with pytest.raises(ModelError, match="no valid"):
        halve(floats)


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason=NO_REAL)
def test_real_cells_keep_their_class_and_leave_room(model, floats, lowered, tmp_path):
    pytest.importorskip("torch", reason="torch is not installed: training's readers can't be used")
    from calibration.calibrate import cells_of, crops_for, labelled

    cells = cells_of(labelled(REAL / "pbc", model), 64, 1).judging[::8]
    crops = crops_for(cells, model, ignore)
    path = tmp_path / "half.onnx"
    onnx.save(lowered, path)
    exact, near = (
        open_engine("onnxruntime", item).infer(crops).probabilities for item in (model, Model(model.manifest, path))
    )
    gate = judge(exact, near, [cell.label for cell in cells], model.manifest.labels.names)
    assert gate.passed, gate.failures()
    assert min(item.headroom for item in overflow(floats, crops, ignore)) > 100
