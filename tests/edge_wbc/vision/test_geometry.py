"""Arithmetic on boxes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_wbc.types import Box
from edge_wbc.vision.geometry import iou, match

BOXES = st.builds(Box, st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 60), st.integers(1, 60))


@pytest.mark.parametrize(
    ("other", "overlap"),
    [
        (Box(0, 0, 10, 10), 1.0),
        (Box(5, 0, 10, 10), 1 / 3),
        (Box(5, 5, 10, 10), 25 / 175),
        (Box(0, 0, 5, 5), 0.25),
        (Box(10, 0, 10, 10), 0.0),
        (Box(0, 50, 10, 10), 0.0),
    ],
)
def test_overlap(other: Box, overlap: float) -> None:
    assert iou(Box(0, 0, 10, 10), other) == pytest.approx(overlap)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(BOXES, BOXES)
def test_overlap_is_symmetric_and_a_fraction(a: Box, b: Box) -> None:
    assert 0 <= iou(a, b) == iou(b, a) <= 1
    assert iou(a, a) == 1


def test_the_best_overlaps_are_matched_first_and_each_once() -> None:
    known = [Box(0, 0, 10, 10), Box(100, 0, 10, 10)]
    found = [Box(3, 0, 10, 10), Box(1, 0, 10, 10), Box(300, 0, 10, 10), Box(100, 1, 10, 10)]
    assert match(found, known, at=0.3) == [(1, 0), (3, 1)]


def test_too_little_overlap_is_no_match() -> None:
    assert match([Box(5, 0, 10, 10)], [Box(0, 0, 10, 10)], at=0.34) == []
    assert match([Box(5, 0, 10, 10)], [Box(0, 0, 10, 10)], at=0.33) == [(0, 0)]
    assert match([], [Box(0, 0, 10, 10)], at=0.1) == []
