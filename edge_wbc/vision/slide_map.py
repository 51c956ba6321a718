"""Where the stage has been, and where the counted cells lie."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edge_wbc.types import Box, Place


@dataclass(frozen=True, slots=True)
class MappedCell:
    """A counted cell on the slide."""

    number: int
    """Within the session, from 1."""
    label: str
    """As which it counts."""
    box: Box
    """In slide pixels, as far as is known now."""


@dataclass(frozen=True, slots=True, eq=False)
class SlideMap:
    """What is known of a slide: the largest part of it that hangs together. Slide pixels are frame pixels."""

    island: int
    """Which part it is."""
    size: tuple[int, int]
    """Width and height of a frame."""
    visited: npt.NDArray[np.float64]
    """(n, 2): left upper corners of keyframes, x and y; every frame lies within 0.35 frames of one."""
    cells: tuple[MappedCell, ...]
    here: Place | None
    """Left upper corner of the last frame; None where that is not known."""
    elsewhere: int
    """Counted cells at other places: how those lie to the ones here is not known."""

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what was visited."""
        left, top = self.visited.min(axis=0).tolist()
        right, bottom = (self.visited.max(axis=0) + self.size).tolist()
        return left, top, right, bottom


FRAME_COLUMNS = 8
"""A frame is so many characters wide as long as there is room."""
MOST_TOLD = 9
"""Cells in one character that are told by a digit; more are a ``+``."""

_Pair: TypeAlias = npt.NDArray[np.float64]


def map_lines(slide: SlideMap, columns: int, rows: int) -> list[str]:
    """The map in characters: ``░`` visited, ``▒`` the last frame, digits the cells there.

    A character is twice as high as wide and shows twice as much down as across. The scale goes in powers of two, so
    that the map does not change with every step of the stage.
    """
    left, top, right, bottom = slide.extent
    wide = slide.size[0] / FRAME_COLUMNS
    while right - left > columns * wide or bottom - top > rows * 2 * wide:
        wide *= 2
    scale = np.array((wide, 2 * wide))
    across, down = np.maximum(1, np.rint((right - left, bottom - top) / scale)).astype(int).tolist()
    grid = np.full((down, across), " ")
    _mark(grid, (slide.visited - (left, top)) / scale, slide.size / scale, "░")
    if slide.here is not None:
        _mark(grid, (np.array([slide.here]) - (left, top)) / scale, slide.size / scale, "▒")
    counts = Counter(_character(cell.box, (left, top), wide, grid.shape) for cell in slide.cells)
    for at, number in counts.items():
        grid[at] = str(number) if number <= MOST_TOLD else "+"
    return ["".join(line).rstrip() for line in grid.tolist()]


def _mark(grid: npt.NDArray[np.str_], corners: _Pair, size: _Pair, mark: str) -> None:
    """Fill what frames cover, one character at least each; of thousands many cover the same ones."""
    covered = np.rint(np.concatenate([corners, corners + size], axis=1)).astype(int)
    for x, y, right, bottom in np.unique(covered, axis=0).tolist():
        x, y = min(x, grid.shape[1] - 1), min(y, grid.shape[0] - 1)
        grid[max(0, y) : max(bottom, y + 1), max(0, x) : max(right, x + 1)] = mark


def _character(box: Box, corner: tuple[float, float], wide: float, shape: tuple[int, ...]) -> tuple[int, int]:
    """Row and column in which a cell's middle lies."""
    column = int((box.xmin + box.width / 2 - corner[0]) / wide)
    row = int((box.ymin + box.height / 2 - corner[1]) / (2 * wide))
    return min(max(0, row), shape[0] - 1), min(max(0, column), shape[1] - 1)
