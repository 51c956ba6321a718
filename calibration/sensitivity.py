"""Which layers INT8 costs the answers most, and the fewest to leave in floating point so that the gate passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from calibration.gate import Floats, Gate, judge
from calibration.observe import after, batches, session_with
from calibration.quantize import quantisable_layers, quantise
from calibration.view import View, name_of
from edge_wbc.errors import ModelError
from edge_wbc.types import Pixels

SMALLEST = float(np.finfo(np.float32).tiny)
"""Stands for a probability that has become 0."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A network, its ranges, and what its INT8 graphs are tried on."""

    graph: onnx.ModelProto
    """fp32, as ``read_float_graph`` gives it."""
    ranges: Mapping[str, float]
    """By tensor, of all that ``possible_tensors`` names."""
    crops: Pixels
    """uint8 (N, S, S, 3) BGR, N ≥ 1, that did not calibrate."""
    truth: Sequence[str]
    """The label of each crop."""
    names: Sequence[str]
    """The classes, in the order of the graph's outputs."""


@dataclass(frozen=True, slots=True)
class Tested:
    """How near a graph's answers are to the fp32 graph's."""

    floating: tuple[str, ...]
    """Layers left in floating point, in the order of the graph."""
    gate: Gate
    divergence: float
    """Mean Kullback–Leibler divergence of its probabilities from those of fp32, in nats."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, and what INT8 costs there."""

    name: str
    alone: Tested
    """The graph with this layer alone in floating point."""
    gain: float
    """By how much leaving the layer out lowers the mean divergence, in nats; below 0 where it does harm."""
    signal_to_noise_db: float
    """Of the layer's output in the INT8 graph; 20 dB less is ten times the error."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The INT8 graph, and its layers, the one that gains most first."""

    int8: Tested
    layers: list[Layer]


@dataclass(frozen=True, slots=True)
class Mixed:
    """The graph that passed."""

    graph: onnx.ModelProto
    tested: Tested
    steps: list[Tested]
    """Every graph tried, in order; the first is INT8 throughout."""


def sensitivity(trial: Trial, progress: Callable[[int], None]) -> Sensitivity:
    """Leave each layer in floating point by itself, the others in INT8, and measure the error of each in INT8.

    Answers are those of ONNX Runtime as it runs a graph by default, Q/DQ pairs fused; the error of a layer is measured
    with its graph optimisation off, see ``signal_to_noise``. The shipped network's divergence on locked crops differs
    by 3e-5 nats between the two: gains no larger than that say nothing.

    :param progress: called with the number of crops run, up to (layers + 3) N.
    :raises ModelError: the graph can't be quantised.
    """
    crops = len(trial.crops)
    before = _probabilities(trial.graph, trial.crops, progress)
    int8 = _test(trial, before, frozenset(), after(crops, progress))
    rounded = quantise(trial.graph, trial.ranges)
    noise = signal_to_noise(trial.graph, rounded, trial.crops, after(2 * crops, progress))
    layers = []
    for turn, (name, ratio) in enumerate(noise.items(), 3):
        alone = _test(trial, before, frozenset({name}), after(turn * crops, progress))
        layers.append(Layer(name, alone, int8.divergence - alone.divergence, ratio))
    return Sensitivity(int8, sorted(layers, key=lambda layer: layer.gain, reverse=True))


def signal_to_noise(
    graph: onnx.ModelProto, int8: onnx.ModelProto, crops: Pixels, progress: Callable[[int], None]
) -> dict[str, float]:
    """Of each layer's output, in dB: power of what the fp32 graph computes over the power of the INT8 graph's
    difference from it, both over all values on all crops. Error that comes in with the layer's input counts.

    Both graphs run with ONNX Runtime's graph optimisation off: Q and DQ nodes round as they stand in the graph, and a
    layer computes in float32 from what they give. Fused, no output of a layer could be seen, and integer kernels would
    differ from one processor to the next. A convolution's output here is that before its activation.

    :param crops: uint8 (N, S, S, 3) BGR.
    :param progress: called with the number of crops run, up to N.
    :returns: by name of the layer; infinite where there is no difference.
    """
    layers = set(quantisable_layers(graph))
    outputs = {name_of(node): str(node.output[0]) for node in View(graph).nodes if name_of(node) in layers}
    tensors = list(outputs.values())
    sessions = [session_with(model, tensors, as_written=True) for model in (graph, int8)]
    signal, noise = np.zeros(len(tensors)), np.zeros(len(tensors))
    runs = (batches(session, tensors, crops, told) for session, told in zip(sessions, (_ignore, progress), strict=True))
    for exact, rounded in zip(*runs, strict=True):
        signal += [_power(one) for one in exact]
        noise += [_power(other - one) for one, other in zip(exact, rounded, strict=True)]
    return {name: _decibels(*powers) for name, *powers in zip(outputs, signal.tolist(), noise.tolist(), strict=True)}


def auto_mixed(
    trial: Trial,
    order: Sequence[str],
    progress: Callable[[int], None],
    passes: Callable[[Gate], bool] = lambda gate: gate.passed,
) -> Mixed:
    """The INT8 graph that passes with few layers in floating point, none where INT8 passes throughout.

    Layers are added in ``order`` until the graph passes; then any that it passes without is taken back, until each one
    left is needed. Fewer other layers may do, too: not every set is tried.

    :param order: names of all layers, as ``sensitivity`` sorts them.
    :param progress: called with the number of graphs tried so far; how many there will be is not known.
    :param passes: what the graph has to reach.
    :raises ModelError: it does not even pass with all of them in floating point; a name is no layer's.
    """
    before = _probabilities(trial.graph, trial.crops, _ignore)
    tried: dict[frozenset[str], Tested] = {}

    def passed(floating: frozenset[str]) -> bool:
        if floating not in tried:
            tried[floating] = _test(trial, before, floating, _ignore)
            progress(len(tried))
        return passes(tried[floating].gate)

    growing = (frozenset(order[:count]) for count in range(len(order) + 1))
    chosen = next((floating for floating in growing if passed(floating)), None)
    if chosen is None:
        reasons = "; ".join(tried[frozenset(order)].gate.failures()) or "it does not reach what was asked"
        raise ModelError(
            f"the graph fails even with {len(order)} layers in floating point: {reasons}; "
            "calibrate on other cells, or ask less of it"
        )
    while (fewer := next(filter(passed, _one_less(chosen, order)), None)) is not None:
        chosen = fewer
    return Mixed(quantise(trial.graph, trial.ranges, chosen), tried[chosen], list(tried.values()))


def _one_less(floating: frozenset[str], order: Sequence[str]) -> list[frozenset[str]]:
    """Each way to take one layer back; what gained least goes first."""
    return [floating - {name} for name in reversed(order) if name in floating]


def _test(trial: Trial, before: Floats, floating: frozenset[str], progress: Callable[[int], None]) -> Tested:
    after = _probabilities(quantise(trial.graph, trial.ranges, floating), trial.crops, progress)
    layers = tuple(name for name in quantisable_layers(trial.graph) if name in floating)
    return Tested(layers, judge(before, after, trial.truth, trial.names), _divergence(before, after))


def _probabilities(graph: onnx.ModelProto, crops: Pixels, progress: Callable[[int], None]) -> Floats:
    """(N, C)."""
    runs = batches(session_with(graph), ["probabilities"], crops, progress)
    return np.concatenate([probabilities for (probabilities,) in runs])


def _divergence(before: Floats, after: Floats) -> float:
    """Mean over the rows, in nats."""
    tables = (np.maximum(table.astype(np.float64), SMALLEST) for table in (before, after))
    p, q = (table / table.sum(axis=1, keepdims=True) for table in tables)  # float32 rows sum to 1 but for 1e-7
    return float((p * np.log(p / q)).sum(axis=1).mean())


def _power(values: Floats) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def _ignore(done: int) -> None:
    pass
