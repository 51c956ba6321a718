"""Do all engines say what the reference says? Needs neither torch nor onnx."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_wbc.engines.base import LEAST_SAME_LABEL, REFERENCE, Engine, beside_reference, open_engine, ready
from edge_wbc.errors import SourceError
from edge_wbc.manifest import Model
from edge_wbc.types import Pixels
from training.datasets import Sample
from training.evaluate import batches, crops_of

LARGEST_DIFFERENCE = 1e-4
"""The gate: no probability of the same fp32 graph may differ by more on any crop."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One engine beside the reference."""

    precision: str
    crops: int
    worst_difference: float
    """Largest absolute difference of a probability."""
    same_label: int
    """Crops with the same most probable class."""

    def passed(self, graph_precision: str) -> bool:
        """Whether the gate for graphs of this precision is met."""
        if graph_precision != "fp32":
            return self.same_label >= LEAST_SAME_LABEL * self.crops
        return self.worst_difference <= LARGEST_DIFFERENCE


def compare_engines(model: Model, samples: Sequence[Sample], progress: Callable[[int], None]) -> dict[str, Comparison]:
    """Run the reference and every other installed engine on the crop of each sample.

    :raises SourceError: no crop could be cut.
    """
    reference = open_engine(REFERENCE, model)
    compiled = ["tensorrt"] if ready("tensorrt") else []
    others = [open_engine(name, model) for name in (*compiled, *beside_reference())]
    tallies = {engine.name: _Tally() for engine in others}
    done = 0
    for batch in batches(crops_of(samples, reference, "cell")):
        found = [crops for _, crops, _ in batch if crops is not None]
        if found:
            together = np.concatenate(found)
            expected = reference.infer(together).probabilities
            for engine in others:
                tallies[engine.name].add(engine, together, expected)
        done += len(batch)
        progress(done)
    for engine in (reference, *others):
        engine.close()
    if not all(tally.crops for tally in tallies.values()):
        raise SourceError("no image could be read; give a folder of labelled cells")
    return {
        engine.name: Comparison(engine.precision, tally.crops, tally.worst, tally.same)
        for engine in others
        for tally in [tallies[engine.name]]
    }


class _Tally:
    def __init__(self) -> None:
        self.crops = 0
        self.worst = 0.0
        self.same = 0

    def add(self, engine: Engine, crops: Pixels, expected: npt.NDArray[np.float32]) -> None:
        found = engine.infer(crops).probabilities
        self.crops += len(crops)
        self.worst = max(self.worst, float(np.abs(found - expected).max()))
        self.same += int((found.argmax(axis=1) == expected.argmax(axis=1)).sum())
