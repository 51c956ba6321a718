"""A graph as its readers need it: who makes a tensor, who takes it, what is constant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import NodeProto, TensorProto, numpy_helper

from edge_wbc.errors import ModelError

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


class View:
    """One ONNX graph, its main level; subgraphs of If and Loop are not looked into."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.model = model
        self.nodes: list[NodeProto] = list(graph.node)
        self.constants: dict[str, npt.NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
        }
        self._maker: dict[str, NodeProto] = {}
        self._users: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            self._maker |= dict.fromkeys(node.output, node)
            for name in node.input:
                self._users.setdefault(name, []).append(node)

    @property
    def opset(self) -> int:
        """Of ONNX's own operators."""
        return max((item.version for item in self.model.opset_import if item.domain in ("", "ai.onnx")), default=0)

    def maker(self, tensor: str) -> NodeProto | None:
        """The node that makes a tensor; None for inputs and constants."""
        return self._maker.get(tensor)

    def users(self, node: NodeProto) -> list[NodeProto]:
        """The nodes that take what a node makes."""
        return [user for name in node.output for user in self._users.get(name, [])]

    def users_of(self, tensor: str) -> list[NodeProto]:
        return self._users.get(tensor, [])

    def of_type(self, *kinds: str) -> list[NodeProto]:
        return [node for node in self.nodes if node.op_type in kinds]

    def constant(self, node: NodeProto, place: int) -> npt.NDArray[Any] | None:
        """An input of a node that is constant; None where it is not, or is left out."""
        return self.constants.get(node.input[place]) if len(node.input) > place else None

    def made_by(self, node: NodeProto, place: int, kind: str) -> NodeProto | None:
        """The node that makes an input, if it is of this kind."""
        maker = self.maker(node.input[place]) if len(node.input) > place else None
        return maker if maker is not None and maker.op_type == kind else None

    def is_output(self, node: NodeProto) -> bool:
        """Whether the graph returns what a node makes."""
        return bool({item.name for item in self.model.graph.output} & set(node.output))


def attribute(node: NodeProto, name: str, default: int) -> int:
    """A whole-number attribute of a node."""
    return next((int(item.i) for item in node.attribute if item.name == name), default)


def name_of(node: NodeProto) -> str:
    """What a person finds a node by: its name, or that of what it makes."""
    return str(node.name or node.output[0])


def same_scale(one: npt.NDArray[Any] | None, other: npt.NDArray[Any] | None) -> bool:
    return one is not None and other is not None and np.array_equal(one, other)


def float_tensors(model: onnx.ModelProto) -> set[str]:
    """The float32 tensors of a graph, constants among them.

    :raises ModelError: it is no valid graph.
    """
    check_graph(model, "this is no valid ONNX graph", "export it again")
    graph = onnx.shape_inference.infer_shapes(model).graph
    typed = [*graph.input, *graph.output, *graph.value_info]
    names = {item.name for item in typed if item.type.tensor_type.elem_type == TensorProto.FLOAT}
    return names | {name for name, value in View(model).constants.items() if value.dtype == np.float32}


def check_graph(model: onnx.ModelProto, what: str, then: str) -> None:
    """:raises ModelError: onnx finds it invalid; ``what`` begins the message and ``then`` ends it."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"{what} ({first}); {then}") from None


def read_graph(path: Path) -> onnx.ModelProto:
    """:raises ModelError: not there, or no ONNX graph."""
    try:
        model = onnx.load(path)
    except OSError as error:
        missing = (error.strerror or str(error)).lower()
        raise ModelError(f"{path}: can't be read ({missing}); give the path of a .onnx file") from None
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{path}: not an ONNX graph ({error}); export it again") from None
    if not model.graph.node:
        raise ModelError(f"{path}: not an ONNX graph (no node in it); export it again")
    return model
