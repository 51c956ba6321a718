"""An fp32 model and labelled cells → an INT8 model: every method tried, the best by the gate taken, its record kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from calibration.gate import Floats, Gate, judge
from calibration.observe import METHODS, observe, range_of
from calibration.quantize import possible_tensors, quantise, read_float_graph
from calibration.sampling import choose, every_second_group
from edge_wbc.engines.base import REFERENCE, beside_reference, open_engine
from edge_wbc.errors import ModelError, SourceError, UsageError
from edge_wbc.manifest import Model
from edge_wbc.types import Pixels
from training.crops import run_time_crops
from training.datasets import Sample, locked_groups, read_all
from training.negatives import read_negatives


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells to calibrate on, and others, of other photographs, to judge by."""

    calibrating: list[Sample]
    judging: list[Sample]
    locked: bool
    """Whether those to judge by are the locked groups; otherwise what calibration did not take."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A graph of lower precision, what it lost, and whether the engines agree on it."""

    graph: onnx.ModelProto
    gate: Gate
    same_label: dict[str, float]
    """By other engine: share of crops that it and the reference name alike, both running this graph."""
    probabilities: Floats
    """(N, C) of the cells that judge, by the reference engine."""


@dataclass(frozen=True, slots=True)
class Tried(Judged):
    """An INT8 graph by one method."""

    method: str
    ranges: dict[str, float]
    """By tensor, the absolute value that the largest step of int8 stands for."""
    floating: tuple[str, ...] = ()
    """Layers left in floating point."""

    @property
    def rank(self) -> tuple[bool, float, float]:
        """What makes a method better: passing, then agreement with fp32, then the smaller worst difference."""
        return self.gate.passed, self.gate.agreement, -self.gate.worst_difference


def labelled(data: Path, model: Model) -> list[Sample]:
    """The cells of the model's classes in a folder laid out as for training, or of class folders.

    :raises SourceError: there is none.
    """
    names = model.manifest.labels.names
    samples = [sample for sample in [*read_all(data), *read_negatives(data)] if sample.label in names]
    if not samples:
        raise SourceError(f"{data}: no cell of a class that {model.manifest.model.name} knows; name the folders so")
    return samples


def cells_of(samples: Sequence[Sample], count: int, seed: int) -> Cells:
    """At most ``count`` to calibrate on; the locked groups judge, or where none is there every second group.

    :raises SourceError: nothing left to calibrate on or to judge by.
    """
    locked = locked_groups()
    known = any(sample.group in locked for sample in samples)
    held = locked if known else every_second_group(samples, seed)
    judging = [sample for sample in samples if sample.group in held]
    chosen = choose([sample for sample in samples if sample.group not in held], count, seed)
    if not chosen or not judging:
        raise SourceError(f"{len(samples)} cells are too few to calibrate and to judge; give those of more images")
    return Cells(chosen, judging, known)


def warnings(cells: Cells, count: int) -> list[str]:
    """What a person should know of the calibrating cells, a line each."""
    labels = {sample.label for sample in cells.calibrating}
    said = []
    if len(labels) == 1:
        said.append(f"only cells of one class, {min(labels)}, calibrate: ranges may be too narrow for the others")
    if len(cells.calibrating) < count:
        said.append(f"{len(cells.calibrating)} cells calibrate, {count} were asked for: there are no more")
    return said


def try_methods(
    model: Model,
    methods: Sequence[str],
    calibrating: Pixels,
    judging: Pixels,
    truth: Sequence[str],
    progress: Callable[[int], None],
) -> list[Tried]:
    """Quantise by each method and hold each graph against the fp32 graph, best first.

    :param calibrating: uint8 (N, S, S, 3) BGR crops; ``judging`` likewise, with their labels ``truth``.
    :param progress: called with the number of crops run, up to 2 N.
    :raises ModelError: the graph can't be quantised.
    """
    floats = read_float_graph(model.graph)
    histograms = observe(floats, possible_tensors(floats), calibrating, progress)
    before = infer(REFERENCE, model, judging)
    tried = []
    for method in methods:
        ranges = {name: range_of(held, method) for name, held in histograms.items()}
        judged = judge_graph(model, quantise(floats, ranges), before, judging, truth)
        tried.append(Tried(judged.graph, judged.gate, judged.same_label, judged.probabilities, method, ranges))
    return sorted(tried, key=lambda item: item.rank, reverse=True)


def judge_graph(model: Model, graph: onnx.ModelProto, before: Floats, judging: Pixels, truth: Sequence[str]) -> Judged:
    """Hold a graph of lower precision against the fp32 graph on the reference engine.

    :param before: (N, C) what ``infer`` gives for the fp32 graph.
    :param judging: uint8 (N, S, S, 3) BGR, with their labels ``truth``.
    """
    after, alike = answers(model, graph, judging)
    return Judged(graph, judge(before, after, truth, model.manifest.labels.names), alike, after)


def answers(model: Model, graph: onnx.ModelProto, crops: Pixels) -> tuple[Floats, dict[str, float]]:
    """Probabilities (N, C) of the reference engine, and by other engine the share of crops that it names alike.

    :param crops: uint8 (N, S, S, 3) BGR, N ≥ 1.
    """
    with TemporaryDirectory(prefix="edge-wbc-lowered-") as scratch:
        path = Path(scratch, "lowered.onnx")
        path.write_bytes(graph.SerializeToString(deterministic=True))
        lowered = Model(model.manifest, path)
        found = infer(REFERENCE, lowered, crops)
        alike = {
            name: float((infer(name, lowered, crops).argmax(axis=1) == found.argmax(axis=1)).mean())
            for name in beside_reference()
        }
    return found, alike


def infer(engine: str, model: Model, crops: Pixels) -> Floats:
    """(N, C) probabilities.

    :param crops: uint8 (N, S, S, 3) BGR, N ≥ 1.
    """
    opened = open_engine(engine, model)
    try:
        return np.concatenate([opened.infer(crops[i : i + 32]).probabilities for i in range(0, len(crops), 32)])
    finally:
        opened.close()


def crops_for(samples: Sequence[Sample], model: Model, progress: Callable[[int], None]) -> Pixels:
    """uint8 (len(samples), S, S, 3) BGR: what the live pipeline cuts.

    :raises SourceError: an image can't be read.
    """
    return run_time_crops(samples, progress, model.manifest.input.size_px)


def check(model: Model, methods: Sequence[str], out: Path, suffix: str | None) -> None:
    """Refuse before anything is run.

    :param suffix: what the name of ``out`` has to end in, if it matters.
    :raises UsageError: an unknown method, or a place that takes no file.
    :raises ModelError: the model is no fp32 model.
    """
    if unknown := [method for method in methods if method not in METHODS]:
        raise UsageError(f"--method {unknown[0]}: use one of {', '.join(METHODS)}")
    if (suffix and out.suffix != suffix) or not out.parent.is_dir():
        ending = f"a file that ends in {suffix}" if suffix else "a file"
        raise UsageError(f"--out {out}: name {ending}, in a folder that exists")
    if model.manifest.graph.precision != "fp32":
        raise ModelError(f"{model.graph}: {model.manifest.graph.precision} already; give the fp32 graph it came from")
