"""An fp32 graph → the same graph computing in FP16; the casts are in the graph, as strongly typed networks want it.

What computes in FP16 is the ``body`` of the graph: its inputs and outputs stay as they are, and so do its front, which
sums over whole crops, and its head with the softmax. The head costs nothing in float32, and its scores keep their
digits.

TensorRT was not run. ONNX Runtime and OpenVINO run such a graph on a processor, but as a rule in float32 with the
rounded weights: what they answer does not show what rounding activations costs, onnx's own evaluator does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, NodeProto, TensorProto, defs, helper, numpy_helper

from calibration.body import body
from calibration.lint import WEIGHTED
from calibration.view import View, check_graph, float_tensors, name_of
from edge_wbc.errors import ModelError

HALF = ".half"
LARGEST = 65504.0
"""The largest number of FP16."""
OVERFLOWS = 65520.0
"""From here on a value becomes infinite in FP16."""
NORMAL = 2.0**-14
"""The smallest number of FP16 with all its digits; below it they go one by one."""

_HALVED = (
    "Add AveragePool BatchNormalization Clip Concat Conv ConvTranspose Div Dropout Elu Flatten Gather Gemm "
    "GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity LeakyRelu MatMul Max MaxPool Min Mul Neg PRelu Pad "
    "Relu Reshape Resize Sigmoid Slice Split Squeeze Sub Tanh Tile Transpose Unsqueeze Where"
)
_KEPT = (
    "ArgMax Cast Erf Exp GlobalLpPool GroupNormalization InstanceNormalization LayerNormalization Log LogSoftmax Pow "
    "ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum Shape Softmax Softplus Sqrt"
)
HALVED, KEPT = frozenset(_HALVED.split()), frozenset(_KEPT.split())
"""Operators that compute in FP16, and operators that never do: powers and sums leave its range, and what gives no float
or names its type itself has none to lower. An operator in neither is refused where it would have to be lowered."""
_SUBGRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


class Plan:
    """Which nodes of a graph compute in FP16, and what that asks of its tensors."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """:raises ModelError: no valid graph, no layer to speed up, or operators not known."""
        self.view = view = View(model)
        floats = float_tensors(model)
        inside = body(view)
        lowered = [node for node in inside if node.op_type in HALVED and node.output[0] in floats]
        if not any(node.op_type in WEIGHTED for node in lowered):
            raise ModelError(
                "no layer of this graph computes in float32, so FP16 would speed up none; give an fp32 graph"
            )
        unknown = [node for node in view.nodes if any(item.type in _SUBGRAPHS for item in node.attribute)]
        unknown += [
            node
            for node in inside
            if not floats.isdisjoint([*node.input, *node.output])
            and (node.op_type not in HALVED | KEPT or node.domain not in ("", "ai.onnx"))
        ]
        if unknown:
            kinds = sorted({node.op_type for node in unknown})
            raise ModelError(
                f"{name_of(unknown[0])}: nothing is known of {', '.join(kinds)} in FP16; keep this graph fp32"
            )
        chosen = set(map(id, lowered))
        self.places = [_places(node, floats, view.opset) if id(node) in chosen else [] for node in view.nodes]
        """For each node, its inputs that become FP16; none for a node that stays as it is."""
        self.made = [name for node in lowered for name in node.output if name in floats]
        """Tensors that are made in FP16."""
        taken = dict.fromkeys(
            node.input[place] for node, places in zip(view.nodes, self.places, strict=True) for place in places
        )
        made = set(self.made)
        self.constants = {name: view.constants[name] for name in taken if name in view.constants}
        """That are needed in FP16."""
        self.ups = [name for name in taken if name not in made and name not in view.constants]
        """Tensors that are made in float32 and needed in FP16."""
        floating = {
            name
            for node, places in zip(view.nodes, self.places, strict=True)
            for place, name in enumerate(node.input)
            if place not in places
        }
        floating |= {item.name for item in model.graph.output}
        self.downs = [name for name in self.made if name in floating]
        """Tensors that are made in FP16 and needed in float32."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One constant that becomes FP16."""

    name: str
    values: int
    """How many there are."""
    largest: float
    """Absolute, in float32."""
    zeroed: int
    """Values other than 0 that become 0."""
    subnormal: int
    """Values that are left with fewer digits, being below ``NORMAL``."""


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """The FP16 graph. A tensor ``x`` of the fp32 graph that is FP16 in this one is called ``x.half``.

    Opset, IR version, inputs, outputs and names of nodes stay.

    :raises ModelError: no valid graph, no layer to speed up, operators not known, or constants that FP16 can't hold.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    plan = Plan(result)
    for item in _weights(plan):
        if item.largest >= OVERFLOWS:
            raise ModelError(f"{item.name} holds {item.largest:.4g}, FP16 ends at {LARGEST:.0f}; keep this graph fp32")
        if item.zeroed == item.values:  # one that keeps a divisor above 0, as a rule
            raise ModelError(f"{item.name} holds {item.largest:.4g}, which is 0 in FP16; keep this graph fp32")
    up, down = plan.ups, plan.downs
    ordered = [_cast(item.name, TensorProto.FLOAT16) for item in result.graph.input if item.name in up]
    for node, places in zip(plan.view.nodes, plan.places, strict=True):
        made = list(node.output)
        for place in places:
            node.input[place] += HALF
        for place, name in enumerate(made):
            if name in plan.made:
                node.output[place] += HALF
        ordered.append(node)
        ordered += [_cast(name, TensorProto.FLOAT16) for name in made if name in up]
        ordered += [_cast(name, TensorProto.FLOAT) for name in made if name in down]
    _replace(result, ordered, plan.constants)
    check_graph(result, "in FP16 this is no valid graph", "keep it fp32")
    return result


def weights(model: onnx.ModelProto) -> list[Weights]:
    """What FP16 does to each constant of an fp32 graph that ``halve`` lowers.

    :raises ModelError: no valid graph, no layer to speed up, or operators not known.
    """
    return _weights(Plan(model))


def _places(node: NodeProto, floats: set[str], opset: int) -> list[int]:
    """The inputs of a node that become FP16: those in float32, but for what its operator wants in float32 always."""
    formal = defs.get_schema(node.op_type, opset, "").inputs
    return [
        place
        for place, name in enumerate(node.input)
        if name in floats and "tensor(float16)" in formal[min(place, len(formal) - 1)].types
    ]


def _weights(plan: Plan) -> list[Weights]:
    found = []
    for name, value in plan.constants.items():
        sizes = np.abs(value[np.isfinite(value)])
        half = _to_half(sizes)
        lost = (sizes > 0) & (half == 0)
        found.append(
            Weights(
                name,
                value.size,
                float(sizes.max(initial=0)),
                int(lost.sum()),
                int(((half > 0) & (half < NORMAL)).sum()),
            )
        )
    return found


def _to_half(values: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        return values.astype(np.float16)


def _cast(tensor: str, to: int) -> NodeProto:
    if to == TensorProto.FLOAT16:
        return helper.make_node("Cast", [tensor], [tensor + HALF], name=f"{tensor}.to_half", to=to)
    return helper.make_node("Cast", [tensor + HALF], [tensor], name=f"{tensor}.to_float", to=to)


def _replace(model: onnx.ModelProto, nodes: list[NodeProto], constants: dict[str, npt.NDArray[Any]]) -> None:
    """Give a graph other nodes, its constants in FP16 too, and take out what nobody needs any more."""
    graph = model.graph
    taken = {name for node in nodes for name in node.input} | {item.name for item in (*graph.input, *graph.output)}
    halves = [numpy_helper.from_array(_to_half(value), name + HALF) for name, value in constants.items()]
    idle = constants.keys() - taken
    kept = [tensor for tensor in graph.initializer if tensor.name not in idle]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *halves])
    nodes = [node for node in nodes if not (node.op_type == "Constant" and node.output[0] in idle)]
    made = {name for node in nodes for name in node.output}
    described = [item for item in graph.value_info if item.name in made]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.value_info.extend(described)
