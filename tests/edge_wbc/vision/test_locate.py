"""Where the white cells are."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_wbc.types import Box, Pixels
from edge_wbc.vision.geometry import iou, match
from edge_wbc.vision.locate import locate, locate_one

SIZES = [(320, 240), (640, 480), (1280, 960), (3840, 2160)]
NUCLEUS = Box(370, 150, 60, 60)


def scaled(box: Box, size: tuple[int, int]) -> Box:
    scale = min(size[0] / 640, size[1] / 480)
    return Box(*(round(length * scale) for length in box))


@pytest.mark.parametrize("size", SIZES)
def test_a_cell_is_found_at_its_place_at_every_size(draw_field: Callable[..., Pixels], size: tuple[int, int]) -> None:
    cells = locate(draw_field([NUCLEUS], size))
    assert len(cells) == 1
    assert iou(cells[0].box, scaled(NUCLEUS, size)) > 0.5
    assert 0 < cells[0].score <= 1


@pytest.mark.parametrize("size", SIZES)
def test_a_field_of_red_cells_is_empty(draw_field: Callable[..., Pixels], size: tuple[int, int]) -> None:
    assert locate(draw_field([], size)) == []


@pytest.mark.parametrize("grey", [0, 40, 128, 255])
def test_a_blank_frame_is_empty(grey: int) -> None:
    assert locate(np.full((480, 640, 3), grey, np.uint8)) == []


def test_every_cell_of_a_field_is_found(draw_field: Callable[..., Pixels]) -> None:
    nuclei = [Box(80, 80, 60, 60), Box(300, 300, 52, 70), Box(500, 120, 66, 56)]
    found = [cell.box for cell in locate(draw_field(nuclei))]
    assert len(found) == 3
    assert len(match(found, nuclei, at=0.5)) == 3


def test_lobes_close_together_are_one_cell(draw_field: Callable[..., Pixels]) -> None:
    cells = locate(draw_field([Box(200, 180, 50, 50), Box(255, 180, 50, 50)]))
    assert len(cells) == 1
    assert iou(cells[0].box, Box(200, 180, 105, 50)) > 0.45  # the cytoplasm is in it


def test_nuclei_apart_are_two_cells(draw_field: Callable[..., Pixels]) -> None:
    assert len(locate(draw_field([Box(200, 180, 80, 80), Box(310, 180, 80, 80)]))) == 2


def test_boxes_at_the_edge_stay_in_the_frame(draw_field: Callable[..., Pixels]) -> None:
    cells = locate(draw_field([Box(-20, 200, 60, 60), Box(600, 440, 60, 60)]))
    assert len(cells) == 2
    for cell in cells:
        assert min(cell.box) >= 0
        assert cell.box.xmin + cell.box.width <= 640
        assert cell.box.ymin + cell.box.height <= 480


@pytest.mark.parametrize("size", [(32, 32), (33, 2000), (2000, 33), (33, 47)])
def test_odd_sizes_do_no_harm(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), np.uint8)
    for cell in (*locate(noise), locate_one(noise)):
        assert cell.box.width > 0
        assert cell.box.height > 0
        assert cell.box.xmin + cell.box.width <= size[0]
        assert cell.box.ymin + cell.box.height <= size[1]


def test_one_cell_is_found_where_it_is(draw_field: Callable[..., Pixels]) -> None:
    assert iou(locate_one(draw_field([NUCLEUS])).box, NUCLEUS) > 0.5


def test_of_two_cells_the_one_nearer_the_middle_is_taken(draw_field: Callable[..., Pixels]) -> None:
    middle = Box(290, 210, 60, 60)
    assert iou(locate_one(draw_field([Box(20, 20, 60, 60), middle])).box, middle) > 0.5


def test_an_image_without_cell_gives_its_middle() -> None:
    cell = locate_one(np.full((200, 300, 3), 230, np.uint8))
    assert cell.box == Box(50, 0, 200, 200)
    assert cell.score == 0


def discs(colour: tuple[int, int, int]) -> Pixels:
    pixels = np.full((480, 640, 3), 225, np.uint8)
    for centre in ((120, 130), (420, 300), (560, 90)):
        cv2.circle(pixels, centre, 40, colour, cv2.FILLED, cv2.LINE_AA)
    return pixels


@pytest.mark.parametrize(
    ("colour", "cells"),
    [
        ((150, 60, 95), 3),
        pytest.param((125, 85, 190), 0, id="red cells of a violet stain: they take blue away"),
        pytest.param((208, 186, 200), 0, id="too faint for a nucleus"),
    ],
)
def test_only_what_is_stained_like_a_nucleus_is_a_cell(colour: tuple[int, int, int], cells: int) -> None:
    assert len(locate(discs(colour))) == cells
