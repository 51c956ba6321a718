"""Graphs and their published peers timed side by side: the accuracy–latency front.

One engine, one thread, one crop a call. Every graph has a turn in every round, so that drift of the machine hits all
alike, and ratios are taken within each round.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edge_wbc.engines.base import Engine, engine_name, open_engine
from edge_wbc.manifest import Model, load_model
from export.int8_peer import int8_peer
from export.peers import PEERS, write_peer

REFERENCE = "MobileNetV3-Small"
"""What ratios are taken to: what people pick who pick a small network."""
INT8, BFLOAT16 = " int8", " bf16"
"""Behind the name of a network that is also timed so."""
THREADS = 1
TURN_S = 0.1
LEAST_CALLS = 5
WARM_UP_CALLS = 2
"""Bring the weights back into the caches that the graph before took."""
RESAMPLES = 2000

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How well a graph did on the locked groups of one source, as its manifest says."""

    images: int
    accuracy: float
    balanced_accuracy: float


@dataclass(frozen=True, slots=True)
class Row:
    """One graph on the front."""

    name: str
    peer: bool
    precision: str
    """The graph's own."""
    size_px: int
    parameters: int
    macs: int
    """Multiply-accumulates for one crop."""
    ms: float
    """Median over the rounds of each turn's median, with its interval."""
    ms_interval: Interval
    ratio: float
    """Median over the rounds of this ÷ the reference, both from the same round, with its interval."""
    ratio_interval: Interval
    accuracy: dict[str, Accuracy]
    """By source; empty where the manifest has none."""


@dataclass(frozen=True, slots=True)
class Beside:
    """An INT8 graph's time ÷ another's in the same round, median and its interval."""

    name: str
    other: str
    ratio: float
    ratio_interval: Interval


@dataclass(frozen=True, slots=True)
class Front:
    """Everything measured in one run."""

    engine: str
    precision: str
    """What the engine computed in."""
    rows: list[Row]
    """The default model, the given graphs, the peers; with an INT8 graph among them, what it is held beside."""
    beside: list[Beside]
    turns_ms: dict[str, list[float]]
    """By graph: the median of each turn, in the order of the rounds."""


def measure(graphs: Sequence[str], engine: str, rounds: int, turn_s: float, progress: Callable[[int], None]) -> Front:
    """Time the default model, each given graph and each peer.

    Beside an INT8 graph, ``REFERENCE`` in INT8 too, and on OpenVINO the fp32 graph it came from in bfloat16, where the
    processor computes in it: INT8 is worth what it gains over that.

    :param graphs: names of shipped models, or paths of .onnx files.
    :raises ModelError: a graph or its manifest can't be used; before anything is timed.
    """
    models = unique([load_model(), *map(load_model, graphs)])
    names = names_of(models)
    known = dict(zip(names, models, strict=True))
    came_from = {name: _origin(model, known) for name, model in known.items() if _is_int8(model)}
    labels = models[0].manifest.labels.names
    with TemporaryDirectory(prefix="edge-wbc-front-") as scratch, ExitStack() as stack:
        known |= {name: write_peer(name, labels, Path(scratch)) for name in PEERS}
        if came_from:
            known[REFERENCE + INT8] = int8_peer(known[REFERENCE])
        engines = {name: open_engine(engine, model, THREADS) for name, model in known.items()}
        if came_from and engine_name(engine) == "openvino":
            engines |= _in_bfloat16({name: known[name] for name in came_from.values() if name})
        for opened in engines.values():
            stack.callback(opened.close)
        taken = take_turns([_turn(opened, turn_s) for opened in engines.values()], rounds, progress)
    turns = dict(zip(engines, taken, strict=True))
    rows = [row(name, opened.model, turns[name], turns[REFERENCE]) for name, opened in engines.items()]
    rows = [row if row.name in known else replace(row, precision="bf16", accuracy={}) for row in rows]
    beside = [
        Beside(name, other, *_ratio(turns[name], turns[other]))
        for name, origin in came_from.items()
        for other in (origin, f"{origin}{BFLOAT16}", REFERENCE + INT8)
        if other in turns
    ]
    first = engines[names[0]]
    return Front(first.name, first.precision, rows, beside, turns)


def take_turns(turns: Sequence[Callable[[], float]], rounds: int, progress: Callable[[int], None]) -> list[list[float]]:
    """Every turn once a round, the order turned by one from round to round; what each returned, round by round."""
    found: list[list[float]] = [[] for _ in turns]
    places = list(range(len(turns)))
    for turned in range(rounds):
        shift = turned % len(places)
        for place in places[shift:] + places[:shift]:
            found[place].append(turns[place]())
        progress(turned + 1)
    return found


def row(name: str, model: Model, turns_ms: Sequence[float], reference_ms: Sequence[float]) -> Row:
    """One graph's figures beside the reference's turns in the same rounds."""
    manifest = model.manifest
    return Row(
        name,
        name.removesuffix(INT8) in PEERS,
        manifest.graph.precision,
        manifest.input.size_px,
        manifest.graph.parameters,
        manifest.graph.macs,
        statistics.median(turns_ms),
        median_interval(turns_ms),
        *_ratio(turns_ms, reference_ms),
        accuracy_of(manifest.metrics),
    )


def _ratio(ours_ms: Sequence[float], theirs_ms: Sequence[float]) -> tuple[float, Interval]:
    ratios = [ours / theirs for ours, theirs in zip(ours_ms, theirs_ms, strict=True)]
    return statistics.median(ratios), median_interval(ratios)


def _is_int8(model: Model) -> bool:
    return model.manifest.graph.precision == "int8"


def _origin(model: Model, known: Mapping[str, Model]) -> str | None:
    """Which of these an INT8 graph was made from."""
    wanted = model.manifest.parity.get("against", {}).get("sha256")
    return next((name for name, other in known.items() if other.manifest.graph.sha256 == wanted), None)


def _in_bfloat16(models: Mapping[str, Model]) -> dict[str, Engine]:
    """The same graphs computing in bfloat16, under names of their own; none on a processor that does not."""
    from edge_wbc.engines.openvino import OpenvinoEngine, computes_bf16

    if not computes_bf16():
        return {}
    return {name + BFLOAT16: OpenvinoEngine(model, THREADS, "bf16") for name, model in models.items()}


def median_interval(values: Sequence[float]) -> Interval:
    """95 % of the median by the percentile bootstrap (Efron 1979), rounds taken as independent."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), (RESAMPLES, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return float(low), float(high)


def accuracy_of(metrics: dict[str, Any]) -> dict[str, Accuracy]:
    """By source, what a manifest's ``metrics`` hold; background, which has one class, left out."""
    wanted = ("images", "accuracy", "balanced_accuracy")
    return {
        source: Accuracy(*(part[figure] for figure in wanted))
        for source, part in metrics.items()
        if source != "background"
        and isinstance(part, dict)
        and all(isinstance(part.get(figure), int | float) for figure in wanted)
    }


def slower_than_reference(front: Front) -> str | None:
    """The gate: what to say where the default model takes longer than the reference."""
    default = front.rows[0]
    if default.ratio <= 1:
        return None
    low, high = default.ratio_interval
    return (
        f"{default.name} takes {default.ratio:.2f} times as long as {REFERENCE} (95 % {low:.2f} to {high:.2f}); "
        "make it smaller, or measure again on a quiet machine"
    )


def unique(models: Sequence[Model]) -> list[Model]:
    """Each graph once, in the order first named."""
    return list({model.graph.resolve(): model for model in models}.values())


def names_of(models: Sequence[Model]) -> list[str]:
    """The name in the manifest; the path where a graph before it or a peer bears that name."""
    names: list[str] = []
    for model in models:
        name = model.manifest.model.name
        names.append(str(model.graph) if name in (*names, *PEERS) else name)
    return names


def _turn(engine: Engine, turn_s: float) -> Callable[[], float]:
    """A function that calls the engine for ``turn_s`` and returns the median time of a call in ms."""
    size = engine.model.manifest.input.size_px
    crops = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)

    def turn() -> float:
        for _ in range(WARM_UP_CALLS):
            engine.infer(crops)
        calls: list[int] = []
        while len(calls) < LEAST_CALLS or sum(calls) < turn_s * 1e9:
            started = time.perf_counter_ns()
            engine.infer(crops)
            calls.append(time.perf_counter_ns() - started)
        return statistics.median(calls) / 1e6

    return turn
