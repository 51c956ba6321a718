"""The simulated stage goes where its path says, and the truth goes with it."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from edge_wbc.errors import UsageError
from edge_wbc.sources.base import open_source
from edge_wbc.sources.smear_paths import PATHS, SPEED_PX
from edge_wbc.sources.smear_slide import Slide
from edge_wbc.types import Box, Frame, KnownCell

CONTINUOUS = ("raster", "wander", "shuttle")


def positions(name: str, slide: Slide) -> np.ndarray:
    return np.array(list(PATHS[name](slide)))


def wholly_in_view(slide: Slide, places: np.ndarray) -> np.ndarray:
    """(positions, cells): is the cell's box inside the view?"""
    boxes = np.array([cell.box for index in range(slide.fields) for cell in slide.cells(index)])
    first = boxes[:, :2] - places[:, None]
    return np.asarray(((first >= 0) & (first + boxes[:, 2:] <= slide.field)).all(axis=2))


def test_fields_is_the_path_that_is_taken_by_default() -> None:
    given = open_source("smear://?seed=4&cells=3"), open_source("smear://?seed=4&cells=3&path=fields")
    plain, named = ([frame for frame in source.frames() if isinstance(frame, Frame)] for source in given)
    assert [f.pixels.tobytes() for f in plain] == [f.pixels.tobytes() for f in named]
    assert [f.truth for f in plain] == [f.truth for f in named]
    assert not given[0].continuous
    assert not given[1].continuous


def test_fields_look_as_they_always_did() -> None:
    """Means of a slide drawn before there were other paths; processors and OpenCV versions round differently."""
    first, second = itertools.islice(open_source("smear://?seed=7&cells=30").frames(), 2)
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert first.pixels.mean(axis=(0, 1)) == pytest.approx(FIRST_FIELD, abs=0.02)
    assert second.pixels.mean(axis=(0, 1)) == pytest.approx(SECOND_FIELD, abs=0.02)


FIRST_FIELD = (189.338, 189.729, 205.686)
SECOND_FIELD = (187.970, 187.526, 204.234)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_frames_of_a_path_overlap(name: str) -> None:
    steps = np.abs(np.diff(positions(name, Slide(1, 30)), axis=0))
    assert steps.max() <= 45
    assert steps.sum() > 0
    assert open_source(f"smear://?path={name}").continuous


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_path_follows_from_the_seed(name: str) -> None:
    once, again = positions(name, Slide(2, 30)), positions(name, Slide(2, 30))
    assert np.array_equal(once, again)


def test_hands_of_two_seeds_wander_differently() -> None:
    one, other = positions("wander", Slide(1, 30))[:400], positions("wander", Slide(2, 30))[:400]
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("seed", range(3))
def test_raster_shows_every_cell_whole(seed: int) -> None:
    slide = Slide(seed, 60)
    places = positions("raster", slide)
    inside = wholly_in_view(slide, places)
    assert inside.any(axis=0).all()
    steps = np.abs(np.diff(places, axis=0)).sum(axis=1)
    assert (steps == SPEED_PX).mean() > 0.99, "a steady speed"


@pytest.mark.parametrize("seed", range(3))
def test_wander_shows_nearly_every_cell_whole_and_some_again(seed: int) -> None:
    slide = Slide(seed, 60)
    places = positions("wander", slide)
    inside = wholly_in_view(slide, places)
    assert inside.any(axis=0).sum() >= 58
    comings = (np.diff(inside.astype(int), axis=0) == 1).sum(axis=0)
    assert (comings > 1).sum() > 5, "places already seen are seen again"
    steps = np.diff(places, axis=0)
    assert (np.abs(steps).sum(axis=1) == 0).sum() > 20, "it stops"
    assert np.abs(np.diff(steps, axis=0)).max() <= 8, "speed and direction change smoothly"


def test_shuttle_shows_one_strip_again_and_again() -> None:
    slide = Slide(1, 60)
    inside = wholly_in_view(slide, positions("shuttle", slide))
    comings = (np.diff(inside.astype(int), axis=0) == 1).sum(axis=0)
    strip = slide.first_cell[20]
    assert (comings[:strip] >= 3).all(), "where it turns, coming and going are one"
    assert not comings[strip:].any()


def test_a_cell_keeps_its_number_and_its_looks_while_the_stage_moves() -> None:
    shown: dict[int, list[np.ndarray]] = {}
    for frame in itertools.islice(open_source("smear://?seed=5&cells=4&path=raster").frames(), 5, 60, 5):
        assert isinstance(frame, Frame)
        for cell in frame.truth or ():
            if within(cell):
                shown.setdefault(cell.cell_id, []).append(cut(frame.pixels, cell.box))
    assert len(shown) > 1
    for looks in shown.values():
        assert len(looks) > 2
        for one, other in itertools.pairwise(looks):
            assert one.shape == other.shape
            assert cv2.matchTemplate(one, other, cv2.TM_CCOEFF_NORMED).item() > 0.95


def test_every_cell_whose_centre_is_in_view_is_told_where_it_is() -> None:
    slide = Slide(6, 12)
    cells = [cell for index in range(slide.fields) for cell in slide.cells(index)]
    frames = open_source("smear://?seed=6&cells=12&path=wander").frames()
    cut_off = 0
    for frame, (x, y) in itertools.islice(zip(frames, PATHS["wander"](slide), strict=True), 0, 80, 8):
        assert isinstance(frame, Frame)
        told = {cell.cell_id: cell.box for cell in frame.truth or ()}
        assert set(told) == {cell.cell_id for cell in cells if 0 <= cell.x - x < 640 and 0 <= cell.y - y < 480}
        for number, box in told.items():
            left, top = cells[number].box.xmin - x, cells[number].box.ymin - y
            right, bottom = left + cells[number].box.width, top + cells[number].box.height
            seen = max(0, left), max(0, top), min(640, right), min(480, bottom)
            assert (box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height) == seen
            cut_off += seen != (left, top, right, bottom)
        outside = nuclear(frame.pixels)
        assert all(cut(outside, box).mean() > 0.05 for box in told.values())
        for cell in cells:
            left, top = cell.box.xmin - x, cell.box.ymin - y
            outside[max(0, top) : max(0, top + cell.box.height), max(0, left) : max(0, left + cell.box.width)] = False
        assert outside.mean() < 0.005, "what looks like a nucleus lies in a cell's box"
    assert cut_off


def test_an_unknown_path_is_refused_with_a_hint() -> None:
    with pytest.raises(UsageError, match=r"'zigzag' is not one of fields, raster, wander, shuttle; .* path=wander"):
        open_source("smear://?path=zigzag")


def within(cell: KnownCell) -> bool:
    """Is the whole cell in view? A box at the frame's edge may be cut off."""
    x, y, width, height = cell.box
    return x > 0 and y > 0 and x + width < 640 and y + height < 480


def cut(pixels: np.ndarray, box: Box) -> np.ndarray:
    return pixels[box.ymin : box.ymin + box.height, box.xmin : box.xmin + box.width]


def nuclear(pixels: np.ndarray) -> np.ndarray:
    """Where a picture is as dark in red and as blue over green as a stained nucleus."""
    blue, green, red = (pixels[..., i].astype(int) for i in range(3))
    return np.asarray((red < 150) & (blue - green > 35))
