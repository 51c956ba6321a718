"""How near an engine's layers come to what the machine can do: the roofline of Williams, Waterman and Patterson (2009).

A layer's bound is the longer of its multiply-accumulates at the measured peak rate and its bytes at the measured
bandwidth; the bound of all is their sum, as layers run one after the other. Layers without multiply-accumulates are
left out of the bound, so that it stays a bound. Layers, and what each took, are OpenVINO's own account.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edge_wbc.bench.results import Row
from edge_wbc.bench.statistics import Interval
from edge_wbc.engines.openvino_runtime import core, openvino
from edge_wbc.manifest import Model

ops = openvino.opset13
_WIDTHS = {"int8": 1, "bf16": 2, "f16": 2, "f32": 4}
"""Bytes of a number."""
_KINDS = ("Convolution", "GroupConvolution", "MatMul")
PEAK_SHAPES = ((256, 28, 3), (128, 32, 3), (512, 16, 1), (256, 32, 1))
"""Channels in and out, side, and side of the kernel, of the convolutions whose quickest call is the peak: in sizes at
which libraries of kernels are at their best."""
WARM_UP_CALLS = 3
LEAST_COPIES = 5
BEYOND_CACHES_BYTES = 256 * 2**20
"""A copy of so much goes through memory on any processor this runs on."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """What a machine can do."""

    name: str
    macs_per_s: dict[str, float]
    """By precision: multiply-accumulates a second."""
    bytes_per_s: float
    measured: bool
    """Here, by ``measured_peaks``; else as published."""


PUBLISHED = (Peaks("Jetson Orin Nano Super 8 GB", {"f16": 17e12 / 2, "int8": 33e12 / 2}, 102e9, False),)
"""NVIDIA's data sheet, dense; an operation is half a multiply-accumulate."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer as it ran."""

    name: str
    kernel: str
    """What OpenVINO calls the kernel that it chose."""
    precision: str
    macs: int
    bytes: int
    """Of weights, inputs and outputs, each once."""
    ms: float
    """Median over the calls, as OpenVINO counts it."""

    def bound_ms(self, peaks: Peaks, precision: str = "") -> float:
        """:param precision: that the bound is for, where another than it ran in here."""
        wanted = precision or self.precision
        size = self.bytes * _WIDTHS[wanted] / _WIDTHS[self.precision]
        return 1000 * max(self.macs / peaks.macs_per_s[wanted], size / peaks.bytes_per_s)

    def bound_by(self, peaks: Peaks) -> str:
        compute = self.macs / peaks.macs_per_s[self.precision]
        return "compute" if compute >= self.bytes / peaks.bytes_per_s else "bandwidth"


@dataclass(frozen=True, slots=True)
class Roofline:
    """A graph at one batch size."""

    layers: tuple[Layer, ...]
    """Those with multiply-accumulates, the longest first."""
    others_ms: float
    """All others together."""
    call_ms: float
    """A whole call, median, without the counting."""
    peaks: Peaks
    memory_bytes_per_s: float
    """Beyond the caches; the bandwidth among ``peaks`` is of a copy as large as this graph's bytes."""

    @property
    def bound_ms(self) -> float:
        return sum(layer.bound_ms(self.peaks) for layer in self.layers)

    def predicted_ms(self, peaks: Peaks, precision: str) -> float | None:
        """The bound on another machine; None where its peak for that precision is not published."""
        if precision not in peaks.macs_per_s:
            return None
        return sum(layer.bound_ms(peaks, precision) for layer in self.layers)


def rows(found: Roofline) -> list[Row]:
    """A row a layer, the longest first, for a result."""
    made = []
    for layer in found.layers:
        what = {
            "layer": layer.name,
            "kernel": layer.kernel,
            "precision": layer.precision,
            "by": layer.bound_by(found.peaks),
        }
        told = {"macs": float(layer.macs), "bytes": float(layer.bytes), "bound": layer.bound_ms(found.peaks)}
        made.append(Row(layer.name, what, "ms", "lower", median=Interval(layer.ms, None, None), told=told))
    return made


def roofline(model: Model, batch: int, threads: int, seconds: float) -> Roofline:
    """Run a graph and hold each layer against what this machine can do.

    :param seconds: of each of the measurements: calls, counted calls, each peak.
    """
    size = model.manifest.input.size_px
    crops = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
    graph = core().read_model(model.graph)
    graph.reshape([batch, size, size, 3])
    work = {op.friendly_name: _work(op) for op in graph.get_ops() if op.get_type_name() in _KINDS}
    call_ms = 1000 * statistics.median(_timed(_request(graph, threads), crops, seconds))
    layers, others = [], 0.0
    for name, (_, kernel, taken) in _counted(graph, crops, threads, seconds).items():
        ms = statistics.median(taken)
        if name not in work:
            others += ms
            continue
        macs, numbers = work[name]
        precision = precision_of(kernel)
        short = name.removesuffix("/WithoutBiases")
        layers.append(Layer(short, kernel, precision, macs, numbers * _WIDTHS[precision], ms))
    layers.sort(key=lambda layer: -layer.ms)
    together = sum(layer.bytes for layer in layers)
    here = Peaks("this machine", _rates(layers, threads, seconds), copied_per_s(together, seconds), True)
    return Roofline(tuple(layers), others, call_ms, here, copied_per_s(BEYOND_CACHES_BYTES, seconds))


def _rates(layers: Sequence[Layer], threads: int, seconds: float) -> dict[str, float]:
    """By precision, the most that was seen here: of convolutions made to be quick, and of the layers themselves."""
    found = {}
    for precision in sorted({layer.precision for layer in layers}):
        own = max(layer.macs / (layer.ms / 1000) for layer in layers if layer.precision == precision and layer.ms)
        found[precision] = max(own, peak_macs_per_s(precision, threads, seconds))
    return found


def precision_of(kernel: str) -> str:
    """What a kernel computes in, by the end of its name, such as ``brgconv_avx512_I8``."""
    found = re.search(r"_(I8|U8|BF16|F16|FP16)\b", kernel.upper())
    return {"": "f32", "I8": "int8", "U8": "int8", "BF16": "bf16"}.get(found[1] if found else "", "f16")


def peak_macs_per_s(precision: str, threads: int, seconds: float) -> float:
    """The most multiply-accumulates a second that a convolution reaches here, by its quickest call."""
    best = 0.0
    for channels, side, kernel in PEAK_SHAPES:
        model = _convolution(channels, side, kernel, quantised=precision == "int8")
        hint = precision if precision in ("bf16", "f16") else "f32"
        data = np.random.default_rng(0).random((1, channels, side, side), np.float32)
        counted = _counted(model, data, threads, seconds / len(PEAK_SHAPES), hint)
        (taken,) = (taken for kind, _, taken in counted.values() if kind == "Convolution")  # not the reordering for it
        quickest = min(taken)
        best = max(best, side**2 * channels**2 * kernel**2 / (quickest / 1000))
    return best


def copied_per_s(size: int, seconds: float) -> float:
    """Bytes a second, read and written ones together, of one thread that copies; by the quickest copy.

    :param size: bytes of source and copy together.
    """
    source = np.ones(max(1, size // 2), np.uint8)
    copy = source.copy()  # its pages are there before anything is timed
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < LEAST_COPIES or time.perf_counter() < end:
        started = time.perf_counter()
        np.copyto(copy, source)
        taken.append(time.perf_counter() - started)
    return 2 * source.nbytes / min(taken)


def _work(op: Any) -> tuple[int, int]:
    """Multiply-accumulates, and how many numbers go in and out."""
    shapes = [tuple(op.input(place).get_shape()) for place in (0, 1)]
    out = tuple(op.output(0).get_shape())
    kind = op.get_type_name()
    if kind == "MatMul":
        inner = shapes[0][-2 if op.get_attributes().get("transpose_a") else -1]
    else:
        inner = prod(shapes[1][1 if kind == "Convolution" else 2 :])
    return prod(out) * inner, sum(map(prod, (*shapes, out)))


def _counted(
    graph: Any, data: Any, threads: int, seconds: float, hint: str = "f32"
) -> dict[str, tuple[str, str, list[float]]]:
    """By layer that ran: kind, kernel, and the ms of each call; the first calls are not counted."""
    request = _request(graph, threads, hint, counting=True)
    for _ in range(WARM_UP_CALLS):
        request.infer([data])
    found: dict[str, tuple[str, str, list[float]]] = {}
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        request.infer()
        for node in request.profiling_info:
            if node.status == openvino.ProfilingInfo.Status.EXECUTED:
                *_, taken = found.setdefault(node.node_name, (node.node_type, node.exec_type, []))
                taken.append(node.real_time.total_seconds() * 1000)
    return found


def _convolution(channels: int, side: int, kernel: int, quantised: bool) -> Any:
    data = ops.parameter([1, channels, side, side], np.float32, "x")
    weights = ops.constant(
        np.random.default_rng(1).normal(0, 0.1, (channels, channels, kernel, kernel)).astype(np.float32)
    )
    inner, filters = data, weights
    if quantised:
        inner = ops.fake_quantize(data, *map(np.float32, (0, 1, 0, 1)), 256)
        filters = ops.fake_quantize(weights, *map(np.float32, (-1, 1, -1, 1)), 255)
    pads = [kernel // 2] * 2
    out = ops.convolution(inner, filters, [1, 1], pads, pads, [1, 1])
    if quantised:
        out = ops.fake_quantize(ops.relu(out), *map(np.float32, (0, 50, 0, 50)), 256)
    return openvino.Model([out], [data], "peak")


def _request(graph: Any, threads: int, hint: str = "f32", counting: bool = False) -> Any:
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
        "PERF_COUNT": "YES" if counting else "NO",
    }
    return core().compile_model(graph, "CPU", settings).create_infer_request()


def _timed(request: Any, data: Any, seconds: float) -> Sequence[float]:
    """What each call took, in seconds; the first is not counted."""
    request.infer([data])
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < 3 or time.perf_counter() < end:
        started = time.perf_counter()
        request.infer()
        taken.append(time.perf_counter() - started)
    return taken
