"""ONNX graphs with edge-wbc's inputs and outputs, written node by node.

No tracing exporter stands between a network and its graph: nodes bear the network's own names, and the same weights
give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Floats = npt.NDArray[np.float32]

OPSET = 17
IR_VERSION = 8
"""The IR that came with opset 17: newer ones are refused by the ONNX parsers of TensorRT 10.3."""


class Writer:
    """Collects the nodes and constants of one graph, and counts its multiply-accumulates for one crop."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.macs = 0

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, name: str, inputs: Sequence[str], output: str = "", **attributes: object) -> str:
        """Add a node; returns the name of its output."""
        result = output or f"{name}.out"
        self.nodes.append(helper.make_node(kind, list(inputs), [result], name=name, **attributes))
        return result

    def crops(self, mean: Floats, scale: Floats) -> str:
        """What the graph takes: ``crops`` uint8 (N, S, S, 3) BGR → (crops − mean) × scale, float32 (N, 3, S, S).

        The cast comes first: TensorRT allows uint8 inputs only there.
        """
        x = self.node("Cast", "input.cast", ["crops"], to=TensorProto.FLOAT)
        x = self.node("Transpose", "input.transpose", [x], perm=[0, 3, 1, 2])
        x = self.node("Sub", "input.mean", [x, self.constant("input.mean.value", mean)])
        return self.node("Mul", "input.scale", [x, self.constant("input.scale.value", scale)])

    def conv(
        self, name: str, x: str, weight: Floats, bias: Floats, side: int, stride: int = 1, group: int = 1
    ) -> tuple[str, int]:
        """A convolution padded by half its kernel; the output's side in pixels beside its name.

        :param weight: (outputs, inputs / group, k, k), k odd.
        """
        kernel = weight.shape[2]
        attributes: dict[str, Any] = {"group": group} if group > 1 else {}
        result = self.node(
            "Conv",
            name,
            [x, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            **attributes,
        )
        side = (side - 1) // stride + 1
        self.macs += weight.size * side * side
        return result, side

    def head(self, x: str, weight: Floats, bias: Floats, temperature: float) -> None:
        """What the graph returns: ``logits`` of features (N, F), ``probabilities`` = softmax(logits / temperature).

        :param weight: (classes, F).
        """
        inputs = [x, self.constant("head.weight", weight), self.constant("head.bias", bias)]
        self.node("Gemm", "head", inputs, "logits", transB=1)
        self.macs += weight.size
        divisor = self.constant("temperature.value", np.array([temperature], np.float32))
        cooled = self.node("Div", "temperature", ["logits", divisor])
        self.node("Softmax", "softmax", [cooled], "probabilities", axis=1)

    def model(self, name: str, size_px: int, classes: int) -> onnx.ModelProto:
        """The finished graph, checked: ``crops`` (N, S, S, 3) → ``probabilities``, ``logits`` (N, classes); N free."""
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", size_px, size_px, 3])],
            [
                helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", classes]),
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes]),
            ],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="edge-wbc")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model


def parameters(graph: onnx.ModelProto) -> int:
    """Elements of all weights and biases in the graph, batch-norm folded in."""
    return sum(
        int(np.prod(constant.dims))
        for constant in graph.graph.initializer
        if constant.name.endswith((".weight", ".bias"))
    )
