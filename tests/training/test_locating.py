"""How well white cells are located, on a part of every set; on all of it: ``python -m training.locating``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from edge_wbc.types import Box, Cell, Pixels
from tests.data import NO_REAL, REAL
from training.fields import CHOSEN, JUDGED, Field, fields
from training.locating import examine, in_the_middle, montage, rows

real_data = [pytest.mark.real_data, pytest.mark.skipif(not REAL.is_dir(), reason=NO_REAL)]


def one_in(every: int, source: str) -> Iterator[Field]:
    """Of a set's images, from both parts."""
    return islice(fields(REAL, [source]), 0, None, every)


@pytest.mark.parametrize(
    ("source", "every", "recall", "precision"),
    [
        pytest.param("bccd", 3, 0.98, 0.95, marks=real_data),
        pytest.param("chula", 4, 0.97, 0.85, marks=real_data),
        pytest.param("raabin", 4, 0.97, 0.95, marks=real_data),
        pytest.param("pbc", 4, 0.99, None, marks=real_data),
    ],
)
def test_cells_of_every_laboratory_are_located(source: str, every: int, recall: float, precision: float | None) -> None:
    """A little below what the whole sets reach, for a part of them varies more."""
    found = list(examine(one_in(every, source)))
    right, missed = (
        sum(len(boxes) for boxes in column) for column in ((f.right for f in found), (f.missed for f in found))
    )
    false = sum(len(one.false) for one in found)
    assert right + missed > 60
    assert right / (right + missed) >= recall
    assert precision is None or right / (right + false) >= precision


def field(boxes: tuple[Box, ...] | None, part: str = CHOSEN) -> Field:
    return Field("set", part, "image", np.zeros((100, 100, 3), np.uint8), boxes)


def test_right_missed_false_and_struck_are_told_apart(tmp_path):
    known, false, real = Box(10, 10, 20, 20), Box(60, 10, 20, 20), Box(60, 60, 20, 20)
    struck = tmp_path / "struck.csv"
    struck.write_text("set,image,xmin,ymin,width,height\nset,image,62,60,20,20\n")

    def locator(pixels: Pixels) -> list[Cell]:
        return [Cell(box, 1.0) for box in (known, false, real)]

    missed = Box(10, 70, 20, 20)
    (one,) = examine([field((known, missed))], locator, struck)
    assert (one.right, one.missed, one.false, one.struck) == ([known], [missed], [false], [real])
    (row,) = rows([one])
    assert (row.boxes, row.recall, row.precision, row.precision_struck) == (2, 1 / 2, 1 / 3, 1 / 2)


def test_parts_of_a_set_are_told_apart():
    images = [field((), CHOSEN), field((), JUDGED), field((), CHOSEN)]
    assert [(row.part, row.images) for row in rows(examine(images, lambda pixels: []))] == [(CHOSEN, 2), (JUDGED, 1)]


@pytest.mark.parametrize(
    ("box", "is_it"),
    [
        (Box(30, 30, 40, 40), True),
        (Box(40, 40, 40, 40), True),
        (Box(0, 0, 45, 45), False),
        (Box(45, 45, 10, 10), False),
        (Box(30, 0, 70, 50), False),
    ],
)
def test_the_one_cell_of_an_image_is_in_its_middle(box: Box, is_it: bool) -> None:
    assert in_the_middle(box, 100, 100) is is_it
    (one,) = examine([field(None)], lambda pixels: [Cell(box, 1.0)])
    assert bool(one.right) is is_it
    assert bool(one.missed) is not is_it


def test_a_montage_is_white_where_nothing_is():
    picture = montage([np.zeros((10, 10, 3), np.uint8)] * 3, columns=2)
    assert picture.shape == (20, 20, 3)
    assert picture[:, :10].max() == picture[:10].max() == 0
    assert picture[10:, 10:].min() == 255
