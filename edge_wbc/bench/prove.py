"""Proof on the user's own machine: every engine there, on every shipped model, beside the reference on the same crops,
with its time, its power and the machine's state. Nothing is assumed of a machine that was not at hand here."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_wbc.bench.machine import State, look
from edge_wbc.bench.power import PowerMeter
from edge_wbc.bench.trust import changed
from edge_wbc.classify import LARGEST_BATCH, cut
from edge_wbc.engines.base import ENGINES, LEAST_SAME_LABEL, REFERENCE, Engine, installed, open_engine
from edge_wbc.engines.tensorrt import TensorrtEngine
from edge_wbc.errors import EdgeWbcError, SourceError
from edge_wbc.golden import golden_crops
from edge_wbc.manifest import InputGroup, Model, load_model, shipped
from edge_wbc.metrics import percentiles_ms
from edge_wbc.sources.files import images_below, read_image
from edge_wbc.types import Pixels
from edge_wbc.vision.locate import locate_one

WARM_UP = 20
BATCHES = (1, LARGEST_BATCH)
"""Crops a call: a live field with one cell, and several fields together."""
TIE, MOST_TIES = 0.1, 0.03
"""Of 64 crops a single one would decide. INT8 on a processor without VNNI moves probabilities by up to 0.08."""


@dataclass(frozen=True, slots=True)
class Beside:
    """One engine's answers beside the reference's."""

    crops: int
    same: int
    """Named alike."""
    worst_difference: float
    """Largest absolute difference of a probability."""
    near: int = 0
    """Named otherwise where the reference itself is undecided: its two best are less than ``TIE`` apart."""

    @property
    def passed(self) -> bool:
        return self.same + self.near >= LEAST_SAME_LABEL * self.crops and self.near <= MOST_TIES * self.crops


@dataclass(frozen=True, slots=True)
class Timing:
    """Calls of one batch size, one after the other."""

    batch: int
    calls: int
    ms: dict[str, float]
    """By percentile, of a call: crops in memory to probabilities in memory."""
    power_mw: dict[str, float]
    """Mean of each rail over these calls; empty where the board has no sensor."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One model on one engine."""

    model: str
    engine: str
    precision: str
    seconds_to_open: float
    """Building included, where an engine is built on first use."""
    golden: Beside | None
    real: Beside | None
    timings: list[Timing]
    built: dict[str, Any]
    """What an engine's own manifest says; empty where nothing is built."""
    before: State
    after: State
    doubt: str
    """Why the times are not to be trusted; empty if nothing speaks against them."""
    error: str = ""
    """What kept it from running."""

    @property
    def passed(self) -> bool:
        return not self.error and all(found.passed for found in (self.golden, self.real) if found)


def prove(seconds: float, cells: Sequence[Path], progress: Callable[[int, str], None]) -> Iterator[Proof]:
    """Every shipped model on every engine that is installed, the reference itself among them for its time.

    :param seconds: of timing, by model, engine and batch size.
    :param cells: real images of one cell each; they stay where they are, only figures are told.
    :param progress: called before each with how many are done, and with what is next.
    """
    engines = engines_here()
    made: dict[InputGroup, dict[str, Pixels]] = {}
    for i, name in enumerate(shipped()):
        model = load_model(name)
        expected = model.manifest.input
        with closing(open_engine(REFERENCE, model)) as reference:
            if expected not in made:
                made[expected] = {"golden": golden_crops(expected.size_px, expected.margin)}
                if cells:
                    made[expected]["real"] = _cut(cells, reference)
            crops = made[expected]
            known = {kind: _answers(reference, of) for kind, of in crops.items()}
        for j, engine in enumerate(engines):
            progress(i * len(engines) + j, f"{name} on {engine}")
            yield _proved(model, engine, crops, known, seconds)


def engines_here() -> list[str]:
    """The built-in engines whose packages are there; for TensorRT that is not yet a GPU."""
    return [name for name in ENGINES if installed(name)]


def count() -> int:
    """How many proofs ``prove`` gives."""
    return len(shipped()) * len(engines_here())


def _proved(
    model: Model, name: str, crops: dict[str, Pixels], known: dict[str, npt.NDArray[np.float32]], seconds: float
) -> Proof:
    before, started = look(), time.perf_counter()
    shown, precision = model.graph.stem, model.manifest.graph.precision
    try:
        with closing(open_engine(name, model)) as engine:
            opened = time.perf_counter() - started
            found = {kind: _beside(known[kind], _answers(engine, of)) for kind, of in crops.items()}
            before = look()  # the build is over
            timings = [_timed(engine, crops["golden"][:batch], seconds) for batch in BATCHES]
            after = look()
            built = engine.built.model_dump(mode="json") if isinstance(engine, TensorrtEngine) else {}
    except EdgeWbcError as error:
        return Proof(shown, name, precision, 0.0, None, None, [], {}, before, look(), "", str(error))
    golden, real = found["golden"], found.get("real")
    doubt = "; ".join(found.said for found in changed(before, after))
    return Proof(shown, name, precision, opened, golden, real, timings, built, before, after, doubt)


def _answers(engine: Engine, crops: Pixels) -> npt.NDArray[np.float32]:
    """(N, C) probabilities."""
    batches = (crops[start : start + LARGEST_BATCH] for start in range(0, len(crops), LARGEST_BATCH))
    return np.concatenate([engine.infer(batch).probabilities for batch in batches])


def _beside(known: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> Beside:
    alike = known.argmax(axis=1) == found.argmax(axis=1)
    best = np.sort(known, axis=1)
    tied = best[:, -1] - best[:, -2] < TIE
    near = int((~alike & tied).sum())
    return Beside(len(known), int(alike.sum()), float(np.abs(known - found).max()), near)


def _timed(engine: Engine, crops: Pixels, seconds: float) -> Timing:
    for _ in range(WARM_UP):
        engine.infer(crops)
    taken: list[int] = []
    gc.collect()
    gc.disable()
    try:
        with PowerMeter() as meter:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end or not taken:
                started = time.perf_counter_ns()
                engine.infer(crops)
                taken.append(time.perf_counter_ns() - started)
    finally:
        gc.enable()
    return Timing(len(crops), len(taken), percentiles_ms(taken, (50, 90, 99)), meter.mean_mw)


def _cut(images: Sequence[Path], engine: Engine) -> Pixels:
    """uint8 (N, S, S, 3) BGR."""
    return np.concatenate([cut([(pixels, locate_one(pixels))], engine) for pixels in map(read_image, images)])


def images_of(folder: Path) -> list[Path]:
    """:raises SourceError: not a folder, or no image in it."""
    found = images_below(folder) if folder.is_dir() else []
    if not found:
        raise SourceError(f"{folder}: no image in it; give a folder with images of one cell each")
    return found
