"""What TensorRT refuses in a quantised graph, and what keeps it from fusing, said in words; for anyone's graphs.

Nothing here runs TensorRT: every rule names where its knowledge is from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, TensorProto

from calibration.view import DEQUANTIZE, QUANTIZE, View, attribute, name_of, same_scale

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
ACTIVATIONS = ("Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Elu")
OPSETS = (13, 19)
"""Scales per channel came with 13; 17 to 19 is what graphs for TensorRT 10.3 are written in."""

Complaint = tuple[str, str]
"""Name of the node, what is wrong with it and what to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in a graph that TensorRT will not take, or not take as meant."""

    rule: str
    node: str
    refused: bool
    """TensorRT refuses the graph; otherwise it runs, but not fused or not in INT8."""
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing to look for."""

    refused: bool
    source: str
    look: Callable[[View], Iterator[Complaint]]


def lint(model: onnx.ModelProto) -> list[Finding]:
    """Everything found, rule by rule, in the order of the nodes."""
    view = View(model)
    return [
        Finding(name, node, rule.refused, text, rule.source)
        for name, rule in RULES.items()
        for node, text in rule.look(view)
    ]


def _opset(view: View) -> Iterator[Complaint]:
    first, last = OPSETS
    if view.opset < first and view.of_type(QUANTIZE, DEQUANTIZE):
        yield "the graph", f"opset {view.opset} has no scales per channel; write opset {first} to {last}"
    elif view.opset > last:
        yield "the graph", f"opset {view.opset} is newer than TensorRT 10.3 is known to take; write at most {last}"


def _uint8_input(view: View) -> Iterator[Complaint]:
    for item in view.model.graph.input:
        if item.type.tensor_type.elem_type == TensorProto.UINT8:
            for user in view.users_of(item.name):
                if user.op_type != "Cast":
                    yield (
                        name_of(user),
                        f"takes the uint8 input {item.name} itself; let a Cast to float32 take it first",
                    )


def _operators(view: View) -> Iterator[Complaint]:
    for node in view.nodes:
        if node.op_type.startswith("QLinear") or node.op_type in (
            "ConvInteger",
            "MatMulInteger",
            "DynamicQuantizeLinear",
        ):
            yield name_of(node), f"{node.op_type} has no counterpart; quantise with {QUANTIZE} and {DEQUANTIZE} pairs"


def _zero_points(view: View) -> Iterator[Complaint]:
    for node in view.of_type(QUANTIZE, DEQUANTIZE):
        zero = view.constant(node, 2)
        if zero is not None and np.any(zero):
            worst = int(zero.flat[int(np.argmax(np.abs(zero.astype(np.int64))))])
            yield name_of(node), f"its zero point is {worst}; quantise symmetrically, zero point 0"


def _unsigned(view: View) -> Iterator[Complaint]:
    for node in view.of_type(QUANTIZE, DEQUANTIZE):
        zero, values = view.constant(node, 2), view.constant(node, 0)
        by_default = node.op_type == QUANTIZE and zero is None and not attribute(node, "output_dtype", 0)
        stored = node.op_type == DEQUANTIZE and values is not None and values.dtype == np.uint8
        if by_default or stored or (zero is not None and zero.dtype == np.uint8):
            yield name_of(node), "it quantises to uint8; give an int8 zero point"


def _int32(view: View) -> Iterator[Complaint]:
    for node in view.of_type(DEQUANTIZE):
        if any(
            found is not None and found.dtype == np.int32 for found in (view.constant(node, 0), view.constant(node, 2))
        ):
            users = ", ".join(map(name_of, view.users(node))) or "nobody"
            yield name_of(node), f"it dequantises int32, as quantised biases are, for {users}; leave biases in float"


def _half_scales(view: View) -> Iterator[Complaint]:
    for node in view.of_type(QUANTIZE, DEQUANTIZE):
        scale = view.constant(node, 1)
        if scale is not None and scale.dtype == np.float16:
            yield name_of(node), "its scale is float16; keep scales float32"


def _scales(view: View) -> Iterator[Complaint]:
    for node in view.of_type(QUANTIZE, DEQUANTIZE):
        scale = view.constant(node, 1)
        if scale is None:
            yield name_of(node), "its scale is computed; make it a constant"
        elif not (np.isfinite(scale).all() and (scale > 0).all()):
            yield name_of(node), f"a scale of it is {float(scale.min()):g}; scales must be above 0"


def _pairs(view: View) -> Iterator[Complaint]:
    for node in view.of_type(QUANTIZE):
        others = [name_of(user) for user in view.users(node) if user.op_type != DEQUANTIZE]
        if others or view.is_output(node):
            yield name_of(node), f"{', '.join(others) or 'the graph'} takes its int8 output; dequantise it first"
    for node in view.of_type(DEQUANTIZE):
        maker = view.made_by(node, 0, QUANTIZE)
        if maker is None and view.constant(node, 0) is None:
            yield name_of(node), f"no {QUANTIZE} before it; quantise in pairs"
        elif maker is not None and not same_scale(view.constant(maker, 1), view.constant(node, 1)):
            yield name_of(node), f"its scale is not that of {name_of(maker)}; give both the same"


def _channels(view: View) -> Iterator[Complaint]:
    for node in view.of_type(QUANTIZE):
        scale = view.constant(node, 1)
        if scale is not None and scale.size > 1 and view.constant(node, 0) is None:
            yield name_of(node), "it has a scale per channel for an activation; give activations one scale"
    for node in view.of_type("Conv", "ConvTranspose", "Gemm"):
        scaled = view.made_by(node, 1, DEQUANTIZE)
        scale = None if scaled is None else view.constant(scaled, 1)
        if scaled is not None and scale is not None and scale.size > 1:
            axis = attribute(scaled, "axis", 1)
            wanted = (
                1 - attribute(node, "transB", 0) if node.op_type == "Gemm" else int(node.op_type == "ConvTranspose")
            )
            if axis != wanted:
                text = f"weights of {name_of(node)} are scaled along axis {axis}; scale output channels, axis {wanted}"
                yield name_of(scaled), text


def _half_done(view: View) -> Iterator[Complaint]:
    for node in view.of_type(*WEIGHTED):
        taken, weighed = (view.made_by(node, place, DEQUANTIZE) is not None for place in (0, 1))
        if taken != weighed:
            missing = "weights" if taken else "input"
            yield name_of(node), f"its {missing} is not quantised, so it runs in floating point; quantise both or none"


def _residual(view: View) -> Iterator[Complaint]:
    for node in view.of_type("Add"):
        if any(view.constant(node, place) is not None for place in (0, 1)):
            continue
        dequantised = [view.made_by(node, place, DEQUANTIZE) for place in (0, 1)]
        if all(dequantised):
            for item in dequantised:
                made = _quantised_from(view, item)
                if made is not None and _quantised(view, made) and len(view.users(made)) == 1:
                    text = f"Q/DQ between {name_of(made)} and {name_of(node)} keeps them apart; quantise the skip alone"
                    yield name_of(node), text
                    break
        elif not any(dequantised) and any(_quantised(view, view.maker(name)) for name in node.input):
            yield name_of(node), "the skip branch is not quantised, so the sum is not fused in INT8; add Q/DQ to it"


def _activations(view: View) -> Iterator[Complaint]:
    for node in view.of_type(*ACTIVATIONS):
        made = _quantised_from(view, view.made_by(node, 0, DEQUANTIZE))
        if made is not None and made.op_type in (*WEIGHTED, "Add"):
            yield name_of(node), f"Q/DQ stands between {name_of(made)} and it; move it behind the activation"


def _pools(view: View) -> Iterator[Complaint]:
    for node in view.of_type("MaxPool"):
        before = view.made_by(node, 0, DEQUANTIZE) is not None
        users = view.users(node)
        after = bool(users) and all(user.op_type == QUANTIZE for user in users)
        if before != after:
            yield name_of(node), f"no {QUANTIZE if before else DEQUANTIZE} on its other side; put it between DQ and Q"
    for node in view.of_type("GlobalAveragePool", "AveragePool"):
        maker = view.maker(node.input[0])
        while maker is not None and maker.op_type in ACTIVATIONS:
            maker = view.maker(maker.input[0])
        sides = map(view.maker, maker.input) if maker is not None and maker.op_type == "Add" else [maker]
        if any(_quantised(view, side) for side in sides):
            yield name_of(node), "its input is not quantised, so the layer before it writes floats; add Q/DQ before it"


def _concat(view: View) -> Iterator[Complaint]:
    for node in view.of_type("Concat"):
        makers = [view.made_by(node, place, DEQUANTIZE) for place in range(len(node.input))]
        found = [maker for maker in makers if maker is not None]
        alike = all(same_scale(view.constant(found[0], 1), view.constant(item, 1)) for item in found)
        if found and (len(found) < len(makers) or not alike):
            yield name_of(node), "its inputs do not share one scale; give all of them the same Q/DQ"


def _quantised(view: View, node: NodeProto | None) -> bool:
    """Whether a node multiplies in INT8."""
    if node is None or node.op_type not in WEIGHTED:
        return False
    return all(view.made_by(node, place, DEQUANTIZE) is not None for place in (0, 1))


def _quantised_from(view: View, dequantise: NodeProto | None) -> NodeProto | None:
    """The node whose output a Q/DQ pair quantises."""
    quantise = None if dequantise is None else view.made_by(dequantise, 0, QUANTIZE)
    return None if quantise is None else view.maker(quantise.input[0])


_PLACEMENT = "NVIDIA, TensorRT documentation, Explicit Quantization: Q/DQ placement"
_RESIDUAL = "NVIDIA, TensorFlow Quantization Toolkit, Add Custom QDQ Insertion Case"
_PARSER = "onnx/onnx-tensorrt, docs/operators.md"

RULES: dict[str, Rule] = {
    "opset": Rule(True, "NVIDIA, TensorRT documentation, ONNX Opset Guide: newest opset by release", _opset),
    "uint8-input": Rule(True, "NVIDIA, TensorRT API, DataType.UINT8: inputs and outputs only", _uint8_input),
    "operator": Rule(True, _PARSER, _operators),
    "zero-point": Rule(True, "NVIDIA/TensorRT#2774", _zero_points),
    "unsigned": Rule(True, "NVIDIA, TensorRT API, DataType.UINT8: not for quantised values", _unsigned),
    "int32": Rule(True, "microsoft/onnxruntime#14229", _int32),
    "half-scale": Rule(True, "NVIDIA/TensorRT#4832", _half_scales),
    "scale": Rule(True, "onnx/onnx-tensorrt#764", _scales),
    "pair": Rule(True, _PLACEMENT, _pairs),
    "channels": Rule(True, "NVIDIA, TensorRT documentation, Working with Quantized Types", _channels),
    "half-done": Rule(False, _PLACEMENT, _half_done),
    "residual": Rule(False, _RESIDUAL, _residual),
    "activation": Rule(False, _PLACEMENT, _activations),
    "pool": Rule(False, _PLACEMENT, _pools),
    "concat": Rule(False, _PLACEMENT, _concat),
}
"""By the name that a finding bears."""
