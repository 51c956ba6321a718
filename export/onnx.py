"""leukonet's weights → an ONNX graph with everything inside it; batch-norm is folded into the convolutions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto
from torch import nn

from export.writer import Writer
from training.leukonet import (
    BACKGROUND_PARTS,
    BLACK,
    DARKEST_BACKGROUND,
    LEAST_VARIANCE,
    MEAN,
    SCALE,
    Block,
    Leukonet,
)


def to_onnx(network: Leukonet, temperature: float) -> tuple[onnx.ModelProto, int]:
    """The graph of a network in evaluation mode, and its multiply-accumulates for one crop.

    ``crops`` uint8 (N, S, S, 3) BGR → ``probabilities`` float32 (N, C), softmax of logits / temperature, and
    ``logits`` float32 (N, C). N is free.
    """
    out = Writer()
    size = network.architecture.size
    x = _normalised(out, out.crops(), network.architecture.normalisation, size)
    x, side = _conv(out, "stem", x, *_pair(network.stem), size)
    x = out.node("Relu", "stem.relu", [x])
    for i, stage in enumerate(network.stages, 1):
        assert isinstance(stage, nn.Sequential)
        for j, block in enumerate(stage, 1):
            assert isinstance(block, Block)
            x, side = _block(out, f"stage{i}.block{j}", x, block, side)
    x = out.node("GlobalAveragePool", "pool", [x])
    x = out.node("Flatten", "flatten", [x], axis=1)
    out.head(x, _array(network.head.weight), _array(network.head.bias), temperature)
    return out.model("leukonet", size, network.architecture.classes), out.macs


def _normalised(out: Writer, x: str, kind: str, size: int) -> str:
    if kind == "fixed":
        return out.affine(x, np.asarray(MEAN, np.float32).reshape(1, 3, 1, 1), np.array([1 / SCALE], np.float32))

    def constant(name: str, value: float) -> str:
        return out.constant(f"input.{name}.value", np.array([value], np.float32))

    def total(name: str, x: str, axes: list[int]) -> str:
        for axis in axes:  # one after the other: thousands of floats added in one go lose digits in some engines
            step = f"input.{name}.{axis}"
            x = out.node("ReduceSum", step, [x, out.constant(f"{step}.axis", np.array([axis]))])
        return x

    # Channel by channel: an AveragePool of three would lay the whole front out in blocks of 16 channels in OpenVINO,
    # which takes a sixth of the time of an INT8 graph.
    part = size // BACKGROUND_PARTS
    planes = out.node("Reshape", "input.planes", [x, out.constant("input.planes.shape", np.array([-1, 1, size, size]))])
    parts = out.node("AveragePool", "input.parts", [planes], kernel_shape=[part, part], strides=[part, part])
    side = size // part
    shape = out.constant("input.channels.shape", np.array([-1, 3, side, side]))
    lightest = out.node("GlobalMaxPool", "input.lightest", [out.node("Reshape", "input.channels", [parts, shape])])
    background = out.node("Max", "input.background", [lightest, constant("background", DARKEST_BACKGROUND)])
    brightest = out.node("ReduceMax", "input.brightest", [x], axes=[1])
    lit = out.node("Greater", "input.lit", [brightest, constant("lit", BLACK)])
    shown = out.node("Cast", "input.shown", [lit], to=TensorProto.FLOAT)
    x = out.node("Div", "input.share", [x, background])
    x = out.node("Sub", "input.relative", [x, constant("relative", 1)])
    count = out.node("Add", "input.count", [total("pixels", shown, [3, 2]), constant("count", 1)])
    sums = total("sums", out.node("Mul", "input.visible", [x, shown]), [3, 2])
    mean = out.node("Div", "input.mean", [sums, count])
    apart = out.node("Mul", "input.apart", [out.node("Sub", "input.centred", [x, mean]), shown])
    squares = total("squares", out.node("Mul", "input.squared", [apart, apart]), [3, 2, 1])
    values = out.node("Mul", "input.values", [count, constant("values", 3)])
    variance = out.node("Div", "input.variance", [squares, values])
    steady = out.node("Add", "input.steady", [variance, constant("steady", LEAST_VARIANCE)])
    return out.node("Div", "input.normalised", [apart, out.node("Sqrt", "input.spread", [steady])])


def _block(out: Writer, name: str, x: str, block: Block, side: int) -> tuple[str, int]:
    shortcut = x
    if isinstance(block.shortcut, nn.Sequential):
        shortcut, _ = _conv(out, f"{name}.shortcut", x, *_pair(block.shortcut), side)
    y, side = _conv(out, f"{name}.conv1", x, block.conv1, block.norm1, side)
    y = out.node("Relu", f"{name}.relu1", [y])
    y, side = _conv(out, f"{name}.conv2", y, block.conv2, block.norm2, side)
    y = out.node("Add", f"{name}.add", [y, shortcut])
    return out.node("Relu", f"{name}.relu2", [y]), side


def _conv(out: Writer, name: str, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d, side: int) -> tuple[str, int]:
    """A convolution with its batch-norm folded in; the output's side in pixels beside its name."""
    assert conv.padding == (conv.kernel_size[0] // 2,) * 2
    weight, bias = _fold(conv, norm)
    return out.conv(name, x, weight, bias, side, conv.stride[0], conv.groups)


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
