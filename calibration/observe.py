"""What the tensors of a graph hold on real crops, and the range that each is given.

Memory does not grow with the number of crops, and their order makes no difference: a tensor's largest value, then a
histogram of whole numbers up to it, is all that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper

from edge_wbc.engines.onnxruntime import DISABLED
from edge_wbc.types import Pixels

LEVELS = 127
"""Steps of symmetric int8 on either side of 0."""
BINS = 2048
"""Of a histogram; as TensorRT's entropy calibration takes (Migacz, GTC 2017)."""
BATCH = 16
SHARE = 0.99999
"""Of a tensor's values that the percentile's range takes in."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Absolute values of one tensor."""

    largest: float
    counts: Counts
    """(BINS,), even bins from 0 to ``largest``."""


def observe(
    model: onnx.ModelProto, tensors: Sequence[str], crops: Pixels, progress: Callable[[int], None]
) -> dict[str, Histogram]:
    """Run the graph over the crops twice: for the largest values, then for histograms.

    :param tensors: names of float tensors in the graph.
    :param crops: uint8 (N, S, S, 3) BGR.
    :param progress: called with the number of crops run, up to 2 N.
    """
    session = session_with(model, tensors)
    largest = dict.fromkeys(tensors, 0.0)
    counts: dict[str, Counts] = {name: np.zeros(BINS, np.int64) for name in tensors}
    for turn in range(2):
        for batch in batches(session, tensors, crops, after(turn * len(crops), progress)):
            for name, values in zip(tensors, batch, strict=True):
                sizes = np.abs(values)
                if turn == 0:
                    largest[name] = max(largest[name], float(sizes.max()))
                elif largest[name] > 0:
                    places = np.minimum((sizes * (BINS / largest[name])).astype(np.int64), BINS - 1)
                    counts[name] += np.bincount(places.ravel(), minlength=BINS)
    return {name: Histogram(largest[name], counts[name]) for name in tensors}


def range_of(histogram: Histogram, method: str) -> float:
    """The absolute value that the largest step of int8 stands for; 1 for a tensor that only ever held 0."""
    return METHODS[method](histogram) if histogram.largest > 0 else 1.0


def _minmax(histogram: Histogram) -> float:
    return histogram.largest


def _percentile(histogram: Histogram) -> float:
    below = np.cumsum(histogram.counts)
    return _edge(histogram, int(np.searchsorted(below, SHARE * below[-1])) + 1)


def _mse(histogram: Histogram) -> float:
    """The range with the least mean squared error of what is quantised with it."""
    middles = (np.arange(BINS) + 0.5) * histogram.largest / BINS

    def error(edge: int) -> float:
        step = _edge(histogram, edge) / LEVELS
        back = np.minimum(np.round(middles / step), LEVELS) * step
        return float((histogram.counts * (back - middles) ** 2).sum())

    return _edge(histogram, min(range(LEVELS, BINS + 1, 8), key=error))


def _entropy(histogram: Histogram) -> float:
    """The range with the least Kullback–Leibler divergence of the quantised from the clipped values (Migacz 2017).

    The many zeros behind a rectifier count as the bin beside them, as in NVIDIA's pytorch-quantization: counted in
    full they would decide alone.
    """
    counts = histogram.counts.astype(np.float64)
    counts[0] = counts[1]

    def divergence(edge: int) -> float:
        inside = counts[:edge]
        clipped = inside.copy()
        clipped[-1] += counts[edge:].sum()
        starts = np.linspace(0, edge, LEVELS + 1).astype(int)
        filled = inside > 0
        sums, members = np.add.reduceat(inside, starts[:-1]), np.add.reduceat(filled.astype(float), starts[:-1])
        quantised = np.repeat(sums / np.maximum(members, 1), np.diff(starts)) * filled
        p, q = clipped / clipped.sum(), quantised / max(quantised.sum(), 1e-12)
        shown = p > 0
        return float((p[shown] * np.log(p[shown] / np.maximum(q[shown], 1e-12))).sum())

    return _edge(histogram, min(range(LEVELS + 1, BINS + 1, 16), key=divergence))


def _edge(histogram: Histogram, bins: int) -> float:
    return histogram.largest * min(bins, BINS) / BINS


METHODS: dict[str, Callable[[Histogram], float]] = {
    "minmax": _minmax,
    "percentile": _percentile,
    "mse": _mse,
    "entropy": _entropy,
}
"""How a range follows from what a tensor held."""


def session_with(model: onnx.ModelProto, tensors: Sequence[str] = (), as_written: bool = False) -> Any:
    """An ONNX Runtime session that also returns tensors from inside the graph.

    :param as_written: every node runs by itself, Q/DQ pairs too; otherwise ONNX Runtime fuses what it can.
    """
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {item.name for item in shown.graph.output}
    shown.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors if name not in known
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        shown.SerializeToString(), options, providers=["CPUExecutionProvider"], disabled_optimizers=DISABLED
    )


def batches(
    session: Any, tensors: Sequence[str], crops: Pixels, progress: Callable[[int], None]
) -> Iterator[list[npt.NDArray[np.float32]]]:
    """Run a session of ``session_with`` over crops, a batch at a time: what the tensors hold, in their order.

    :param crops: uint8 (N, S, S, 3) BGR.
    :param progress: called behind each batch with the number of crops run, up to N.
    """
    for start in range(0, len(crops), BATCH):
        feed = {session.get_inputs()[0].name: np.ascontiguousarray(crops[start : start + BATCH])}
        yield session.run(list(tensors), feed)
        progress(min(start + BATCH, len(crops)))


def after(crops: int, progress: Callable[[int], None]) -> Callable[[int], None]:
    """Progress of a run that follows others, of so many crops."""
    return lambda done: progress(crops + done)
