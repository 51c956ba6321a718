"""Which cells count, and as what: every cell of every frame, or each cell of a slide once.

Frames are seen in the thread that locates, in order; predictions come later, in the thread that classifies.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from edge_wbc.types import (
    UNIDENTIFIED,
    Box,
    Cell,
    CountedCell,
    Frame,
    FrameRef,
    Pixels,
    Place,
    Prediction,
    SeenAgain,
    Sighting,
)
from edge_wbc.vision.mosaic import Mosaic, mosaic
from edge_wbc.vision.slide_map import MappedCell, SlideMap
from edge_wbc.vision.track import Followed, Placed, Tracker

LEAST_WEIGHT = 1e-3
"""Of a sighting, however blurred."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is to be done with the cells of one frame."""

    cells: tuple[Cell, ...]
    """To be classified."""
    again: tuple[SeenAgain, ...] = ()
    """Not to be classified: classified often enough before, or cut by the border."""
    followed: tuple[Followed, ...] = ()
    """Which cell of the slide each of ``cells`` is, where cells are followed."""
    place: Place | None = None
    """Of the frame's left upper corner, where frames are followed and it is known how it lies to the first one."""


def unnamed(cells: Sequence[Cell]) -> Seen:
    """Cells of which nothing is known and that are not to be classified."""
    return Seen((), tuple(SeenAgain(cell, "") for cell in cells))


class Counting(Protocol):
    """Call order: ``see`` for every frame, in one thread; ``count`` for every frame seen, in the same order, in
    another thread; ``finish`` once, after both. In the thread of ``see`` there may be frames at which to ``glance``."""

    def see(self, frame: Frame, cells: Sequence[Cell], small: Pixels | None = None) -> Seen:
        """
        :param small: the frame's pixels reduced, where they are at hand; of all frames or of none.
        """
        ...

    def glance(self, frame: Frame, cells: Sequence[Cell], small: Pixels | None = None) -> Seen:
        """See a frame that does not count, between others that do: all of its cells are ``again``."""
        ...

    def count(
        self, frame: FrameRef, seen: Seen, predictions: Sequence[Prediction], crops: Sequence[Pixels]
    ) -> tuple[CountedCell, ...]:
        """The cells that count from now on.

        :param predictions: one for each of ``seen.cells``.
        :param crops: what each was made from, uint8 (S, S, 3) BGR.
        """
        ...

    def finish(self) -> tuple[CountedCell, ...]:
        """The cells that count although nothing more of them will be seen."""
        ...

    def slide(self) -> SlideMap | None:
        """What is known of the slide by now, where frames are followed and it was seen; from any thread."""
        ...

    def mosaic(self) -> tuple[Mosaic, SlideMap] | None:
        """A picture of the slide with what is known of it; frames wait meanwhile."""
        ...


class EachFrame:
    """Frames have nothing to do with one another: every located cell counts."""

    def __init__(self) -> None:
        self._counted = 0

    def see(self, frame: Frame, cells: Sequence[Cell], small: Pixels | None = None) -> Seen:
        return Seen(tuple(cells))

    def glance(self, frame: Frame, cells: Sequence[Cell], small: Pixels | None = None) -> Seen:
        return unnamed(cells)

    def count(
        self, frame: FrameRef, seen: Seen, predictions: Sequence[Prediction], crops: Sequence[Pixels]
    ) -> tuple[CountedCell, ...]:
        counted = []
        for cell, prediction, crop in zip(seen.cells, predictions, crops, strict=True):
            self._counted += 1
            counted.append(CountedCell(self._counted, frame, cell, prediction, (Sighting(prediction, crop),)))
        return tuple(counted)

    def finish(self) -> tuple[CountedCell, ...]:
        return ()

    def slide(self) -> None:
        return None

    def mosaic(self) -> None:
        return None


class EachCell:
    """Frames follow a slide: a cell counts once, by its best looks together, when it was seen often enough or left."""

    def __init__(self, unidentified_below: float) -> None:
        self.tracker = Tracker()
        self._below = unidentified_below
        self._lock = threading.Lock()
        self._looks: dict[int, list[_Look]] = {}
        self._labels: dict[int, str] = {}
        self._counted: list[int] = []
        """Tracks, in the order of their numbers."""
        self._here: Placed | None = None

    def see(self, frame: Frame, cells: Sequence[Cell], small: Pixels | None = None) -> Seen:
        with self._lock:
            placed = self.tracker.see(frame, cells, small)
            self._here = placed
            known = list(zip(cells, placed.cells, strict=True))
            again = tuple(
                SeenAgain(cell, self._label(followed.track)) for cell, followed in known if not followed.wanted
            )
        wanted = [(cell, followed) for cell, followed in known if followed.wanted]
        return Seen(
            cells=tuple(cell for cell, _ in wanted),
            again=again,
            followed=tuple(followed for _, followed in wanted),
            place=placed.place if placed.island == 0 else None,
        )

    def glance(self, frame: Frame, cells: Sequence[Cell], small: Pixels | None = None) -> Seen:
        with self._lock:
            self._here = placed = self.tracker.glance(frame, cells, small)
            known = zip(cells, placed.cells, strict=True)
            return Seen((), tuple(SeenAgain(cell, self._label(followed.track)) for cell, followed in known))

    def count(
        self, frame: FrameRef, seen: Seen, predictions: Sequence[Prediction], crops: Sequence[Pixels]
    ) -> tuple[CountedCell, ...]:
        with self._lock:
            for cell, followed, prediction, crop in zip(seen.cells, seen.followed, predictions, crops, strict=True):
                if self.tracker.answered(followed.track):
                    sighting = Sighting(prediction, crop, max(followed.sharpness, LEAST_WEIGHT))
                    look = _Look(frame, cell, _middle(seen.place, cell.box), sighting)
                    self._looks.setdefault(followed.track, []).append(look)
            return self._taken(self.tracker.settle())

    def finish(self) -> tuple[CountedCell, ...]:
        with self._lock:
            return self._taken(self.tracker.finish())

    def slide(self) -> SlideMap | None:
        with self._lock:
            return self._slide()

    def mosaic(self) -> tuple[Mosaic, SlideMap] | None:
        with self._lock:
            slide = self._slide()
            picture = None if slide is None else mosaic(self.tracker.places.keyframes, slide.island)
            return None if slide is None or picture is None else (picture, slide)

    def _slide(self) -> SlideMap | None:
        keyframes = self.tracker.places.keyframes
        if not keyframes.count:
            return None
        largest = int(np.bincount(keyframes.islands).argmax())
        islands, boxes = self.tracker.boxes(self._counted)
        cells = tuple(
            MappedCell(number, self._labels[track], box)
            for number, (track, island, box) in enumerate(zip(self._counted, islands, boxes, strict=True), 1)
            if island == largest
        )
        here = None if self._here is None or self._here.island != largest else self._here.place
        visited = keyframes.at[keyframes.islands == largest]
        return SlideMap(largest, keyframes.size, visited, cells, here, len(islands) - len(cells))

    def _label(self, track: int) -> str:
        """As which a cell counts; one that was counted and then merged into an older track keeps its name."""
        if track and track not in self._labels and not self.tracker.is_open(track):
            merged = (label for number, label in self._labels.items() if self.tracker.known_as(number) == track)
            self._labels[track] = next(merged, "")
        return self._labels.get(track, "")

    def _taken(self, tracks: Iterable[int]) -> tuple[CountedCell, ...]:
        """Number the cells that count, and forget what was kept of them and of what turned out to be none."""
        counted = []
        for track in tracks:
            same = [number for number in self._looks if self.tracker.known_as(number) == track]
            looks = sorted(
                (look for number in same for look in self._looks.pop(number)), key=lambda look: look.frame.index
            )
            best = max(looks, key=lambda look: look.sighting.weight)
            sightings = tuple(look.sighting for look in looks)
            self._counted.append(track)
            prediction = pooled(sightings, self._below)
            self._labels[track] = prediction.label
            counted.append(CountedCell(len(self._counted), best.frame, best.cell, prediction, sightings, best.place))
        for number in [number for number in self._looks if not self.tracker.is_open(number)]:
            del self._looks[number]
        return tuple(counted)


class _Look(NamedTuple):
    frame: FrameRef
    cell: Cell
    place: Place | None
    sighting: Sighting


def pooled(sightings: Sequence[Sighting], unidentified_below: float) -> Prediction:
    """The mean of predictions of one cell by their weights, labelled as a single one would be.

    Probabilities are averaged, not their logarithms: one blurred frame that is sure of something else then costs no
    more than its weight, and the mean of calibrated probabilities may be held against the same threshold.
    """
    if len(sightings) == 1:
        return sightings[0].prediction
    weight = sum(sighting.weight for sighting in sightings)
    mean = {
        name: sum(sighting.weight * sighting.prediction.probabilities[name] for sighting in sightings) / weight
        for name in sightings[0].prediction.probabilities
    }
    best = max(mean, key=mean.__getitem__)
    rounded = {name: round(value, 6) for name, value in mean.items()}
    return Prediction(best if mean[best] >= unidentified_below else UNIDENTIFIED, rounded[best], rounded)


def _middle(place: Place | None, box: Box) -> Place | None:
    return None if place is None else Place(place.x + box.xmin + box.width / 2, place.y + box.ymin + box.height / 2)
