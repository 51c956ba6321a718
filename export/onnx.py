"""leukonet's weights → an ONNX graph with everything inside it, written node by node.

No tracing exporter stands between the network and the graph: nodes bear the network's own names, batch-norm is
folded into the convolutions, and the same weights give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from training.leukonet import CROP_PX, MEAN, SCALE, Block, Leukonet

OPSET = 17
IR_VERSION = 8
"""The IR that came with opset 17: newer ones are refused by the ONNX parsers of TensorRT 10.3."""


class _Writer:
    """Collects the nodes and constants of one graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.macs = 0

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, name: str, inputs: Sequence[str], output: str = "", **attributes: object) -> str:
        result = output or f"{name}.out"
        self.nodes.append(helper.make_node(kind, list(inputs), [result], name=name, **attributes))
        return result

    def conv(self, name: str, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d, side: int) -> tuple[str, int]:
        """A convolution with its batch-norm folded in; the output's side in pixels beside its name."""
        weight, bias = _fold(conv, norm)
        stride, kernel, padding = int(conv.stride[0]), int(conv.kernel_size[0]), int(conv.padding[0])
        result = self.node(
            "Conv",
            name,
            [x, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[padding] * 4,
        )
        side = (side + 2 * padding - kernel) // stride + 1
        self.macs += weight.size * side * side
        return result, side


def to_onnx(network: Leukonet, temperature: float) -> tuple[onnx.ModelProto, int]:
    """The graph of a network in evaluation mode, and its multiply-accumulates for one crop.

    ``crops`` uint8 (N, 96, 96, 3) BGR → ``probabilities`` float32 (N, C), softmax of logits / temperature, and
    ``logits`` float32 (N, C). N is free.
    """
    out = _Writer()
    x = out.node("Cast", "input.cast", ["crops"], to=TensorProto.FLOAT)
    x = out.node("Transpose", "input.transpose", [x], perm=[0, 3, 1, 2])
    mean = np.asarray(MEAN, np.float32).reshape(1, 3, 1, 1)
    x = out.node("Sub", "input.mean", [x, out.constant("input.mean.value", mean)])
    x = out.node("Mul", "input.scale", [x, out.constant("input.scale.value", np.array([1 / SCALE], np.float32))])
    x, side = out.conv("stem", x, *_pair(network.stem), CROP_PX)
    x = out.node("Relu", "stem.relu", [x])
    for i, stage in enumerate(network.stages, 1):
        assert isinstance(stage, nn.Sequential)
        for j, block in enumerate(stage, 1):
            assert isinstance(block, Block)
            x, side = _block(out, f"stage{i}.block{j}", x, block, side)
    x = out.node("GlobalAveragePool", "pool", [x])
    x = out.node("Flatten", "flatten", [x], axis=1)
    weight, bias = _array(network.head.weight), _array(network.head.bias)
    head = [x, out.constant("head.weight", weight), out.constant("head.bias", bias)]
    out.node("Gemm", "head", head, "logits", transB=1)
    out.macs += weight.size
    cooled = out.node(
        "Div", "temperature", ["logits", out.constant("temperature.value", np.array([temperature], np.float32))]
    )
    out.node("Softmax", "softmax", [cooled], "probabilities", axis=1)
    classes = network.architecture.classes
    graph = helper.make_graph(
        out.nodes,
        "leukonet",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", CROP_PX, CROP_PX, 3])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", classes]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes]),
        ],
        out.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="edge-wbc")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model, out.macs


def _block(out: _Writer, name: str, x: str, block: Block, side: int) -> tuple[str, int]:
    shortcut = x
    if isinstance(block.shortcut, nn.Sequential):
        shortcut, _ = out.conv(f"{name}.shortcut", x, *_pair(block.shortcut), side)
    y, side = out.conv(f"{name}.conv1", x, block.conv1, block.norm1, side)
    y = out.node("Relu", f"{name}.relu1", [y])
    y, side = out.conv(f"{name}.conv2", y, block.conv2, block.norm2, side)
    y = out.node("Add", f"{name}.add", [y, shortcut])
    return out.node("Relu", f"{name}.relu2", [y]), side


def _pair(sequence: nn.Sequential) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv, norm = sequence[0], sequence[1]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return conv, norm


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Weights and bias of one convolution that does what the convolution and its batch-norm did."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = conv.weight.double() * gain[:, None, None, None]
    bias = norm.bias.double() - norm.running_mean.double() * gain
    return _array(weight), _array(bias)


def _array(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    return tensor.detach().cpu().float().numpy()
