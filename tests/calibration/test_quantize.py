from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no graph can be quantised")

from onnx import numpy_helper  # noqa: E402

from calibration.lint import lint  # noqa: E402
from calibration.observe import observe, range_of, session_with  # noqa: E402
from calibration.quantize import (  # noqa: E402
    floating_operators,
    possible_tensors,
    quantisable_layers,
    quantise,
    quantised_tensors,
    read_float_graph,
)
from calibration.view import View  # noqa: E402
from edge_wbc.engines.base import open_engine  # noqa: E402
from edge_wbc.errors import ModelError  # noqa: E402
from edge_wbc.manifest import Model  # noqa: E402


def ignore(done):
    pass


def test_the_shipped_graph_becomes_one_that_tensorrt_fuses(int8):
    assert lint(int8) == []
    view = View(int8)
    assert view.of_type("Conv")
    assert all(view.made_by(conv, 0, "DequantizeLinear") for conv in view.of_type("Conv"))
    assert view.made_by(view.of_type("Gemm")[0], 0, "DequantizeLinear") is None  # the last layer stays in float
    before_the_stem = [node.name for node in int8.graph.node if node.name.startswith("input.")]
    assert [name for name in before_the_stem if "quantize" in name] == [
        "input.normalised.quantize",
        "input.normalised.dequantize",
    ]


def test_scales_are_those_of_the_ranges_and_of_each_channels_weights(model, int8):
    constants = View(int8).constants
    weights = View(onnx.load(model.graph)).constants["stage2.block1.conv1.weight"]
    assert np.allclose(constants["stage2.block1.conv1.weight.scale"], np.abs(weights).max(axis=(1, 2, 3)) / 127)
    assert constants["input.normalised.out.scale"].shape == ()


def test_the_same_ranges_give_the_same_bytes(model):
    floats = read_float_graph(model.graph)
    ranges = dict.fromkeys(quantised_tensors(floats), 4.0)
    one, other = (quantise(floats, ranges).SerializeToString(deterministic=True) for _ in range(2))
    assert one == other


def test_a_graph_that_the_linter_complains_of_is_not_given_out(model, monkeypatch):
    floats = read_float_graph(model.graph)
    monkeypatch.setattr("calibration.quantize._skips", lambda *_: [])
    with pytest.raises(ModelError, match=r"stage1\.block1\.add: the skip branch is not quantised"):
        quantise(floats, dict.fromkeys(quantised_tensors(floats), 4.0))


def test_dead_channels_and_tensors_give_scales_that_can_be_used(model):
    floats = read_float_graph(model.graph)
    tensor = next(item for item in floats.graph.initializer if item.name == "stem.weight")
    dead = numpy_helper.to_array(tensor).copy()
    dead[3] = 0
    tensor.CopyFrom(numpy_helper.from_array(dead, "stem.weight"))
    held = observe(floats, quantised_tensors(floats), np.full((4, 64, 64, 3), 130, np.uint8), ignore)
    assert held["input.normalised.out"].largest == 0  # an even crop
    assert lint(quantise(floats, {name: range_of(item, "mse") for name, item in held.items()})) == []


def test_depthwise_convolutions_max_pools_and_joined_branches_of_other_networks():
    """Convolutions and the pool are quantised; Concat and what has no weights stay in floating point."""
    from tests.calibration.test_lint import Net

    net = Net()
    x = net.node("Cast", "cast", ["crops"], to=onnx.TensorProto.FLOAT)
    x = net.node("Relu", "relu", [net.conv("first", x, inputs=3, quantised=False)])
    x = net.node("MaxPool", "maxpool", [x], kernel_shape=[2, 2])
    deep = net.constant("deep.weight", np.ones((32, 1, 3, 3), np.float32))
    left = net.node("Conv", "deep", [x, deep], group=32, pads=[1, 1, 1, 1])
    x = net.node("Concat", "join", [left, net.conv("right", x, quantised=False)], axis=1)
    floats = net.model(net.conv("last", x, inputs=64, quantised=False))
    tensors = quantised_tensors(floats)
    assert tensors == ["cast.out", "relu.out", "maxpool.out", "join.out"]
    graph = quantise(floats, dict.fromkeys(tensors, 4.0))
    assert View(graph).made_by(View(graph).of_type("Concat")[0], 0, "DequantizeLinear") is None
    assert floating_operators(floats) == ["join (Concat)"]
    assert floating_operators(floats, {"deep"}) == ["maxpool (MaxPool)", "deep (Conv)", "join (Concat)"]
    assert floating_operators(floats, {"first"}) == ["first (Conv)", "relu (Relu)", "join (Concat)"]


def test_nothing_of_the_shipped_graphs_convolutional_part_stays_in_floating_point(model):
    assert floating_operators(read_float_graph(model.graph)) == []


def test_operators_that_are_not_onnxs_own_are_named(tmp_path):
    from tests.calibration.test_lint import Net

    net = Net()
    x = net.conv("first", net.node("Cast", "cast", ["crops"], to=onnx.TensorProto.FLOAT), inputs=3, quantised=False)
    graph = net.model(net.node("Swoosh", "odd", [net.node("Swish2", "odder", [x])]))
    onnx.save(graph, tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match=r"not ONNX's own: Swish2 \(odder\), Swoosh \(odd\)"):
        read_float_graph(tmp_path / "odd.onnx")


def dequantised(graph, name, places=(0, 1)):
    """Which inputs of a node come out of a DequantizeLinear."""
    view = View(graph)
    (node,) = (node for node in view.nodes if node.name == name)
    return tuple(view.made_by(node, place, "DequantizeLinear") is not None for place in places)


def test_layers_are_the_convolutions_in_the_order_of_the_graph(model):
    layers = quantisable_layers(onnx.load(model.graph))
    assert layers[:3] == ["stem", "stage1.block1.shortcut", "stage1.block1.conv1"]
    assert layers[-1] == "stage3.block2.conv2"
    assert len(layers) == 14


def test_each_layer_and_each_pair_of_layers_can_be_left_in_floating_point(model):
    """Neither input nor weights of those are quantised, both of all others; ``quantise`` lints each graph itself."""
    floats = read_float_graph(model.graph)
    layers, ranges = quantisable_layers(floats), dict.fromkeys(possible_tensors(floats), 4.0)
    for floating in [*combinations(layers, 1), *combinations(layers, 2)]:
        view = View(quantise(floats, ranges, frozenset(floating)))
        for conv in view.of_type("Conv"):
            found = [view.made_by(conv, place, "DequantizeLinear") is not None for place in (0, 1)]
            assert found == [conv.name not in floating] * 2
        assert not {f"{name}.weight.quantize" for name in floating} & {node.name for node in view.nodes}


@pytest.mark.parametrize(
    ("floating", "add", "skips"),
    [
        ((), "stage1.block1.add", (False, True)),  # fused with conv2
        (("stage1.block1.conv2",), "stage1.block1.add", (True, False)),  # fused with the shortcut's convolution
        (("stage1.block1.shortcut",), "stage1.block1.add", (False, True)),
        (("stage1.block1.conv2", "stage1.block1.shortcut"), "stage1.block1.add", (False, False)),
        ((), "stage2.block2.add", (False, True)),
        (("stage2.block2.conv2",), "stage2.block2.add", (False, False)),  # nothing left to fuse with
    ],
)
def test_a_sum_is_quantised_on_the_side_that_no_int8_convolution_is_fused_on(model, floating, add, skips):
    floats = read_float_graph(model.graph)
    graph = quantise(floats, dict.fromkeys(possible_tensors(floats), 4.0), frozenset(floating))
    assert dequantised(graph, add) == skips


def test_a_tensor_stays_quantised_for_the_layers_that_are_not_left_out(model):
    floats = read_float_graph(model.graph)
    ranges = dict.fromkeys(quantised_tensors(floats), 4.0)
    view = View(quantise(floats, ranges, frozenset({"stage2.block1.conv1"})))
    taken = {node.name: node.input[0] for node in view.of_type("Conv")}
    assert taken["stage2.block1.conv1"] == "stage1.block1.relu2.out"
    assert taken["stage2.block1.shortcut"] == "stage1.block1.relu2.out.back"


def test_the_pool_is_quantised_only_behind_an_int8_convolution(model):
    floats = read_float_graph(model.graph)
    ranges = dict.fromkeys(possible_tensors(floats), 4.0)
    assert dequantised(quantise(floats, ranges), "pool", (0,)) == (True,)
    assert dequantised(quantise(floats, ranges, {"stage3.block2.conv2"}), "pool", (0,)) == (False,)


def test_with_every_layer_left_out_the_graph_is_the_given_one(model):
    floats = read_float_graph(model.graph)
    assert quantise(floats, {}, frozenset(quantisable_layers(floats))) == floats


def test_possible_tensors_are_those_that_some_choice_of_layers_quantises(model):
    floats = read_float_graph(model.graph)
    layers = quantisable_layers(floats)
    choices = [(), *combinations(layers, 1), *combinations(layers, 2)]
    assert set(possible_tensors(floats)) == {name for some in choices for name in quantised_tensors(floats, {*some})}
    assert set(possible_tensors(floats)) - set(quantised_tensors(floats)) == {
        f"stage{stage}.block1.conv2.out" for stage in (1, 2, 3)
    }


def test_a_name_that_is_no_convolution_of_the_graph_is_refused(model):
    floats = read_float_graph(model.graph)
    ranges = dict.fromkeys(possible_tensors(floats), 4.0)
    with pytest.raises(ModelError, match=r"^head: no convolution of this graph .* stem, stage1\.block1\.shortcut, .*$"):
        quantise(floats, ranges, {"stem", "head"})


def test_a_max_pool_before_a_layer_left_out_stays_in_floating_point():
    from tests.calibration.test_lint import Net

    net = Net()
    x = net.node("Cast", "cast", ["crops"], to=onnx.TensorProto.FLOAT)
    x = net.conv("first", x, inputs=3, quantised=False)
    for pool in ("pool1", "pool2"):
        x = net.node("MaxPool", pool, [x], kernel_shape=[2, 2])
    sides = [net.conv(name, x, quantised=False) for name in ("left", "right")]
    floats = net.model(net.node("Concat", "join", sides, axis=1))
    assert quantised_tensors(floats) == ["cast.out", "first.out", "pool1.out", "pool2.out"]
    assert quantised_tensors(floats, {"left"}) == ["cast.out", "pool2.out"]
    assert lint(quantise(floats, dict.fromkeys(quantised_tensors(floats), 4.0), {"left"})) == []


def test_a_quantised_graph_no_convolution_and_weights_that_are_no_numbers_are_refused(model, int8, tmp_path):
    path = tmp_path / "x.onnx"
    onnx.save(int8, path)
    with pytest.raises(ModelError, match="quantised already"):
        read_float_graph(path)
    graph = onnx.load(model.graph)
    tensor = next(item for item in graph.graph.initializer if item.name == "stem.bias")
    tensor.CopyFrom(numpy_helper.from_array(np.full(tensor.dims, np.nan, np.float32), "stem.bias"))
    onnx.save(graph, path)
    with pytest.raises(ModelError, match=r"stem\.bias holds values"):
        read_float_graph(path)
    from tests.calibration.test_lint import Net

    net = Net()
    onnx.save(net.model(net.node("Abs", "abs", ["crops"])), path)
    with pytest.raises(ModelError, match="no convolution"):
        read_float_graph(path)


def test_the_reference_engine_computes_an_int8_graph_as_it_is_written(int8, model, crops, tmp_path):
    """ONNX Runtime would also quantise the biases, which the graph leaves in floating point."""
    path = tmp_path / "int8.onnx"
    onnx.save(int8, path)
    said = open_engine("onnxruntime", Model(model.manifest, path)).infer(crops).probabilities
    (written,) = session_with(int8, as_written=True).run(["probabilities"], {"crops": crops})
    assert np.abs(said - written).max() < 2e-3
