"""Cells outlined on a frame."""

from __future__ import annotations

import numpy as np
import pytest

from edge_wbc.draw import draw_cells
from edge_wbc.types import CLASSES, UNIDENTIFIED, Box


def test_the_outline_is_drawn_on_a_copy() -> None:
    frame = np.full((200, 300, 3), 255, np.uint8)
    drawn = draw_cells(frame, [Box(100, 80, 60, 50)], [("eosinophil", "eosinophil 97%")])
    assert (frame == 255).all()
    assert drawn.shape == frame.shape
    assert tuple(drawn[105, 100].tolist()) == (20, 70, 220), "the left side, in the class's colour"
    assert (drawn[95:120, 105:150] == 255).all(), "the cell itself is left free"
    assert (drawn[180:] == 255).all()
    assert (drawn[60:80, 100:160] != 255).any(), "a caption above"


def test_classes_are_told_apart() -> None:
    frame = np.full((200, 300, 3), 255, np.uint8)
    names = [*CLASSES, UNIDENTIFIED]
    colours = {tuple(draw_cells(frame, [Box(100, 80, 60, 50)], [(name, "")])[105, 100].tolist()) for name in names}
    assert len(colours) == len(names)


@pytest.mark.parametrize("box", [Box(0, 0, 300, 200), Box(290, 0, 10, 10), Box(0, 190, 10, 10), Box(295, 195, 40, 40)])
def test_cells_at_the_edge_are_drawn_too(box: Box) -> None:
    frame = np.full((200, 300, 3), 255, np.uint8)
    assert (draw_cells(frame, [box], [("blast", "a name no table holds")]) != frame).any()


def test_every_box_needs_its_caption() -> None:
    with pytest.raises(ValueError, match="zip"):
        draw_cells(np.zeros((50, 50, 3), np.uint8), [Box(0, 0, 5, 5)], [])
