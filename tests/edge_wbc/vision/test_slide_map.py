"""The map of a slide, in characters."""

from __future__ import annotations

import numpy as np
import pytest

from edge_wbc.types import Box, Place
from edge_wbc.vision.slide_map import MappedCell, SlideMap, map_lines


def slide(visited: list[tuple[float, float]], cells: list[tuple[int, int]] = (), here: Place | None = None) -> SlideMap:
    """Frames of 640×480 there, cells of 40×40 around there."""
    mapped = tuple(
        MappedCell(number, "monocyte", Box(x - 20, y - 20, 40, 40)) for number, (x, y) in enumerate(cells, 1)
    )
    return SlideMap(0, (640, 480), np.array(visited, float), mapped, here, 0)


def test_one_frame_with_its_cells() -> None:
    """A character shows 80×160 pixels."""
    lines = map_lines(slide([(-5.0, 3.0)], [(30, 40), (40, 50), (600, 470)]), 64, 8)
    assert lines == ["2░░░░░░░", "░░░░░░░░", "░░░░░░░1"]


def test_where_the_stage_is_now_and_where_it_never_was() -> None:
    lines = map_lines(slide([(0, 0), (640, 480)], here=Place(640, 480)), 64, 8)
    assert lines == ["░░░░░░░░"] * 3 + [" " * 8 + "▒▒▒▒▒▒▒▒"] * 3


@pytest.mark.parametrize("steps", [1, 3, 40, 700])
def test_it_fits_however_far_the_stage_went(steps: int) -> None:
    lines = map_lines(slide([(500.0 * i, -300.0 * i) for i in range(steps)]), 20, 6)
    assert 1 <= len(lines) <= 6
    assert 1 <= max(map(len, lines)) <= 20
    assert lines[-1][0] == "░", "the first frame is at the lower left"
    assert lines[0][-1] == "░"


def test_the_scale_keeps_still_while_there_is_room() -> None:
    before, after = (
        map_lines(slide([(80.0 * i, 0) for i in range(steps)], [(200, 200)]), 64, 8) for steps in (60, 100)
    )
    half = map_lines(slide([(80.0 * i, 0) for i in range(20)], [(200, 200)]), 64, 8)
    assert [line.find("1") for line in before] == [line.find("1") for line in after]
    assert [line.find("1") for line in half] != [line.find("1") for line in before]


def test_more_than_nine_cells_in_one_place() -> None:
    assert map_lines(slide([(0, 0)], [(30, 40)] * 10), 64, 8)[0][0] == "+"
