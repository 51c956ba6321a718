"""Where each frame lies on the slide.

A frame is compared with the nearest keyframe, not with the frame before it, so errors add up only from keyframe to
keyframe; where the stage comes back to a visited place, old and new keyframes are linked and what disagrees is spread
over the way between. After a jump the frame is looked for around the last place; if it is not there a new island of
places begins, whose keyframes are compared with those of the others, a few every frame, until one is recognised.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edge_wbc.types import Pixels, Place
from edge_wbc.vision.keyframes import MOST_BYTES, Keyframes, image
from edge_wbc.vision.motion import LEAST_TEXTURE, Displacement, View, displacement, reduce, reduced_scale, view

APART = 0.35
"""A frame further than this from every keyframe, in frames, becomes one: two such neighbours share over 40 %."""
CLEAR = 0.6
"""Of the usual texture, below which a frame is blurred: it may be placed by a keyframe, but nothing by it. Two blurred
frames have little in common but the microscope's own shadow, which never moves."""
NEIGHBOURS = 4
"""Keyframes a new one is linked to, and that are tried when a frame is not where it was expected."""
LINKED_WITHIN = 0.6
"""Keyframes nearer than this, in frames, are linked."""
MOST_CORRECTION = 0.35
"""A link may contradict what was believed by this much of a frame; more is rather a mistake."""
AGREED_PX = 2.0
"""Contradictions above this, in frame pixels, are spread over the way between."""
SEARCHED_PER_FRAME = 3
"""Keyframes of other islands compared in every frame while an island is not recognised: about 0.7 ms each."""
RECOGNISED = 1.2
"""Certainty from which islands are joined: among hundreds of comparisons chance has more to offer, and a mistake costs
more."""
SEARCHED, MOST_WAITING = 200, 6
"""Keyframes of other islands, the last visited first, that each keyframe of an island is compared with; while so many
wait for that, further ones are not compared."""
_RISES, _FALLS = 0.05, 0.003
"""A frame: how quickly the usual texture follows focus, and how slowly it forgets it."""


class Anchor(NamedTuple):
    """A point of the slide, by a keyframe: it moves with it when places are corrected."""

    key: int
    dx: float
    """From the keyframe's left upper corner, in frame pixels."""
    dy: float


@dataclass(frozen=True, slots=True)
class Where:
    """Where a frame lies."""

    anchor: Anchor
    """Of its left upper corner."""
    place: Place
    """Of the same, within its island."""
    island: int
    clear: bool
    """Not blurred beside the frames before."""


class Places:
    """Places of the frames of one session, which all have the same size. Used by one thread.

    :param most_bytes: of images kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.keyframes = Keyframes(most_bytes)
        self.version = 0
        """Grows whenever places were corrected or islands joined: what was derived from them must be derived anew."""
        self._islands = 0
        self._now = 0
        self._last: tuple[View, Where] | None = None
        self._speed = (0.0, 0.0)
        self._usual = 0.0
        self._search: deque[tuple[int, list[int]]] = deque()
        self._unsearched: set[int] = set()

    def see(self, pixels: Pixels, small: Pixels | None = None) -> Where | None:
        """Place the next frame; None if too little can be made out in it.

        :param pixels: (height, width, 3) uint8 BGR.
        :param small: the same reduced, where that is at hand; of all frames or of none.
        """
        self._now += 1
        seen = view(reduce(pixels if small is None else small))
        if seen.deviation < LEAST_TEXTURE:
            self._speed = (0.0, 0.0)
            return None
        pace = _RISES if seen.deviation > self._usual else _FALLS
        self._usual += (seen.deviation - self._usual) * (pace if self._usual else 1.0)
        where = self._find(seen, pixels)
        if where is None:
            if not self._is_clear(seen):
                return None
            self._speed = (0.0, 0.0)
            where = self._begin(seen, pixels)
        elif self._last is not None:
            before = self._last[1].place
            self._speed = (where.place.x - before.x, where.place.y - before.y)
        self._last = seen, where
        self._search_on(pixels)
        where = self._again(where)
        self._last = seen, where
        self.keyframes.use(where.anchor.key, self._now)
        return where

    def at(self, anchor: Anchor) -> tuple[int, Place]:
        """Island and place of an anchored point, as far as is known now."""
        x, y = self.keyframes.at[anchor.key].tolist()
        return int(self.keyframes.islands[anchor.key]), Place(x + anchor.dx, y + anchor.dy)

    def searched(self, key: int) -> bool:
        """Whether a keyframe was compared with the other islands; until then its cells may be known already."""
        return key not in self._unsearched

    def _find(self, seen: View, pixels: Pixels) -> Where | None:
        if self._last is None:
            return None
        before, last = self._last
        guess = Place(last.place.x + self._speed[0], last.place.y + self._speed[1])
        found = self._by_keyframe(seen, pixels, last.island, guess, 1)
        if found is None:
            step = self._measured(before, seen, pixels)
            if step.certain and self._is_clear(before) and self._is_clear(seen):
                guess = Place(last.place.x + step.dx, last.place.y + step.dy)
                found = self._by_keyframe(seen, pixels, last.island, guess, 2)
                if found is None:
                    anchor = Anchor(last.anchor.key, last.anchor.dx + step.dx, last.anchor.dy + step.dy)
                    found = self._where(seen, anchor)
        if found is None:
            found = self._by_keyframe(seen, pixels, last.island, last.place, 2 * NEIGHBOURS)
        if found is None:
            return None
        self._close(seen, pixels, found)
        return self._grow(seen, pixels, found)

    def _by_keyframe(self, seen: View, pixels: Pixels, island: int, guess: Place, most: int) -> Where | None:
        size = pixels.shape[1], pixels.shape[0]
        for key, _ in self.keyframes.nearest(island, *guess, size, most):
            moved = self._measured(self.keyframes.view(key), seen, pixels)
            if moved.certain:
                return self._where(seen, Anchor(key, moved.dx, moved.dy))
        return None

    def _close(self, seen: View, pixels: Pixels, found: Where) -> None:
        """Where the stage passes from one keyframe to another, link them by the frame that shows both."""
        assert self._last is not None
        before, key = self._last[1].anchor.key, found.anchor.key
        if before == key or self.keyframes.linked(before, key) or before not in self.keyframes.images:
            return
        moved = self._measured(self.keyframes.view(before), seen, pixels)
        if moved.certain:
            self._link(before, key, moved.dx - found.anchor.dx, moved.dy - found.anchor.dy, pixels)

    def _link(self, first: int, second: int, dx: float, dy: float, pixels: Pixels) -> None:
        believed = self.keyframes.at[second] - self.keyframes.at[first]
        wrong = float(np.abs(believed - (dx, dy)).max())
        if wrong > MOST_CORRECTION * min(pixels.shape[:2]):
            return
        self.keyframes.link(first, second, dx, dy)
        if wrong > AGREED_PX:
            self.keyframes.relax()
            self.version += 1

    def _grow(self, seen: View, pixels: Pixels, found: Where) -> Where:
        """Make the frame a keyframe if none is near."""
        found = self._again(found)
        size = pixels.shape[1], pixels.shape[0]
        near = self.keyframes.nearest(found.island, *found.place, size, NEIGHBOURS)
        if not found.clear or (near and near[0][1] < APART):
            return found
        key = self._keep(found.island, found.place, seen, pixels)
        self.keyframes.link(found.anchor.key, key, found.anchor.dx, found.anchor.dy)
        for other, away in near:
            kept = other in self.keyframes.images  # keeping this one may have made room at its cost
            if away < LINKED_WITHIN and kept and not self.keyframes.linked(other, key):
                moved = self._measured(self.keyframes.view(other), seen, pixels)
                if moved.certain:
                    self._link(other, key, moved.dx, moved.dy, pixels)
        return self._where(seen, Anchor(key, 0.0, 0.0))

    def _begin(self, seen: View, pixels: Pixels) -> Where:
        """A new island."""
        island, self._islands = self._islands, self._islands + 1
        key = self._keep(island, Place(0.0, 0.0), seen, pixels)
        return self._where(seen, Anchor(key, 0.0, 0.0))

    def _keep(self, island: int, place: Place, seen: View, pixels: Pixels) -> int:
        key = self.keyframes.add(island, *place, image(pixels, seen.grey), self._now)
        others = self.keyframes.elsewhere(island, SEARCHED)
        if others and len(self._search) < MOST_WAITING:
            self._search.append((key, others[::-1]))
            self._unsearched.add(key)
        return key

    def _search_on(self, pixels: Pixels) -> None:
        """Compare keyframes with those of other islands; join where one is recognised."""
        left = SEARCHED_PER_FRAME
        islands, images = self.keyframes.islands, self.keyframes.images
        while self._search and left:
            key, others = self._search[0]
            if not others or key not in images:
                self._search.popleft()
                self._unsearched.discard(key)
                continue
            other = others.pop()
            if islands[other] == islands[key] or other not in images:
                continue
            left -= 1
            moved = self._measured(self.keyframes.view(other), self.keyframes.view(key), pixels)
            if moved.certainty >= RECOGNISED:
                self._join(other, key, moved)

    def _join(self, other: int, key: int, moved: Displacement) -> None:
        at, islands = self.keyframes.at, self.keyframes.islands
        shift = at[other] + (moved.dx, moved.dy) - at[key]
        if islands[key] > islands[other]:
            self.keyframes.join(int(islands[key]), int(islands[other]), *shift.tolist())
        else:
            self.keyframes.join(int(islands[other]), int(islands[key]), *(-shift).tolist())
        self.keyframes.link(other, key, moved.dx, moved.dy)
        self.version += 1

    def _where(self, seen: View, anchor: Anchor) -> Where:
        island, place = self.at(anchor)
        return Where(anchor, place, island, self._is_clear(seen))

    def _is_clear(self, seen: View) -> bool:
        return seen.deviation >= CLEAR * self._usual

    def _again(self, where: Where) -> Where:
        """The same, after corrections."""
        island, place = self.at(where.anchor)
        return Where(where.anchor, place, island, where.clear)

    @staticmethod
    def _measured(first: View, second: View, pixels: Pixels) -> Displacement:
        """In frame pixels."""
        scale = reduced_scale(*pixels.shape[:2])
        dx, dy, certainty = displacement(first, second)
        return Displacement(dx / scale, dy / scale, certainty)
