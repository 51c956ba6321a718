"""The one crop function."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_wbc.types import Box, Pixels
from edge_wbc.vision.crop import crop


def ramp(width: int = 80, height: int = 60) -> Pixels:
    """Every pixel tells where it is."""
    down, across = np.mgrid[:height, :width]
    return np.stack([across, down, across + down], axis=2).astype(np.uint8)


def test_inside_the_frame_it_is_a_slice() -> None:
    assert np.array_equal(crop(ramp(), Box(20, 15, 20, 20), 30), ramp()[10:40, 15:45])
    assert np.array_equal(crop(ramp(), Box(20, 15, 20, 20), 20, margin=1), ramp()[15:35, 20:40])


def test_the_longer_side_counts() -> None:
    assert np.array_equal(crop(ramp(), Box(20, 25, 20, 4), 20, margin=1), ramp()[17:37, 20:40])
    assert np.array_equal(crop(ramp(), Box(28, 17, 4, 20), 20, margin=1), ramp()[17:37, 20:40])


@pytest.mark.parametrize("box", [Box(0, 0, 20, 20), Box(60, 0, 20, 20), Box(0, 40, 20, 20), Box(60, 40, 20, 20)])
def test_beyond_the_frame_its_edge_is_repeated(box: Box) -> None:
    wide = np.pad(ramp(), ((5, 5), (5, 5), (0, 0)), mode="edge")
    expected = wide[box.ymin : box.ymin + 30, box.xmin : box.xmin + 30]
    assert np.array_equal(crop(ramp(), box, 30), expected)


def test_shrinking_averages_areas() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    means = pixels.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    shrunk = crop(pixels, Box(0, 0, 64, 64), 16, margin=1)
    assert np.abs(shrunk - means).max() <= 1


def test_enlarging_stays_between_its_neighbours() -> None:
    enlarged = crop(ramp(), Box(30, 20, 10, 10), 96, margin=1)
    assert enlarged[..., 0].min() >= 30
    assert enlarged[..., 0].max() <= 39
    assert (np.diff(enlarged[48, :, 0].astype(int)) >= 0).all()
    assert (np.diff(enlarged[48, :, 0].astype(int)) <= 1).all(), "no steps: interpolated"


@pytest.mark.parametrize("box", [Box(20, 15, 20, 20), Box(-5, -5, 20, 20), Box(30, 20, 8, 8), Box(0, 0, 60, 60)])
def test_out_is_written_into(box: Box) -> None:
    crops = np.zeros((3, 30, 30, 3), np.uint8)
    returned = crop(ramp(), box, 30, out=crops[1])
    assert np.shares_memory(returned, crops)
    assert np.array_equal(crops[1], crop(ramp(), box, 30))
    assert not crops[0].any()
    assert not crops[2].any()


def test_the_frame_is_left_as_it_was() -> None:
    pixels = ramp()
    cut = crop(pixels, Box(20, 15, 20, 20), 30)
    cut[:] = 0
    assert np.array_equal(pixels, ramp())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.tuples(st.integers(0, 200), st.integers(0, 200)),
    st.sampled_from([1, 16, 96]),
)
def test_every_box_with_its_middle_in_the_frame_gives_the_shape(
    size: tuple[int, int], middle: tuple[float, float], sides: tuple[int, int], crop_px: int
) -> None:
    x, y = int(middle[0] * (size[0] - 1)), int(middle[1] * (size[1] - 1))
    box = Box(x - sides[0] // 2, y - sides[1] // 2, *sides)
    pixels = ramp(*size)
    cut = crop(pixels, box, crop_px)
    assert cut.shape == (crop_px, crop_px, 3)
    assert cut.dtype == np.uint8
    assert cut[..., 0].max() <= size[0] - 1, "nothing but what the frame holds"
    assert cut[..., 1].max() <= size[1] - 1


@pytest.mark.parametrize(
    "box", [Box(-200, 10, 20, 20), Box(10, -200, 20, 20), Box(-31, 5, 20, 20), Box(200, 190, 20, 20)]
)
def test_a_box_beyond_the_frame_is_its_edge(box: Box) -> None:
    around = np.pad(ramp(), ((300, 300), (300, 300), (0, 0)), mode="edge")
    left, top = box.xmin - 5 + 300, box.ymin - 5 + 300
    assert np.array_equal(crop(ramp(), box, 30), around[top : top + 30, left : left + 30])
