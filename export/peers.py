"""Published networks at 224×224 as graphs with edge-wbc's inputs and outputs, to be timed beside leukonet.

Written from the papers, batch-norm folded (a convolution and its bias), weights drawn from a fixed seed: they have
the published networks' speed and none of their knowledge.

A peer must not be slow because of how it is written. In the forms used here every activation and every shortcut's
``Add`` joins the convolution before it in OpenVINO 2026.4, and nothing else is left but pooling and the gates'
products. Other forms tried with MobileNetV3-Small, time of this one = 1: hard-swish as x × ``HardSigmoid`` 1.6
(nothing joins), as x × clip(x + 3) / 6 1.01; the gate's hard-sigmoid as ``HardSigmoid`` 1.02; ``ReduceMean`` for
``GlobalAveragePool`` 1.01; the last hidden layer as ``Gemm`` 1.01; scaling before transposing the crop 1.3.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from edge_wbc import __version__
from edge_wbc.errors import OutputFailed, reason
from edge_wbc.manifest import (
    SCHEMA,
    GraphGroup,
    InputGroup,
    LabelsGroup,
    Manifest,
    Model,
    ModelGroup,
    manifest_path,
    sha256,
    write_manifest,
)
from edge_wbc.vision.crop import MARGIN
from export.writer import OPSET, Floats, Writer, parameters

SIZE_PX = 224
NOTICE = "Peer for timing only, never trained. Not for classification."
SEED = 1

_MEAN: Floats = np.array([103.5, 116.3, 123.7], np.float32).reshape(1, 3, 1, 1)
_SCALE: Floats = np.array([1 / 57.4, 1 / 57.1, 1 / 58.4], np.float32).reshape(1, 3, 1, 1)
"""Mean and inverse standard deviation of ImageNet's pixels, as BGR: what people normalise these networks' input by."""


class _Map(NamedTuple):
    """A feature map of the graph being written: (N, channels, side, side)."""

    name: str
    channels: int
    side: int


class _Drawn:
    """A graph being written, its weights drawn so that activations keep their size from layer to layer."""

    def __init__(self) -> None:
        self.out = Writer()
        self.rng = np.random.default_rng(SEED)
        self.crops = _Map(self.out.affine(self.out.crops(), _MEAN, _SCALE), 3, SIZE_PX)

    def conv(
        self,
        name: str,
        x: _Map,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        activation: str = "",
        depthwise: bool = False,
        gain: float = 2.0,
    ) -> _Map:
        """Convolution, bias, activation.

        :param gain: variance of the weights times their number per output: 1 keeps the size of what comes in, 2 of
            what a rectifier has halved (He 2015).
        """
        inputs = 1 if depthwise else x.channels
        weight = self.normal((channels, inputs, kernel, kernel), gain / (inputs * kernel**2))
        bias = self.normal((channels,), 0.01)
        group = x.channels if depthwise else 1
        result, side = self.out.conv(name, x.name, weight, bias, x.side, stride, group)
        return self.activate(f"{name}.{activation}", _Map(result, channels, side), activation)

    def normal(self, shape: tuple[int, ...], variance: float) -> Floats:
        return np.asarray(self.rng.normal(0, variance**0.5, shape), np.float32)

    def activate(self, name: str, x: _Map, activation: str) -> _Map:
        if activation == "relu":
            return x._replace(name=self.out.node("Relu", name, [x.name]))
        if activation == "hard-swish":
            return x._replace(name=self.out.node("HardSwish", name, [x.name]))
        if activation == "hard-sigmoid":
            shifted = self.out.node("Add", f"{name}.shift", [x.name, self.number(3.0)])
            clipped = self.out.node("Clip", f"{name}.clip", [shifted, self.number(0.0), self.number(6.0)])
            return x._replace(name=self.out.node("Div", name, [clipped, self.number(6.0)]))
        if activation == "sigmoid":
            return x._replace(name=self.out.node("Sigmoid", name, [x.name]))
        if activation == "silu":
            gate = self.out.node("Sigmoid", f"{name}.sigmoid", [x.name])
            return x._replace(name=self.out.node("Mul", name, [x.name, gate]))
        return x

    def number(self, value: float) -> str:
        """A scalar constant, the same one each time."""
        name = f"number.{value:g}"
        if all(constant.name != name for constant in self.out.constants):
            self.out.constant(name, np.array(value, np.float32))
        return name

    def add(self, name: str, x: _Map, y: _Map) -> _Map:
        return x._replace(name=self.out.node("Add", name, [x.name, y.name]))

    def pool(self, name: str, x: _Map) -> _Map:
        return _Map(self.out.node("GlobalAveragePool", name, [x.name]), x.channels, 1)

    def squeeze_excite(self, name: str, x: _Map, squeezed: int, inner: str, gate: str) -> _Map:
        """Each channel times a gate computed from the means of all (Hu 2018)."""
        y = self.pool(f"{name}.pool", x)
        y = self.conv(f"{name}.squeeze", y, squeezed, activation=inner)
        y = self.conv(f"{name}.excite", y, x.channels, activation=gate)
        return x._replace(name=self.out.node("Mul", f"{name}.scale", [x.name, y.name]))

    def finish(self, name: str, x: _Map, classes: int) -> tuple[onnx.ModelProto, int]:
        """Classify a map of side 1; the graph and its multiply-accumulates."""
        features = self.out.node("Flatten", "flatten", [x.name], axis=1)
        weight = self.normal((classes, x.channels), 1 / x.channels)
        self.out.head(features, weight, np.zeros(classes, np.float32), 1.0)
        return self.out.model(name, SIZE_PX, classes), self.out.macs


class _Bottleneck(NamedTuple):
    """An inverted residual (Sandler 2018): widen, depthwise convolution, gate, narrow."""

    kernel: int
    expanded: int
    channels: int
    stride: int
    activation: str
    squeezed: int
    """Channels inside the gate; 0 for none."""


def _bottleneck(net: _Drawn, name: str, x: _Map, of: _Bottleneck, inner: str, gate: str) -> _Map:
    y = x
    if of.expanded != x.channels:
        y = net.conv(f"{name}.expand", y, of.expanded, activation=of.activation, gain=1.0)
    y = net.conv(f"{name}.depthwise", y, of.expanded, of.kernel, of.stride, of.activation, depthwise=True)
    if of.squeezed:
        y = net.squeeze_excite(f"{name}.gate", y, of.squeezed, inner, gate)
    # Gates of drawn weights are about a half, their square a quarter.
    y = net.conv(f"{name}.project", y, of.channels, gain=8.0 if of.squeezed else 2.0)
    return net.add(f"{name}.add", y, x) if of.stride == 1 and of.channels == x.channels else y


_MOBILENET_V3_SMALL = (
    _Bottleneck(3, 16, 16, 2, "relu", 8),
    _Bottleneck(3, 72, 24, 2, "relu", 0),
    _Bottleneck(3, 88, 24, 1, "relu", 0),
    _Bottleneck(5, 96, 40, 2, "hard-swish", 24),
    _Bottleneck(5, 240, 40, 1, "hard-swish", 64),
    _Bottleneck(5, 240, 40, 1, "hard-swish", 64),
    _Bottleneck(5, 120, 48, 1, "hard-swish", 32),
    _Bottleneck(5, 144, 48, 1, "hard-swish", 40),
    _Bottleneck(5, 288, 96, 2, "hard-swish", 72),
    _Bottleneck(5, 576, 96, 1, "hard-swish", 144),
    _Bottleneck(5, 576, 96, 1, "hard-swish", 144),
)
"""Howard 2019, table 2; inside the gate a quarter of the channels, to the nearest multiple of eight."""

_EFFICIENTNET_B0 = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 2, 3),
    (6, 5, 112, 1, 3),
    (6, 5, 192, 2, 4),
    (6, 3, 320, 1, 1),
)
"""Tan 2019, table 1: expansion, kernel, channels, stride of the first block, blocks."""

_RESNET_18 = ((64, 1), (128, 2), (256, 2), (512, 2))
"""He 2016, table 1: channels, stride of the first block; two blocks each."""


def mobilenet_v3_small(classes: int) -> tuple[onnx.ModelProto, int]:
    """MobileNetV3-Small (Howard 2019) and its multiply-accumulates."""
    net = _Drawn()
    x = net.conv("stem", net.crops, 16, 3, 2, "hard-swish")
    for i, block in enumerate(_MOBILENET_V3_SMALL, 1):
        x = _bottleneck(net, f"block{i}", x, block, "relu", "hard-sigmoid")
    x = net.pool("pool", net.conv("last", x, 576, activation="hard-swish"))
    x = net.conv("wide", x, 1024, activation="hard-swish")
    return net.finish("mobilenet-v3-small", x, classes)


def efficientnet_b0(classes: int) -> tuple[onnx.ModelProto, int]:
    """EfficientNet-B0 (Tan 2019) and its multiply-accumulates."""
    net = _Drawn()
    x = net.conv("stem", net.crops, 32, 3, 2, "silu")
    for i, (expansion, kernel, channels, stride, blocks) in enumerate(_EFFICIENTNET_B0, 1):
        for j in range(blocks):
            expanded, squeezed = expansion * x.channels, x.channels // 4
            block = _Bottleneck(kernel, expanded, channels, 1 if j else stride, "silu", squeezed)
            x = _bottleneck(net, f"stage{i}.block{j + 1}", x, block, "silu", "sigmoid")
    x = net.pool("pool", net.conv("last", x, 1280, activation="silu"))
    return net.finish("efficientnet-b0", x, classes)


def resnet_18(classes: int) -> tuple[onnx.ModelProto, int]:
    """ResNet-18 (He 2016, shortcuts of type B) and its multiply-accumulates."""
    net = _Drawn()
    x = net.conv("stem", net.crops, 64, 7, 2, "relu")
    pooled = net.out.node("MaxPool", "maxpool", [x.name], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    x = _Map(pooled, x.channels, (x.side - 1) // 2 + 1)
    for i, (channels, first_stride) in enumerate(_RESNET_18, 1):
        for j in (1, 2):
            name, stride = f"stage{i}.block{j}", first_stride if j == 1 else 1
            same = stride == 1 and channels == x.channels
            shortcut = x if same else net.conv(f"{name}.shortcut", x, channels, stride=stride, gain=1.0)
            y = net.conv(f"{name}.conv1", x, channels, 3, stride, "relu")
            y = net.conv(f"{name}.conv2", y, channels, 3, gain=0.5)
            x = net.activate(f"{name}.relu", net.add(f"{name}.add", y, shortcut), "relu")
    return net.finish("resnet-18", net.pool("pool", x), classes)


PEERS: dict[str, Callable[[int], tuple[onnx.ModelProto, int]]] = {
    "MobileNetV3-Small": mobilenet_v3_small,
    "EfficientNet-B0": efficientnet_b0,
    "ResNet-18": resnet_18,
}
"""Name → function of the number of classes."""


def write_peer(name: str, labels: tuple[str, ...], folder: Path) -> Model:
    """Write a peer's graph and manifest, with as many classes as there are labels.

    :raises OutputFailed: the folder takes no file.
    """
    graph, macs = PEERS[name](len(labels))
    path = folder / f"{name.lower()}.onnx"
    try:
        path.write_bytes(graph.SerializeToString(deterministic=True))
        manifest = Manifest(
            schema_version=SCHEMA,
            model=ModelGroup(
                name=name,
                version=__version__,
                created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                licence="Apache-2.0",
                description=f"{name} with drawn weights",
                notice=NOTICE,
            ),
            labels=LabelsGroup(names=labels, counted=(), unidentified_below=0.0, threshold_from="never trained"),
            input=InputGroup(size_px=SIZE_PX, colour_order="BGR", margin=MARGIN, border="replicate"),
            graph=GraphGroup(
                file=path.name,
                sha256=sha256(path),
                opset=OPSET,
                precision="fp32",
                parameters=parameters(graph),
                macs=macs,
                temperature=1.0,
            ),
            training={},
            parity={},
        )
        write_manifest(manifest_path(path), manifest)
    except OSError as error:
        raise OutputFailed(f"{folder}: takes no graph ({reason(error)}); free some space there") from None
    return Model(manifest, path)
