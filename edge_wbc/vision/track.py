"""Each cell once: the sightings of one cell in many frames are one track.

A cell is known again by its place on the slide. It is counted when it was seen whole often enough, or has left the
view; what the locator found once while the stage showed the place again and again is not a cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from edge_wbc.types import Box, Cell, Frame, Pixels, Place
from edge_wbc.vision.evidence import Evidence
from edge_wbc.vision.geometry import clipped, close, inside, part_shared
from edge_wbc.vision.keyframes import MOST_BYTES
from edge_wbc.vision.pairs import Pairs
from edge_wbc.vision.places import Places, Where
from edge_wbc.vision.register import SAME, Register, known
from edge_wbc.vision.sharpness import sharpness, uncut

CONFIRMED = 4
"""Frames in which a cell is seen whole before it is counted while still in view."""
ASKED, SHARPER = 3, 1.2
"""Sightings of a cell that are classified in any case; then only one sharper by this factor than all before."""
BLURRED = 0.6
"""A cell whose best sighting has less than this of the usual sharpness waits for a better one till it leaves."""
APART = 0.5
"""Tracks with less than this between them, in lengths of the longest side, might be one cell."""
WAIT_FRAMES = 30
"""A cell that left is counted after so many frames with what was classified by then."""
MARGIN_PX = 4
"""From the frame's edge, within which a cell may be missed without being doubted."""
_REMEMBERED = 0.05


@dataclass(frozen=True, slots=True)
class Followed:
    """A located cell, known by its track."""

    track: int
    """Number of the cell on the slide, from 1; 0 where the frame has no place, or the box spans the frame."""
    sharpness: float
    """0 to 1, less where the crop reaches out of the frame; the weight of its prediction. 0 if it is not wanted anyway:
    cut, or counted already."""
    whole: bool
    """Not cut by the frame's border, and not just a part of a cell that is there as well."""
    wanted: bool
    """Worth classifying; a promise to do so, or it will be counted late."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a frame lies and which cells it shows, in the order in which they were given."""

    place: Place | None
    """Of the frame's left upper corner; None where nothing could be made out."""
    island: int
    """Places of different islands cannot be compared."""
    cells: tuple[Followed, ...]


class Tracker:
    """Follows the cells of one session. Not safe for threads: calls must not overlap.

    A counted cell is kept as a place and a number, some 40 bytes, so that hours later it is known again.

    :param most_bytes: of images kept to know places by.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.places = Places(most_bytes)
        self._register = Register()
        self._open: dict[int, Evidence] = {}
        self._pairs = Pairs()
        self._version = 0
        self._now = 0
        self._usual = 0.0

    def see(self, frame: Frame, cells: Sequence[Cell], small: Pixels | None = None) -> Placed:
        """Place the next frame and know its cells.

        :param small: the frame's pixels reduced, where they are at hand; of all frames or of none.
        """
        self._now += 1
        where = self._where(frame, small)
        if where is None:
            for state in self._open.values():
                state.in_view = False
            return Placed(None, -1, (_NOT_FOLLOWED,) * len(cells))
        size = frame.pixels.shape[1], frame.pixels.shape[0]
        given = self._follow(frame, [cell for cell in cells if not _spans(cell.box, size)], where, size)
        sightings = tuple(_NOT_FOLLOWED if _spans(cell.box, size) else next(given) for cell in cells)
        return Placed(where.place, where.island, sightings)

    def glance(self, frame: Frame, cells: Sequence[Cell], small: Pixels | None = None) -> Placed:
        """Place a frame that does not count, so that the next one that does finds its place, and know those of its
        cells that were seen before; the time of cells that left stands still."""
        where = self._where(frame, small)
        if where is None:
            return Placed(None, -1, (_NOT_FOLLOWED,) * len(cells))
        size = frame.pixels.shape[1], frame.pixels.shape[0]
        near, boxes = self._register.near(where, size)
        given = known([cell.box for cell in cells], boxes, [self._register.was_whole(number) for number in near], size)
        seen = (_NOT_FOLLOWED if index is None else Followed(near[index], 0.0, False, False) for index, _ in given)
        return Placed(where.place, where.island, tuple(seen))

    def _where(self, frame: Frame, small: Pixels | None) -> Where | None:
        where = self.places.see(frame.pixels, small)
        if where is not None and self.places.version != self._version:
            self._version = self.places.version
            self._register.renew(self.places)
            self._merge_overlapping()
        return where

    def _follow(self, frame: Frame, cells: Sequence[Cell], where: Where, size: tuple[int, int]) -> Iterator[Followed]:
        near, boxes = self._register.near(where, size)
        whole_before = [self._register.was_whole(number) for number in near]
        given = known([cell.box for cell in cells], boxes, whole_before, size)
        boxes = [clipped(box, size) for box in boxes]
        sightings = []
        for i, cell in enumerate(cells):
            index, part = given[i]
            whole = not part and inside(cell.box, size)
            number = near[index] if index is not None else self._register.add(where, cell.box, whole)
            if index is None:
                self._open[number] = Evidence()
            elif not part:
                self._register.seen(number, where, cell.box, whole)
            sharp = 0.0
            if whole and number in self._open:
                sharp = round(sharpness(frame.pixels, cell.box) * uncut(cell.box, size) ** 2, 4)
            sightings.append(self._sighted(number, sharp, whole, where))
        self._doubt(near, boxes, where, size)
        found = {seen.track for seen in sightings if seen.whole}
        self._weigh_pairs(cells, near, boxes, found)
        return iter(sightings)

    def answered(self, track: int) -> bool:
        """Take note that a sighting was classified; returns whether the cell is still to be counted."""
        state = self._open.get(self._register.known_as(track))
        if state is not None:
            state.answered += 1
        return state is not None

    def settle(self) -> list[int]:
        """Tracks of cells that are certain by now, each once and never again."""
        ready = [number for number, state in self._open.items() if self._is_ready(number, state)]
        for number in ready:
            self._close(number)
        for number in [number for number, state in self._open.items() if self._is_over(state)]:
            self._register.remove(number)
            self._close(number)
        return ready

    def finish(self) -> list[int]:
        """Tracks of the cells left at the end that deserve to be counted."""
        ready = [number for number, state in self._open.items() if state.answered and state.is_cell]
        self._open.clear()
        return ready

    def known_as(self, track: int) -> int:
        """The number by which a cell is counted: tracks that turned out to be one cell go by the first one's."""
        return self._register.known_as(track)

    def is_open(self, track: int) -> bool:
        """Whether a cell is still to be counted."""
        return self._register.known_as(track) in self._open

    def boxes(self, tracks: Sequence[int]) -> tuple[list[int], list[Box]]:
        """Islands of cells, and their boxes within them in slide pixels."""
        return self._register.boxes([self.known_as(track) for track in tracks])

    @property
    def open_tracks(self) -> int:
        """Cells seen and not counted yet."""
        return len(self._open)

    def _sighted(self, number: int, sharp: float, whole: bool, where: Where) -> Followed:
        state = self._open.get(number)
        if state is None:  # counted
            return Followed(number, sharp, whole, False)
        state.last_seen = self._now
        state.in_view = True
        wanted = whole and (state.asked < ASKED or sharp > SHARPER * state.best)
        if whole:
            state.hits += 1
            state.chances += 1
            state.asked += wanted
            state.best = max(state.best, sharp)
            if where.clear:
                self._usual += (sharp - self._usual) * (_REMEMBERED if self._usual else 1.0)
        return Followed(number, sharp, whole, wanted)

    def _doubt(self, near: Sequence[int], boxes: Sequence[Box], where: Where, size: tuple[int, int]) -> None:
        """Note what should have been found and was not, and what has left."""
        shown = dict(zip(near, boxes, strict=True))
        for number, state in self._open.items():
            if state.last_seen < self._now:
                box = shown.get(number)
                state.in_view = box is not None
                state.chances += box is not None and where.clear and inside(box, size, MARGIN_PX)

    def _weigh_pairs(self, cells: Sequence[Cell], near: Sequence[int], boxes: Sequence[Box], found: set[int]) -> None:
        """Tracks that lie in one box are one cell, if they are not found apart more often."""
        for (a, first), (b, second) in combinations(zip(near, boxes, strict=True), 2):
            if a not in self._open and b not in self._open:
                continue
            if any(min(part_shared(cell.box, first), part_shared(cell.box, second)) >= SAME for cell in cells):
                if self._pairs.together(a, b):
                    self._merge(a, b)
            elif a in found and b in found and close(first, second, APART):
                self._pairs.apart(a, b)

    def _merge_overlapping(self) -> None:
        """After places were corrected: tracks that now lie on one another are one cell."""
        for number in sorted(self._open):
            if number in self._open:
                for other in self._register.overlapping(number, SAME):
                    self._merge(*sorted((number, other)))

    def _merge(self, kept: int, gone: int) -> None:
        kept, gone = self._register.known_as(kept), self._register.known_as(gone)
        if kept == gone:
            return
        states = self._open.pop(kept, None), self._open.pop(gone, None)
        self._register.merge(kept, gone)
        if states[0] is not None and states[1] is not None:  # if either was counted, both are
            states[0].take(states[1])
            self._open[kept] = states[0]
        self._pairs.forget(kept, gone)

    def _is_ready(self, number: int, state: Evidence) -> bool:
        if not state.answered or not self.places.searched(self._register.key(number)):
            return False
        if not state.in_view:
            late = self._now - state.last_seen >= WAIT_FRAMES
            return state.is_cell and (state.answered >= state.asked or late)
        confirmed = state.is_cell and state.hits >= CONFIRMED and state.answered >= ASKED
        return confirmed and state.best >= BLURRED * self._usual

    def _is_over(self, state: Evidence) -> bool:
        """Left the view long ago, and no cell by what was seen of it: should it come back, it is seen with new eyes."""
        long_ago = self._now - state.last_seen >= 2 * WAIT_FRAMES
        return not state.in_view and long_ago and not (state.answered and state.is_cell)

    def _close(self, number: int) -> None:
        del self._open[number]
        self._pairs.forget(number)


_NOT_FOLLOWED = Followed(0, 0.0, False, False)


def _spans(box: Box, size: tuple[int, int]) -> bool:
    """Whether a box reaches from border to border: beside the smear the locator may take a whole frame for a cell."""
    return box.width >= size[0] or box.height >= size[1]
