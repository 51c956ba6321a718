"""What takes turns when engines are measured alone: an engine at one batch size, and its peers on the same graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_wbc.bench import peers
from edge_wbc.bench.results import Accuracy
from edge_wbc.classify import LARGEST_BATCH
from edge_wbc.engines.base import REFERENCE, Engine, Overlapping, open_engine
from edge_wbc.engines.engine_file import place_of
from edge_wbc.engines.openvino import OpenvinoEngine
from edge_wbc.engines.tensorrt import TensorrtEngine, machine
from edge_wbc.golden import golden
from edge_wbc.manifest import Model
from edge_wbc.types import Pixels

APP, TRTEXEC = "benchmark_app", "trtexec"
ANY_GRAPH = ""
"""In a peer's group: it is held beside every graph."""
Judge = Callable[[peers.Answer, int], Accuracy]
"""Holds answers to batches of that size against the reference's."""


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Contender:
    """One thing that takes turns."""

    name: str
    what: dict[str, str]
    crops: Pixels
    """uint8 (batch, S, S, 3) BGR."""
    group: tuple[str, str, str]
    """Ratios are taken within one: the same graph, precision hint and batch size."""
    answer: peers.Answer | None = None
    """None for a program of its own."""
    program: Callable[[int, float], peers.Told] | None = None
    """Called with how many calls to make, and for how many seconds if it counts those."""
    timed: Callable[[Pixels, int, float], list[int]] | None = None
    """Where another process has the answers: times so many calls at least, for so long at least, in ns."""
    judge: Judge | None = None
    request_ms: Callable[[], float] | None = None
    """What the engine's own request took of the last call, as benchmark_app tells it."""
    split: Overlapping | None = None
    """The engine, where starting a batch and waiting for it are two calls."""
    peer: bool = True
    absent: str = ""
    """What is not installed, so that it takes no turn."""
    close: Callable[[], None] = _nothing

    def beside(self, other: Contender) -> bool:
        """Whether this is held beside that peer."""
        same = other.group[1:] == self.group[1:] and other.group[0] in (self.group[0], ANY_GRAPH)
        return other.peer and not self.peer and same


def of_model(
    model: Model, engine: str, batch: int, threads: int, hints: Sequence[str], with_peers: bool, judge: Judge
) -> Iterator[Contender]:
    """An engine on one model at one batch size, by precision hint, and its peers that are here.

    :param engine: a name of ``ENGINES``.
    :param hints: for OpenVINO, what it computes in where the graph leaves it open.
    :raises EdgeWbcError: the engine can't be opened.
    """
    drawn = golden(model.manifest.input.size_px, model.manifest.input.margin).crops
    crops = np.ascontiguousarray(np.resize(drawn, (batch, *drawn.shape[1:])))
    for hint in hints if engine == "openvino" else ("",):
        made = opened(engine, model, threads, hint)
        make = partial(_named, model, crops, made.precision)
        yield make(
            made.name,
            answer=answering(made),
            judge=judge,
            request_ms=_request_ms(made) if isinstance(made, OpenvinoEngine) else None,
            split=made if isinstance(made, Overlapping) and batch <= LARGEST_BATCH else None,
            peer=False,
            close=made.close,
        )
        if with_peers and engine == "openvino":
            yield from _openvinos(make, model, crops.shape, threads, hint, judge)
        elif with_peers and isinstance(made, TensorrtEngine) and (command := peers.program(TRTEXEC)):
            beside = partial(peers.trtexec, place_of(model, machine()).engine, crops.shape, command=command)
            yield make(TRTEXEC, program=lambda _, seconds, beside=beside: beside(seconds))
    if with_peers:
        loop = lazily(lambda: peers.onnxruntime_loop(model.graph, threads))
        yield _named(model, crops, "f32", "onnxruntime loop", answer=loop, judge=judge)


def _openvinos(
    make: Callable[..., Contender], model: Model, shape: tuple[int, ...], threads: int, hint: str, judge: Judge
) -> Iterator[Contender]:
    looped = partial(peers.openvino_loop, model.graph, shape, threads, hint)
    yield make("openvino loop", answer=lazily(partial(looped, fixed=shape[0] == 1)), judge=judge)
    if shape[0] > 1:
        yield make("openvino loop, fixed shape", answer=lazily(looped), judge=judge)
    command = peers.program(APP)
    if command is None:
        return
    app = partial(peers.benchmark_app, model.graph, shape, threads=threads, hint=hint, command=command)
    if shape[0] == 1:
        yield make(APP, program=lambda calls, _: app(fixed=True, calls=calls))
        return
    yield make(APP, program=lambda calls, _: app(fixed=False, calls=calls))
    yield make(f"{APP}, fixed shape", program=lambda calls, _: app(fixed=True, calls=calls))


def _named(model: Model, crops: Pixels, hint: str, engine: str, **others: Any) -> Contender:
    stem, batch = model.graph.stem, str(len(crops))
    what = {"model": stem, "engine": engine, "graph": model.manifest.graph.precision, "hint": hint, "batch": batch}
    return Contender(f"{stem}, {engine} {hint}, batch {batch}", what, crops, (stem, hint, batch), **others)


def opened(engine: str, model: Model, threads: int, hint: str) -> Engine:
    """An engine by name; OpenVINO's with a precision hint.

    :raises EdgeWbcError: it can't be opened.
    """
    return OpenvinoEngine(model, threads, hint) if engine == "openvino" else open_engine(engine, model, threads)


def _request_ms(engine: OpenvinoEngine) -> Callable[[], float]:
    return lambda: engine.request_ms


def answering(engine: Engine) -> peers.Answer:
    """Its probabilities alone."""
    return lambda crops: engine.infer(crops).probabilities


def lazily(make: Callable[[], peers.Answer]) -> peers.Answer:
    """Made when first called: what keeps it from being made stands in its row."""
    made: list[peers.Answer] = []

    def answer(crops: Pixels) -> npt.NDArray[np.float32]:
        if not made:
            made.append(make())
        return made[0](crops)

    return answer


def judge_of(model: Model) -> Judge:
    """Holds answers against the reference engine's on the golden crops, asked once."""
    expected, names = model.manifest.input, model.manifest.labels.names
    crops, labels = golden(expected.size_px, expected.margin)
    reference = open_engine(REFERENCE, model, 1)
    try:
        known = _answers(lambda part: reference.infer(part).probabilities, crops, LARGEST_BATCH)
    finally:
        reference.close()

    def judge(answer: peers.Answer, batch: int) -> Accuracy:
        found = _answers(answer, crops, batch)
        hits = [names[best] == label for best, label in zip(found.argmax(axis=1), labels, strict=True)]
        recall = {
            name: float(np.mean([hit for hit, label in zip(hits, labels, strict=True) if label == name]))
            for name in names
            if name in labels
        }
        agreeing = int((known.argmax(axis=1) == found.argmax(axis=1)).sum())
        return Accuracy(len(crops), agreeing, float(np.abs(known - found).max()), recall)

    return judge


def _answers(answer: peers.Answer, crops: Pixels, batch: int) -> npt.NDArray[np.float32]:
    """(N, C) probabilities, asked for in whole batches."""
    found = [answer(np.resize(part, (batch, *part.shape[1:]))).copy() for part in _parts(crops, batch)]
    return np.concatenate(found)[: len(crops)]


def _parts(crops: Pixels, batch: int) -> Iterator[Pixels]:
    return (crops[start : start + batch] for start in range(0, len(crops), batch))
