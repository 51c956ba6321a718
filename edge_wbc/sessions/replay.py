"""A recorded session decided again: its crops through the same graph, compared with what was recorded.

An engine may give one crop other bits alone than in company: OpenVINO's graph for one crop differs from its graph for
several by up to 5e-6 in float32, 8e-5 in INT8. Which of them decided a cell is not recorded, so a crop that differs in
a full batch is tried in every size of batch, and is the same when it is in one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np

from edge_wbc.classify import LARGEST_BATCH, predictions
from edge_wbc.counting import pooled
from edge_wbc.engines.base import Engine
from edge_wbc.errors import ModelError, SessionError
from edge_wbc.manifest import Model
from edge_wbc.sessions.archive import Contents, Head, crops, sightings
from edge_wbc.sessions.export import no_crops
from edge_wbc.types import Pixels, Prediction, Sighting

AT_ONCE = 32 * LARGEST_BATCH
"""Crops that are held in memory."""
SIZES = (LARGEST_BATCH, *range(1, LARGEST_BATCH))
"""Of batches, in the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell that is not decided as it was."""

    number: int
    recorded: Prediction
    replayed: Prediction
    """Of a cell that was decided from several sightings: of the first one that differs, or of all together."""

    @property
    def most(self) -> float:
        """The largest difference of a probability."""
        now = self.replayed.probabilities
        return max(abs(value - now.get(label, 0.0)) for label, value in self.recorded.probabilities.items())


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of a session's cells."""

    same: int
    different: tuple[Difference, ...]
    left_out: int
    """Cells without a crop, or decided from several sightings of which the crops were not kept."""


def check_graph(model: Model, head: Head) -> None:
    """:raises ModelError: not the graph the session was recorded with."""
    found = model.manifest.graph.sha256
    if found != head.graph_sha256:
        raise ModelError(
            f"session {head.session.session_id} was recorded with the graph {head.graph_sha256[:12]}… "
            f"({head.session.model}), {model.graph} is {found[:12]}…; name that graph by --model"
        )


def replay(recorded: Contents, engine: Engine, advance: Callable[[int], object] = lambda done: None) -> Replay:
    """Decide every cell again, with the threshold of then.

    :param advance: called with the number of crops done.
    :raises SessionError: no cell can be decided again.
    """
    head = recorded.head
    cells = {one.number: one for one in recorded.cells}
    seen: set[int] = set()
    different: dict[int, Difference] = {}
    done = 0
    given = _given(recorded)
    while some := list(islice(given, AT_ONCE)):
        for i, now in _differing(some, engine, head.unidentified_below):
            number = some[i].number
            different.setdefault(number, Difference(number, cells[number].prediction, now))
        seen.update(one.number for one in some)
        done += len(some)
        advance(done)
    for number, together in _together(recorded):
        if together != cells[number].prediction:
            different.setdefault(number, Difference(number, cells[number].prediction, together))
    if cells and not seen:
        raise SessionError(no_crops(head))
    return Replay(len(seen) - len(different), tuple(different.values()), len(cells) - len(seen))


@dataclass(frozen=True, slots=True, eq=False)
class _Crop:
    number: int
    pixels: Pixels
    expected: Prediction | Mapping[str, float]

    def fits(self, now: Prediction) -> bool:
        return now == self.expected if isinstance(self.expected, Prediction) else now.probabilities == self.expected


def _given(recorded: Contents) -> Iterator[_Crop]:
    alone = {one.number: one.prediction for one in recorded.cells if len(one.sightings) == 1}
    for number, pixels in crops(recorded.head):
        if number in alone:
            yield _Crop(number, pixels, alone[number])
    known = {one.number for one in recorded.cells}
    for number, pixels, _, probabilities in sightings(recorded.head):
        if number in known:
            yield _Crop(number, pixels, probabilities)


def _together(recorded: Contents) -> Iterator[tuple[int, Prediction]]:
    """Cells that were decided from several sightings, decided from what was recorded of each."""
    known = {one.number for one in recorded.cells}
    for number, some in groupby(sightings(recorded.head), key=lambda row: row[0]):
        looks = [Sighting(Prediction("", 0.0, said), pixels, weight) for _, pixels, weight, said in some]
        if number in known and len(looks) > 1:
            yield number, pooled(looks, recorded.head.unidentified_below)


def _differing(given: Sequence[_Crop], engine: Engine, unidentified_below: float) -> Iterator[tuple[int, Prediction]]:
    """Index of each crop that fits in no size of batch, with what is said of it in the largest."""
    said: dict[int, Prediction] = {}
    left = list(range(len(given)))
    for size in SIZES:
        now = _in_batches([given[i].pixels for i in left], size, engine, unidentified_below)
        for i, prediction in zip(left, now, strict=True):
            if given[i].fits(prediction):
                said.pop(i, None)
            else:
                said.setdefault(i, prediction)
        left = list(said)
    yield from said.items()


def _in_batches(pixels: Sequence[Pixels], size: int, engine: Engine, unidentified_below: float) -> list[Prediction]:
    names = engine.model.manifest.labels.names
    decided: list[Prediction] = []
    for start in range(0, len(pixels), size):
        batch = list(pixels[start : start + size])
        batch += [batch[-1]] * (size - len(batch))
        decided += predictions(engine.infer(np.stack(batch)).probabilities, names, unidentified_below)
        del decided[len(pixels) :]
    return decided
