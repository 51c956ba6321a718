"""An fp32 graph and the ranges of its tensors → its INT8 graph, Q/DQ pairs where TensorRT fuses them.

Symmetric int8 throughout: one scale a channel for the weights of convolutions, one a tensor for activations, scales
float32. Biases, the last layer and whatever is no convolution stay in floating point, and so do the convolutions that
the caller leaves out. ``calibration.lint`` has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, helper, numpy_helper

from calibration.body import body
from calibration.lint import ACTIVATIONS, lint
from calibration.observe import LEVELS
from calibration.view import DEQUANTIZE, QUANTIZE, View, name_of, read_graph
from edge_wbc.errors import ModelError

CONVOLUTIONS = ("Conv", "ConvTranspose")
_MOVES = ("Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Constant", "Dropout")
"""They compute nothing."""
_CHANNELS = {"Conv": 0, "ConvTranspose": 1}
"""Axis of a convolution's weights along which its output channels lie."""


def read_float_graph(path: Path) -> onnx.ModelProto:
    """:raises ModelError: no graph, operators that are not ONNX's own, quantised already, nothing to quantise, or
    weights that are no numbers."""
    model = read_graph(path)
    view = View(model)
    if unknown := [node for node in view.nodes if not onnx.defs.has(node.op_type, node.domain)]:
        named = ", ".join(f"{node.op_type} ({name_of(node)})" for node in unknown)
        raise ModelError(f"{path}: operators that are not ONNX's own: {named}; export the network without them")
    if view.of_type(QUANTIZE, DEQUANTIZE):
        raise ModelError(f"{path}: quantised already; give the fp32 graph it came from")
    if not _convolutions(view):
        raise ModelError(f"{path}: no convolution in it that INT8 would speed up; give a convolutional network's graph")
    for name, value in view.constants.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ModelError(f"{path}: {name} holds values that are no finite numbers; export the graph again")
    return model


def quantisable_layers(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions that can be quantised, in the order of the graph."""
    return [name_of(node) for node in _convolutions(View(model))]


def quantised_tensors(model: onnx.ModelProto, floating: AbstractSet[str] = frozenset()) -> list[str]:
    """The activations that get a Q/DQ pair, in the order of the graph.

    :param floating: names of the layers left in floating point.
    """
    return _tensors(_places(View(model), floating))


def possible_tensors(model: onnx.ModelProto) -> list[str]:
    """The activations that can get a Q/DQ pair, whatever is left in floating point: ``quantised_tensors`` of the whole
    graph, then those that take the place of one of them in a sum whose fused convolution is left out."""
    view = View(model)
    alone = ({name_of(node)} for node in _convolutions(view))
    every = (tensor for floating in (set[str](), *alone) for tensor in _tensors(_places(view, floating)))
    return list(dict.fromkeys(every))


def floating_operators(model: onnx.ModelProto, floating: AbstractSet[str] = frozenset()) -> list[str]:
    """What computes in the convolutional part and stays in floating point, by name and operator, in the order of the
    graph; an activation behind a quantised node is fused with it.

    :param floating: names of the layers left in floating point.
    """
    view = View(model)
    quantised = {name_of(node) for node, _ in _places(view, floating)}
    left = []
    for node in body(view):
        maker = view.maker(node.input[0])
        if node.op_type in ACTIVATIONS and maker is not None and name_of(maker) in quantised:
            quantised.add(name_of(node))
        elif name_of(node) not in quantised and node.op_type not in _MOVES:
            left.append(f"{name_of(node)} ({node.op_type})")
    return left


def quantise(
    model: onnx.ModelProto, ranges: Mapping[str, float], floating: AbstractSet[str] = frozenset()
) -> onnx.ModelProto:
    """The INT8 graph.

    :param ranges: by tensor, the absolute value that 127 stands for; of all that ``quantised_tensors`` names.
    :param floating: names of convolutions to leave in floating point, with the sums that follow unless another
        convolution is fused with them.
    :raises ModelError: a name is no convolution of the graph; TensorRT would refuse, or not fuse, what came out.
    """
    layers = quantisable_layers(model)
    if unknown := sorted(floating - set(layers)):
        raise ModelError(
            f"{unknown[0]}: no convolution of this graph that is quantised; use one of {', '.join(layers)}"
        )
    result = onnx.ModelProto()
    result.CopyFrom(model)
    view = View(result)
    places = _places(view, floating)
    convolutions = [node for node in _convolutions(view) if name_of(node) not in floating]
    pairs: dict[str, list[NodeProto]] = {}
    for node, place in places:
        tensor = node.input[place]
        if tensor not in pairs:
            pairs[tensor] = _pair(result, tensor, np.float32(ranges[tensor] / LEVELS))
        node.input[place] = pairs[tensor][1].output[0]
    for node in convolutions:
        weights = view.constants[node.input[1]]
        axis = _CHANNELS[node.op_type]
        largest = np.abs(weights).max(axis=tuple(i for i in range(weights.ndim) if i != axis))
        scales = (np.where(largest > 0, largest, 1) / LEVELS).astype(np.float32)  # a dead channel stays dead
        pairs[node.input[1]] = _pair(result, node.input[1], scales, axis)
        node.input[1] = pairs[node.input[1]][1].output[0]
    _insert(result, pairs)
    findings = lint(result)
    if findings:
        raise ModelError(f"quantised, {findings[0].node}: {findings[0].text}; this graph can't be quantised so far")
    return result


def _convolutions(view: View) -> list[NodeProto]:
    return [node for node in view.of_type(*CONVOLUTIONS) if view.constant(node, 1) is not None]


def _tensors(places: Sequence[tuple[NodeProto, int]]) -> list[str]:
    return list(dict.fromkeys(node.input[place] for node, place in places))


def _places(view: View, floating: AbstractSet[str]) -> list[tuple[NodeProto, int]]:
    """Each input of a node that is to be quantised, in the order of the graph."""
    convolutions = {name_of(node) for node in _convolutions(view)} - floating
    places: list[tuple[NodeProto, int]] = []
    for node in reversed(view.nodes):  # a max pool follows what takes its output
        if node.op_type == "Add":
            places += [(node, place) for place in _skips(view, node, convolutions)]
        elif (
            name_of(node) in convolutions
            or (node.op_type == "MaxPool" and _all_quantised(view, node, places))
            or (node.op_type == "GlobalAveragePool" and _ends_convolution(view, node.input[0], convolutions))
        ):
            places.append((node, 0))
    return places[::-1]


def _all_quantised(view: View, node: NodeProto, places: Sequence[tuple[NodeProto, int]]) -> bool:
    """Whether all that take a node's output take it quantised: a max pool runs in INT8 only between DQ and Q."""
    quantised = {(name_of(user), place) for user, place in places}
    taken = {
        (name_of(user), place)
        for user in view.users(node)
        for place, name in enumerate(user.input)
        if name in node.output
    }
    return bool(taken) and taken <= quantised


def _skips(view: View, node: NodeProto, convolutions: set[str]) -> list[int]:
    """The input of a sum that is quantised: the one that the convolution before the sum is not fused with."""
    makers = [view.maker(name) for name in node.input]
    fused = [
        place
        for place, maker in enumerate(makers)
        if maker is not None and name_of(maker) in convolutions and len(view.users(maker)) == 1
    ]
    return [1 - fused[0]] if fused and node.input[1 - fused[0]] not in view.constants else []


def _ends_convolution(view: View, tensor: str, convolutions: set[str]) -> bool:
    """Whether a tensor is a convolution's output, but for a sum and an activation."""
    maker = view.maker(tensor)
    while maker is not None and name_of(maker) not in convolutions:
        if maker.op_type == "Add":
            makers = map(view.maker, maker.input)
            return any(item is not None and name_of(item) in convolutions for item in makers)
        maker = view.maker(maker.input[0]) if maker.op_type in ACTIVATIONS else None
    return maker is not None


def _pair(
    model: onnx.ModelProto, tensor: str, scale: np.float32 | npt.NDArray[np.float32], axis: int | None = None
) -> list[NodeProto]:
    """A Q and its DQ for a tensor; their constants go into the graph, they themselves do not."""
    scales = np.asarray(scale, np.float32)
    constants = [(f"{tensor}.scale", scales), (f"{tensor}.zero", np.zeros(scales.shape, np.int8))]
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants)
    shared = [name for name, _ in constants]
    along = {} if axis is None else {"axis": axis}
    name = tensor.removesuffix(".out")
    return [
        helper.make_node(QUANTIZE, [tensor, *shared], [f"{tensor}.int8"], name=f"{name}.quantize", **along),
        helper.make_node(
            DEQUANTIZE, [f"{tensor}.int8", *shared], [f"{tensor}.back"], name=f"{name}.dequantize", **along
        ),
    ]


def _insert(model: onnx.ModelProto, pairs: Mapping[str, list[NodeProto]]) -> None:
    """Each pair behind what makes its tensor; those of constants and inputs first."""
    nodes = list(model.graph.node)
    made = {name for node in nodes for name in node.output}
    ordered = [item for tensor, pair in pairs.items() if tensor not in made for item in pair]
    for node in nodes:
        ordered.append(node)
        ordered += [item for name in node.output for item in pairs.get(name, ())]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
