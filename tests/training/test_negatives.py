from __future__ import annotations

import csv

import cv2
import pytest

from edge_wbc.sources.files import read_image
from edge_wbc.types import NOT_A_CELL, Box
from edge_wbc.vision.geometry import iou
from edge_wbc.vision.locate import locate
from tests.data import drawn_cell
from training.datasets import lock_groups
from training.negatives import read_negatives


@pytest.fixture
def fields(tmp_path):
    """Six drawn fields laid out like Chula's, each with its cell's box."""
    images = tmp_path / "chula" / "images"
    images.mkdir(parents=True)
    with (tmp_path / "chula" / "boxes.csv").open("w", newline="") as lines:
        rows = csv.writer(lines)
        rows.writerow(["image", "slide", "xmin", "ymin", "xmax", "ymax", "label"])
        for i in range(6):
            cv2.imwrite(str(images / f"{i}.png"), drawn_cell(i, size=(480, 640)))
            rows.writerow([f"{i}.png", f"S-{i % 3}", 285, 205, 355, 275, "monocyte"])
    return tmp_path


def test_no_crop_shows_a_white_cell(fields):
    samples = read_negatives(fields)
    assert len(samples) >= 6
    assert {sample.label for sample in samples} == {NOT_A_CELL}
    for sample in samples:
        seen = Box(sample.box.xmin - 4, sample.box.ymin - 4, sample.box.width + 8, sample.box.height + 8)
        for cell in locate(read_image(sample.path)):
            assert iou(seen, cell.box) == 0


def test_groups_are_the_slides_and_the_boxes_repeat(fields):
    once, again = read_negatives(fields), read_negatives(fields)
    assert {sample.group for sample in once} <= {"chula/S-0", "chula/S-1", "chula/S-2"}
    assert [(s.path, s.box) for s in once] == [(s.path, s.box) for s in again]


def test_what_is_no_cell_locks_no_group(fields):
    assert lock_groups(read_negatives(fields)) == []


def test_the_locators_own_mistakes_are_among_them(fields):
    """A faint violet blob that the locator takes for a cell where no other is in sight."""
    for path in (fields / "chula" / "images").iterdir():
        image = cv2.imread(str(path))
        cv2.circle(image, (560, 100), 22, (205, 165, 185), cv2.FILLED)
        cv2.imwrite(str(path), image)
    blob = Box(538, 78, 44, 44)
    assert any(iou(sample.box, blob) > 0.5 for sample in read_negatives(fields))


def test_a_folder_without_fields_gives_none(tmp_path):
    assert read_negatives(tmp_path) == []
