"""Where the white cells are."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_wbc.sources.base import open_source
from edge_wbc.types import Box, Frame, Pixels
from edge_wbc.vision.geometry import iou, match
from edge_wbc.vision.locate import _boxes, _measured, _regions, locate, locate_one
from edge_wbc.vision.reduced import reduced
from edge_wbc.vision.stain import ZERO, Stained
from training.touching import pairs

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


def at_every_place(field: Pixels, size: tuple[int, int]) -> tuple[Pixels, list[Box]]:
    """The field reduced to ``size`` side by side until 4K is full, and where its corners lie."""
    small = np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_AREA), np.uint8)
    across, down = 3840 // size[0], 2160 // size[1]
    corners = [Box(x * size[0], y * size[1], 0, 0) for y in range(down) for x in range(across)]
    return np.tile(small, (down, across, 1)), corners


def test_five_hundred_cells_of_forty_pixels_in_one_frame(draw_field: Callable[..., Pixels]) -> None:
    """Nuclei of 20 pixels among red cells of 13."""
    nuclei = [NUCLEUS, Box(100, 300, 60, 60), Box(480, 330, 60, 60)]
    pixels, corners = at_every_place(draw_field(nuclei), (213, 160))
    known = [
        Box(corner.xmin + box.xmin // 3, corner.ymin + box.ymin // 3, 20, 20) for corner in corners for box in nuclei
    ]
    found = [cell.box for cell in locate(pixels)]
    assert len(known) > 500
    assert len(match(found, known, at=0.3)) == len(known) == len(found)


def test_cells_of_thirty_pixels_are_found(draw_field: Callable[..., Pixels]) -> None:
    """Nuclei of 15 pixels among red cells of 10, in a large frame too small for the usual working image."""
    field = draw_field([NUCLEUS])
    small = np.asarray(cv2.resize(field, (160, 120), interpolation=cv2.INTER_AREA), np.uint8)
    assert len(locate(np.tile(small, (4, 4, 1)))) == 16
    assert len(locate(np.tile(small, (9, 12, 1)))) == 108


@pytest.mark.parametrize("stain", ["usual", "magenta"])
def test_cells_of_a_simulated_slide_whatever_its_red_cells_look_like(stain: str) -> None:
    known = matched = found = 0
    for frame in open_source(f"smear://?seed=7&cells=25&stain={stain}").frames():
        assert isinstance(frame, Frame)
        boxes = [cell.box for cell in locate(frame.pixels)]
        truth = [cell.box for cell in frame.truth or ()]
        matched += len(match(boxes, truth, at=0.3))
        known, found = known + len(truth), found + len(boxes)
    assert (known, matched / known, matched / max(1, found)) == (25, 1, 1)


def test_touching_cells_are_parted() -> None:
    """Most of 40 in pairs; the others lie so that their nuclei seem lobes of one."""
    matched = sum(len(match([cell.box for cell in locate(pixels)], boxes, at=0.3)) for pixels, boxes in pairs(11, 20))
    assert matched >= 34


def test_debris_is_no_cell(draw_field: Callable[..., Pixels]) -> None:
    """Black dust, brown pigment, a clump of red cells, a grey fibre, and crumbs of stain smaller than a platelet."""
    field = draw_field([NUCLEUS])
    cv2.circle(field, (120, 120), 25, (20, 20, 20), cv2.FILLED, cv2.LINE_AA)
    cv2.circle(field, (220, 380), 22, (40, 70, 110), cv2.FILLED, cv2.LINE_AA)
    cv2.circle(field, (540, 250), 25, (86, 45, 150), cv2.FILLED, cv2.LINE_AA)
    cv2.line(field, (30, 300), (200, 330), (120, 120, 120), 6, cv2.LINE_AA)
    for x, y in ((500, 60), (520, 400), (80, 430), (300, 60)):
        cv2.circle(field, (x, y), 6, (140, 45, 105), cv2.FILLED, cv2.LINE_AA)
    cells = locate(field)
    assert len(cells) == 1
    assert iou(cells[0].box, NUCLEUS) > 0.5


def test_a_reduced_frame_at_hand_changes_nothing(draw_field: Callable[..., Pixels]) -> None:
    field = draw_field([NUCLEUS])
    assert locate(field, reduced(field)) == locate(field)
    assert locate_one(field, reduced(field)) == locate_one(field)


def test_platelets_alone_are_no_cells(draw_field: Callable[..., Pixels]) -> None:
    """Less than half as wide as the red cells around them."""
    field = draw_field([])
    for x, y in ((500, 60), (520, 400), (80, 430), (300, 60)):
        cv2.circle(field, (x, y), 8, (140, 45, 105), cv2.FILLED, cv2.LINE_AA)
    assert locate(field) == []


def test_nuclei_that_touch_are_measured_apart() -> None:
    nuclei = np.zeros((120, 200), np.uint8)
    cv2.circle(nuclei, (60, 60), 30, 255, cv2.FILLED)
    cv2.circle(nuclei, (125, 60), 36, 255, cv2.FILLED)
    response = np.full_like(nuclei, 40)
    response[:, 90:] = 60
    densities = np.full_like(nuclei, ZERO + 20)
    labels, regions = _regions(nuclei, 40.0)
    blobs = sorted(_measured(Stained(response, densities, densities, 5.0), nuclei, labels, regions))
    assert np.array([blob[:4] for blob in blobs]) == pytest.approx(
        np.array([(30, 30, 91, 91), (89, 24, 162, 97)]), abs=3
    )
    assert sum(blob.area for blob in blobs) == np.count_nonzero(nuclei)
    assert [blob.area for blob in blobs] == pytest.approx([np.pi * 30**2, np.pi * 36**2], rel=0.05)
    assert [blob.contrast for blob in blobs] == pytest.approx([40, 60], abs=1)


@given(st.lists(st.tuples(*(st.integers(0, 60),) * 4), max_size=6))
def test_boxes_of_outlines_are_those_of_opencv(rectangles: list[tuple[int, int, int, int]]) -> None:
    mask = np.zeros((64, 64), np.uint8)
    for left, top, right, bottom in rectangles:
        cv2.rectangle(mask, (left, top), (right, bottom), 255, cv2.FILLED)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert _boxes(outlines) == [Box(*cv2.boundingRect(outline)) for outline in outlines]
