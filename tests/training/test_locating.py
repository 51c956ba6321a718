"""White cells are located on real and simulated slides of several laboratories, by one set of settings."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from edge_wbc.types import Box, Cell
from tests.data import NO_REAL, REAL
from training.fields import CHOSEN, JUDGED, Field, fields
from training.locating import examine, in_the_middle, rows, struck_boxes

needs_real = [pytest.mark.real_data, pytest.mark.skipif(not REAL.is_dir(), reason=NO_REAL)]


@pytest.mark.parametrize(
    ("name", "every", "most", "recall", "precision"),
    [
        pytest.param("bccd", 1, None, 0.99, 0.97, marks=needs_real),
        pytest.param("chula", 3, None, 0.98, 0.92, marks=needs_real),
        pytest.param("raabin", 1, None, 0.985, 0.97, marks=needs_real),  # its four missed boxes hold no white cell
        pytest.param("pbc", 4, None, 0.995, None, marks=needs_real),
        ("magenta", 1, 40, 0.95, 0.95),
        ("touching", 1, 30, 0.85, 0.93),
    ],
)
def test_cells_are_found_and_little_else(
    name: str, every: int, most: int | None, recall: float, precision: float | None
) -> None:
    found = list(examine(islice(fields(REAL, [name]), 0, most, every)))
    right, missed, false = (sum(len(getattr(one, kind)) for one in found) for kind in ("right", "missed", "false"))
    assert right + missed >= 40
    assert right / (right + missed) >= recall
    assert precision is None or right / (right + false) >= precision


def image(boxes: tuple[Box, ...] | None, part: str = CHOSEN) -> Field:
    return Field("bccd", part, "a", np.full((100, 100, 3), 200, np.uint8), boxes)


def test_what_is_right_missed_false_and_struck_is_told_apart(tmp_path) -> None:
    listed = tmp_path / "unlabelled.csv"
    listed.write_text("set,image,xmin,ymin,width,height\nbccd,a,60,60,20,20\n")
    cells = [Cell(Box(*box), 0.5) for box in ((1, 0, 20, 20), (61, 60, 20, 20), (0, 60, 20, 20))]
    images = [image((Box(0, 0, 20, 20), Box(60, 0, 20, 20))), image((Box(0, 0, 20, 20),), JUDGED)]
    first, second = list(examine(images, lambda pixels: cells, listed))
    assert [len(kind) for kind in first[1:5]] == [1, 1, 1, 1]
    assert first.missed == [Box(60, 0, 20, 20)]
    assert second.missed == []
    table = rows([first, second])
    assert [(row.part, row.recall, row.precision, row.precision_struck) for row in table] == [
        (CHOSEN, 1 / 2, 1 / 3, 1 / 2),
        (JUDGED, 1, 1 / 3, 1 / 2),
    ]


def test_the_one_cell_of_an_image_is_in_its_middle() -> None:
    assert in_the_middle(Box(30, 30, 40, 40), 100, 100)
    assert not in_the_middle(Box(55, 30, 40, 40), 100, 100), "beside it"
    assert not in_the_middle(Box(45, 45, 10, 10), 100, 100), "a speck"
    beside, middle = Cell(Box(0, 0, 20, 20), 0.9), Cell(Box(30, 30, 40, 40), 0.5)
    (found,) = examine([image(None)], lambda pixels: [beside, middle])
    assert (found.right, found.missed) == ([middle.box], []), "another cell may be more prominent"


def test_every_struck_box_is_listed_once_and_lies_in_its_image() -> None:
    listed = struck_boxes()
    assert sum(map(len, listed.values())) > 40
    for boxes in listed.values():
        assert len(set(boxes)) == len(boxes)
        assert all(min(box) >= 0 and box.width > 20 and box.height > 20 for box in boxes)
