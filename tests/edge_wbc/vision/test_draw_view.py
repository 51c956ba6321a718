"""The picture of a live view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_wbc.draw import COLOURS
from edge_wbc.draw_view import LONGEST_PX, PANEL_PX, draw_panel, draw_view
from edge_wbc.types import Box, Cell, Differential, FrameRef, FrameResult, Prediction, SeenAgain, Share

NOTHING = Differential(0, 0, {"neutrophil": Share(0, None, None, None)}, None)
SOME = Differential(4, 1, {"neutrophil": Share(4, 100.0, 39.8, 100.0)}, None)


def result(box: Box, again: Box) -> FrameResult:
    said = Prediction("neutrophil", 0.9, {"neutrophil": 0.9})
    ref = FrameRef(0, 0, "x")
    cell = Cell(box, 0.5)
    return FrameResult(ref, (cell,), (said,), (), 0, (SeenAgain(Cell(again, 0.5), ""),))


@pytest.mark.parametrize("scale", [0.25, 1, 3])
def test_cells_are_outlined_where_they_are_at_any_size_of_frame(scale: float) -> None:
    def side(value: float) -> int:
        return round(value * scale)

    pixels = np.full((side(480), side(640), 3), 128, np.uint8)
    boxes = (Box(*map(side, (200, 100, 80, 60))), Box(*map(side, (400, 300, 60, 60))))
    drawn = draw_view(pixels, result(*boxes), draw_panel(NOTHING, []))
    width = min(LONGEST_PX, max(640, side(640)))
    assert drawn.shape == (width * 3 // 4, width + PANEL_PX, 3)
    shown = width / 640
    at = round(130 * shown), round(200 * shown)
    around = drawn[at[0], at[1] - 3 : at[1] + 4].astype(int)
    assert (np.abs(around - COLOURS["neutrophil"]).max(axis=1) < 30).any(), "the left side of the first"
    around = drawn[round(330 * shown), round(400 * shown) - 3 : round(400 * shown) + 4]
    assert (around > 220).all(axis=1).any(), "the left side of the one that was seen before"
    assert (pixels == 128).all()


def test_the_differential_and_the_lines_stand_beside_it() -> None:
    pixels = np.full((480, 640, 3), 128, np.uint8)
    nowhere = replace(result(Box(0, 0, 9, 9), Box(0, 0, 9, 9)), cells=(), predictions=(), again=())
    nothing, some, more = (
        draw_view(pixels, nowhere, draw_panel(differential, lines))
        for differential, lines in ((NOTHING, []), (SOME, []), (SOME, ["12 frames"]))
    )
    assert (nothing[:, :640] == some[:, :640]).all()
    colour = np.array(COLOURS["neutrophil"])
    assert ((some == colour).all(axis=2).sum() - (nothing == colour).all(axis=2).sum()) > 200, "its bar"
    assert (more[:, 640:] != some[:, 640:]).any()


def test_a_panel_that_is_higher_than_the_frame_is_shown_whole() -> None:
    pixels = np.full((120, 640, 3), 128, np.uint8)
    nowhere = replace(result(Box(0, 0, 9, 9), Box(0, 0, 9, 9)), cells=(), predictions=(), again=())
    drawn = draw_view(pixels, nowhere, draw_panel(SOME, ["a"] * 20))
    assert drawn.shape[0] > 480
    assert (drawn[-20:, 640:] < 200).any(), "the last line"
