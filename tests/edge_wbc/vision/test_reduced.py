"""One reduced frame serves all that look at the whole of it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_wbc.sources.base import open_source
from edge_wbc.types import Frame, Pixels
from edge_wbc.vision.locate import locate, locate_one
from edge_wbc.vision.places import Places
from edge_wbc.vision.reduced import reduced, scale_of


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 480), (320, 240)), ((1280, 720), (320, 180)), ((3840, 2160), (960, 540)), ((33, 90), (33, 90))],
)
def test_sizes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    small = reduced(pixels)
    assert small.shape == (expected[1], expected[0], 3)
    assert scale_of(pixels) == expected[0] / size[0]
    assert (small is pixels) == (size == expected)


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (1024, 768), (2028, 1520), (575, 575), (1281, 720)])
def test_areas_are_averaged(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    pixels = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.5))
    small = reduced(pixels)
    at_once = cv2.resize(pixels, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    beside = np.abs(small.astype(int) - at_once)
    assert beside.max() <= (6 if size == (1024, 768) else 2), "halved, and then by 1.6"
    assert beside.mean() < 1


def test_a_view_cut_out_of_a_larger_frame_is_reduced_like_a_frame() -> None:
    whole = np.random.default_rng(0).integers(0, 256, (500, 700, 3), np.uint8)
    cut = whole[10:490, 20:660]
    assert np.array_equal(reduced(cut), reduced(cut.copy()))


def test_cells_are_the_same_with_and_without_it() -> None:
    frames = [frame for frame in open_source("smear://?seed=3&cells=8").frames() if isinstance(frame, Frame)]
    found = [(locate(frame.pixels), locate_one(frame.pixels)) for frame in frames]
    given = [
        (locate(frame.pixels, small), locate_one(frame.pixels, small))
        for frame in frames
        for small in [reduced(frame.pixels)]
    ]
    assert given == found
    assert sum(len(cells) for cells, _ in found) >= 8


def test_places_by_it_are_those_by_the_whole_frame(window: Callable[..., Pixels]) -> None:
    whole, small = Places(), Places()
    for step in range(12):
        pixels = window(300 + 37 * step, 200 + 22 * step)
        by_whole, by_small = whole.see(pixels), small.see(pixels, reduced(pixels))
        assert by_whole is not None
        assert by_small is not None
        assert np.allclose(by_whole.place, by_small.place, atol=1.5)
        assert np.allclose(by_small.place, (37 * step, 22 * step), atol=3)
