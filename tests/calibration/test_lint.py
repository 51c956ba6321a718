"""Every rule of the linter has a graph that breaks it alone, made from one that breaks none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no graph can be read")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from calibration.lint import RULES, lint  # noqa: E402
from edge_wbc.manifest import MODELS  # noqa: E402


class Net:
    """Q/DQ graphs written by hand."""

    def __init__(self) -> None:
        self.nodes = []
        self.constants = []

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind, name, inputs, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}.out"], name=name, **attributes))
        return f"{name}.out"

    def pair(self, name, x, scale=0.1, zero=0, form=np.int8, scales=np.float32, axis=None):
        """Quantise and dequantise ``x``."""
        attributes = {} if axis is None else {"axis": axis}
        inputs = [
            self.constant(f"{name}.scale", scales(scale)),
            self.constant(f"{name}.zero", np.full_like(scale, zero, form)),
        ]
        q = self.node("QuantizeLinear", f"{name}.q", [x, *inputs], **attributes)
        return self.node("DequantizeLinear", f"{name}.dq", [q, *inputs], **attributes)

    def conv(self, name, x, inputs=32, quantised=True, axis=0, bias=None):
        weight = self.constant(f"{name}.weight", np.ones((32, inputs, 3, 3), np.float32))
        if quantised:
            weight = self.pair(f"{name}.w", weight, np.full((32, inputs)[axis], 0.1), axis=axis)
        return self.node("Conv", name, [x, weight, *([] if bias is None else [bias])], pads=[1, 1, 1, 1])

    def model(self, output, opset=17):
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("crops", TensorProto.UINT8, [1, 3, 16, 16])],
            [helper.make_tensor_value_info(output, TensorProto.UNDEFINED, None)],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def residual(**change):
    """A residual block as TensorRT fuses it, but for ``change``."""
    net = Net()
    first = net.node("Identity", "early", ["crops"]) if change.get("uncast") else "crops"
    x = net.node("Cast", "cast", [first], to=TensorProto.FLOAT)
    if change.get("computed"):
        net.node("Abs", "scale", [net.constant("minus", np.float32(-0.1))])
        zero = net.constant("zero", np.int8(0))
        q = net.node("QuantizeLinear", "in.q", [x, "scale.out", zero])
        x = net.node("DequantizeLinear", "in.dq", [q, "scale.out", zero])
    else:
        x = net.pair("in", x, **change.get("input", {}))
    bias = None
    if change.get("bias"):
        values = [net.constant("b", np.ones(32, np.int32)), net.constant("b.scale", np.float32(0.1))]
        bias = net.node("DequantizeLinear", "b.dq", values)
    x = net.conv("stem", x, inputs=3, axis=change.get("axis", 0), bias=bias)
    if change.get("early_pair"):
        x = net.pair("early", x)
    x = net.node("Relu", "stem.relu", [x])
    skip = x if change.get("float_skip") else net.pair("skip", x)
    y = net.pair("conv1.in", x) if change.get("float_skip") else skip
    y = net.node("Relu", "relu1", [net.conv("conv1", y, quantised=not change.get("float_weights"))])
    y = net.conv("conv2", net.pair("conv2.in", y))
    if change.get("both_sides"):
        y = net.pair("both", y)
    x = net.node("Relu", "relu2", [net.node("Add", "add", [y, skip])])
    if change.get("concat"):
        x = net.node("Concat", "concat", [net.pair("left", x), net.pair("right", x, scale=0.2)], axis=1)
    elif change.get("maxpool"):
        x = net.node("MaxPool", "maxpool", [net.pair("before", x)], kernel_shape=[2, 2])
    elif not change.get("float_pool"):
        x = net.pair("last", x)
    x = net.node("GlobalAveragePool", "pool", [x])
    if change.get("qlinear"):
        x = net.node("DynamicQuantizeLinear", "dynamic", [x])
    if change.get("unpaired"):
        x = net.node("QuantizeLinear", "alone", [x, net.constant("s", np.float32(0.1)), net.constant("z", np.int8(0))])
    return net.model(x, change.get("opset", 17))


BROKEN = {
    "opset": ({"opset": 12}, "the graph", "opset 12"),
    "uint8-input": ({"uncast": True}, "early", "let a Cast"),
    "operator": ({"qlinear": True}, "dynamic", "no counterpart"),
    "zero-point": ({"input": {"zero": -128}}, "in.q", "zero point is -128"),
    "unsigned": ({"input": {"form": np.uint8}}, "in.q", "uint8"),
    "int32": ({"bias": True}, "b.dq", "for stem"),
    "half-scale": ({"input": {"scales": np.float16}}, "in.q", "float16"),
    "scale": ({"input": {"scale": 0.0}}, "in.q", "above 0"),
    "pair": ({"unpaired": True}, "alone", "the graph takes its int8 output"),
    "channels": ({"axis": 1}, "stem.w.dq", "axis 0"),
    "half-done": ({"float_weights": True}, "conv1", "its weights"),
    "residual": ({"both_sides": True}, "add", "between conv2 and add"),
    "activation": ({"early_pair": True}, "stem.relu", "between stem and it"),
    "pool": ({"float_pool": True}, "pool", "its input is not quantised"),
    "concat": ({"concat": True}, "concat", "one scale"),
}


def test_a_graph_that_tensorrt_fuses_has_no_finding():
    assert lint(residual()) == []


def test_every_rule_is_tried_and_has_a_source():
    assert set(BROKEN) == set(RULES)
    assert all(rule.source for rule in RULES.values())


def test_every_rule_stands_in_the_documentation():
    lines = Path(__file__).parents[2].joinpath("docs", "command-line.md").read_text(encoding="utf-8").splitlines()
    for name, rule in RULES.items():
        (line,) = [line for line in lines if line.startswith(f"| `{name}` |")]
        assert line.endswith("| refused |" if rule.refused else "| slower |")


@pytest.mark.parametrize("rule", BROKEN)
def test_each_rule_finds_what_breaks_it_and_nothing_else(rule):
    change, node, text = BROKEN[rule]
    found = lint(residual(**change))
    assert {finding.rule for finding in found} == {rule}
    assert found[0].node == node
    assert text in found[0].text
    assert found[0].refused is RULES[rule].refused


@pytest.mark.parametrize(
    ("change", "rule", "node", "text"),
    [
        ({"opset": 23}, "opset", "the graph", "newer"),
        ({"computed": True}, "scale", "in.q", "computed"),
        ({"input": {"scale": np.full(3, 0.1), "axis": 1}}, "channels", "in.q", "for an activation"),
        ({"float_skip": True}, "residual", "add", "skip branch is not quantised"),
        ({"maxpool": True}, "pool", "maxpool", "no QuantizeLinear on its other side"),
    ],
)
def test_the_other_sides_of_a_rule(change, rule, node, text):
    found = {(finding.rule, finding.node): finding.text for finding in lint(residual(**change))}
    assert text in found[rule, node]


def test_a_scale_that_differs_within_a_pair_is_found():
    model = residual()
    other = numpy_helper.from_array(np.float32(0.3), "other")
    model.graph.initializer.append(other)
    next(node for node in model.graph.node if node.name == "last.dq").input[1] = "other"
    (found,) = lint(model)
    assert (found.rule, found.node) == ("pair", "last.dq")


def test_onnxruntimes_quantiser_at_its_defaults_is_found_out(tmp_path):
    """The real tool on the shipped graph: zero points and int32 biases, as microsoft/onnxruntime#14229 has it."""
    quantization = pytest.importorskip("onnxruntime.quantization")

    class Crops(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)]

        def get_next(self):
            return {"crops": self.left.pop()} if self.left else None

    out = tmp_path / "int8.onnx"
    quantization.quantize_static(str(MODELS / "leukonet.onnx"), str(out), Crops())
    rules = {finding.rule for finding in lint(onnx.load(out))}
    assert {"int32", "zero-point"} <= rules


def test_the_verb_prints_findings_and_fails_where_something_is_refused(tmp_path, edge_wbc_command):
    good, slow, bad = tmp_path / "good.onnx", tmp_path / "slow.onnx", tmp_path / "bad.onnx"
    onnx.save(residual(), good)
    onnx.save(residual(both_sides=True), slow)
    onnx.save(residual(input={"zero": -128}), bad)
    assert edge_wbc_command("calibrate", "--lint", good, "--json").code == 0
    done = edge_wbc_command("calibrate", "--lint", slow)
    assert done.code == 0
    assert "between conv2 and add" in " ".join(done.out.split())
    done = edge_wbc_command("calibrate", "--lint", bad, "--json")
    assert done.code == 1
    found = json.loads(done.out)
    assert found["qdq_nodes"] == 14
    assert {finding["rule"] for finding in found["findings"]} == {"zero-point"}


@pytest.mark.parametrize("content", [None, b"", b"not a graph", b"\x08\x08"])
def test_what_is_no_graph_is_refused_in_a_line(tmp_path, edge_wbc_command, content):
    path = tmp_path / "x.onnx"
    if content is not None:
        path.write_bytes(content)
    done = edge_wbc_command("calibrate", "--lint", path)
    assert done.code == 3
    assert str(path) in done.err
    assert "Traceback" not in done.err
