"""Where on the slide each cell lies: some 60 bytes a cell, for a whole day."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_wbc.types import Box
from edge_wbc.vision.geometry import assign, clipped, grown, inside, part_shared
from edge_wbc.vision.places import Anchor, Places, Where

SETTLED = 8.0
"""Sightings after which one more moves a cell's box by an eighth."""
SAME = 0.5
"""Of the smaller box, the part that two boxes of one cell have in common at least."""
BEYOND = 0.3
"""How far a cell may reach out of its box, in lengths of the longer side: the box is drawn around its nucleus, of which
a lobe may have been missed."""

_ROW = np.dtype(
    [
        ("key", np.int32),
        ("island", np.int32),
        ("dx", np.float32),
        ("dy", np.float32),
        ("x", np.float64),
        ("y", np.float64),
        ("width", np.float32),
        ("height", np.float32),
        ("seen", np.float32),
        ("alive", bool),
    ]
)
"""``dx, dy``: the box's centre from its keyframe; ``x, y``: within its island; ``seen``: times seen whole."""


class Register:
    """Boxes of cells, numbered from 1, at anchored places."""

    def __init__(self) -> None:
        self._rows = np.zeros(256, _ROW)
        self._count = 1
        self._alias: dict[int, int] = {}

    def add(self, where: Where, box: Box, whole: bool) -> int:
        """A new cell, found at ``box`` in the frame that lies at ``where``; its number."""
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        number = self._count
        self._count += 1
        self._rows[number]["alive"] = True
        self._put(number, where, *_middle(box), box.width, box.height, float(whole))
        return number

    def seen(self, number: int, where: Where, box: Box, whole: bool) -> None:
        """Known again at ``box``: the mean of whole boxes; until there is one, the largest of the cut ones."""
        row = self._rows[number]
        x, y = _middle(box)
        before = float(row["seen"])
        old_x, old_y = float(row["x"]) - where.place.x, float(row["y"]) - where.place.y
        old_wide, old_high = float(row["width"]), float(row["height"])
        if whole:
            share = 1 / min(before + 1, SETTLED)
            wide, high = (1 - share) * old_wide + share * box.width, (1 - share) * old_high + share * box.height
            x, y = (1 - share) * old_x + share * x, (1 - share) * old_y + share * y
            self._put(number, where, x, y, wide, high, before + 1)
        elif not before and box.width * box.height > old_wide * old_high:
            self._put(number, where, x, y, box.width, box.height, 0)

    def near(self, where: Where, size: tuple[int, int]) -> tuple[list[int], list[Box]]:
        """The cells of which something may lie in a frame of (width, height), with their boxes from its corner.

        A cell reaches up to ``BEYOND`` × its box's longer side out of its box, which is drawn around the nucleus.
        """
        rows = self._rows[: self._count]
        x, y = rows["x"] - where.place.x, rows["y"] - where.place.y
        across, down = rows["width"] / 2, rows["height"] / 2
        reach = 2 * BEYOND * np.maximum(across, down)
        shown = rows["alive"] & (rows["island"] == where.island)
        shown &= (x + across > -reach) & (x - across < size[0] + reach)
        shown &= (y + down > -reach) & (y - down < size[1] + reach)
        numbers = np.flatnonzero(shown).tolist()
        return numbers, [
            Box(round(x[n] - across[n]), round(y[n] - down[n]), round(2 * across[n]), round(2 * down[n]))
            for n in numbers
        ]

    def overlapping(self, number: int, at: float) -> list[int]:
        """Other cells that share this part of the smaller box with a cell."""
        rows, row = self._rows[: self._count], self._rows[number]
        across = (rows["width"] + row["width"]) / 2 - np.abs(rows["x"] - row["x"])
        down = (rows["height"] + row["height"]) / 2 - np.abs(rows["y"] - row["y"])
        smallest = (np.minimum(rows["width"], row["width"]), np.minimum(rows["height"], row["height"]))
        common = np.clip(across, 0, smallest[0]) * np.clip(down, 0, smallest[1])
        least = np.minimum(rows["width"] * rows["height"], row["width"] * row["height"])
        found = rows["alive"] & (rows["island"] == row["island"]) & (common >= at * least)
        found[number] = False
        return [int(other) for other in np.flatnonzero(found)]

    def renew(self, places: Places) -> None:
        """Derive all places from their keyframes anew."""
        rows = self._rows[: self._count]
        if places.keyframes.count:
            at = places.keyframes.at[rows["key"]]
            rows["x"], rows["y"] = at[:, 0] + rows["dx"], at[:, 1] + rows["dy"]
            rows["island"] = places.keyframes.islands[rows["key"]]

    def merge(self, kept: int, gone: int) -> None:
        """Two numbers were one cell all along."""
        if self._rows[gone]["seen"] > self._rows[kept]["seen"]:
            self._rows[kept] = self._rows[gone]
        self.remove(gone)
        self._alias[gone] = kept

    def remove(self, number: int) -> None:
        """It was no cell."""
        self._rows[number]["alive"] = False

    def known_as(self, number: int) -> int:
        """The number a cell goes by after merging."""
        while number in self._alias:
            number = self._alias[number]
        return number

    def boxes(self, numbers: Sequence[int]) -> tuple[list[int], list[Box]]:
        """Islands of cells, and their boxes within them."""
        rows = self._rows[list(numbers)]
        left, top = rows["x"] - rows["width"] / 2, rows["y"] - rows["height"] / 2
        sides = np.rint(np.stack([left, top, rows["width"], rows["height"]], axis=1)).astype(int)
        return rows["island"].tolist(), [Box(*box) for box in sides.tolist()]

    def was_whole(self, number: int) -> bool:
        """Whether it was ever seen whole."""
        return bool(self._rows[number]["seen"])

    def key(self, number: int) -> int:
        """The keyframe by which the cell's place is known."""
        return int(self._rows[number]["key"])

    def _put(self, number: int, where: Where, x: float, y: float, wide: float, high: float, seen: float) -> None:
        """:param x: of the centre, in pixels of the frame."""
        anchor = Anchor(where.anchor.key, where.anchor.dx + x, where.anchor.dy + y)
        place = where.place.x + x, where.place.y + y
        self._rows[number] = (anchor.key, where.island, anchor.dx, anchor.dy, *place, wide, high, seen, True)


def _middle(box: Box) -> tuple[float, float]:
    return box.xmin + box.width / 2, box.ymin + box.height / 2


def known(
    found: Sequence[Box], boxes: Sequence[Box], whole: Sequence[bool], size: tuple[int, int]
) -> list[tuple[int | None, bool]]:
    """For each box found, the index of the cell's known one, None if it is new, and whether it is only a part of it.

    What seems new and lies mostly within ``BEYOND`` of a known cell that the border cuts is taken for a part of that:
    a lobe looks like a cell where the rest is out of sight. A neighbour will be known when both are in view.

    :param boxes: of cells, in the frame or around it.
    :param whole: whether each was ever seen whole; only beside such a one a lobe is known to be one.
    """
    given = assign(found, [clipped(box, size) for box in boxes], SAME)
    cut = [j for j, other in enumerate(boxes) if whole[j] and not inside(other, size)]
    for i, box in enumerate(found):
        if given[i][0] is None:
            beside = next((j for j in cut if part_shared(box, grown(boxes[j], BEYOND)) >= SAME), None)
            given[i] = beside, beside is not None
    return given
