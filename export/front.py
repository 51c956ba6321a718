"""Graphs and their published peers timed side by side: the accuracy–latency front.

One engine, one thread, one crop a call. Every graph has a turn in every round, so that drift of the machine hits all
alike, and ratios are taken within each round.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edge_wbc.engines.base import Engine, open_engine
from edge_wbc.manifest import Model, load_model
from export.peers import PEERS, write_peer

REFERENCE = "MobileNetV3-Small"
"""What ratios are taken to: what people pick who pick a small network."""
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
class Front:
    """Everything measured in one run."""

    engine: str
    precision: str
    """What the engine computed in."""
    rows: list[Row]
    """The default model, the given graphs, the peers."""
    turns_ms: dict[str, list[float]]
    """By graph: the median of each turn, in the order of the rounds."""


def measure(graphs: Sequence[str], engine: str, rounds: int, turn_s: float, progress: Callable[[int], None]) -> Front:
    """Time the default model, each given graph and each peer.

    :param graphs: names of shipped models, or paths of .onnx files.
    :raises ModelError: a graph or its manifest can't be used; before anything is timed.
    """
    models = unique([load_model(), *map(load_model, graphs)])
    names = [*names_of(models), *PEERS]
    labels = models[0].manifest.labels.names
    with TemporaryDirectory(prefix="edge-wbc-front-") as scratch, ExitStack() as stack:
        models += [write_peer(name, labels, Path(scratch)) for name in PEERS]
        engines = []
        for model in models:
            engines.append(open_engine(engine, model, THREADS))
            stack.callback(engines[-1].close)
        turns = take_turns([_turn(opened, turn_s) for opened in engines], rounds, progress)
    reference = turns[names.index(REFERENCE)]
    rows = [row(name, model, times, reference) for name, model, times in zip(names, models, turns, strict=True)]
    return Front(engines[0].name, engines[0].precision, rows, dict(zip(names, turns, strict=True)))


def take_turns(turns: Sequence[Callable[[], float]], rounds: int, progress: Callable[[int], None]) -> list[list[float]]:
    """Every turn once a round, the order turned by one from round to round; what each returned, round by round."""
    found: list[list[float]] = [[] for _ in turns]
    places = list(range(len(turns)))
    for turned in range(rounds):
        shift = turned % len(places)
        for place in places[shift:] + places[:shift]:
            found[place].append(turns[place]())
            progress(sum(map(len, found)))
    return found


def row(name: str, model: Model, turns_ms: Sequence[float], reference_ms: Sequence[float]) -> Row:
    """One graph's figures beside the reference's turns in the same rounds."""
    ratios = [ours / theirs for ours, theirs in zip(turns_ms, reference_ms, strict=True)]
    manifest = model.manifest
    return Row(
        name,
        name in PEERS,
        manifest.graph.precision,
        manifest.input.size_px,
        manifest.graph.parameters,
        manifest.graph.macs,
        statistics.median(turns_ms),
        median_interval(turns_ms),
        statistics.median(ratios),
        median_interval(ratios),
        accuracy_of(manifest.metrics),
    )


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
