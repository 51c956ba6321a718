"""Photographed cells lie on the simulated slide where it says, under the label of their folder."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_wbc.errors import SourceError
from edge_wbc.sources.base import open_source
from edge_wbc.sources.smear_crops import Crops
from edge_wbc.sources.smear_slide import Slide
from edge_wbc.types import Box, Frame
from tests.data import NO_REAL, REAL, class_folders

BLUE, GREEN = (200, 60, 60), (60, 140, 60)


def coloured(root: Path, **colours: tuple[int, int, int]) -> Path:
    """Class folders with three crops each: a disc of the class's colour, beside it a faint red cell."""
    for label, colour in colours.items():
        (root / label).mkdir(parents=True)
        for number in range(3):
            crop = np.full((180, 200, 3), (200, 215, 235), np.uint8)
            cv2.circle(crop, (95 + 5 * number, 90), 30 + number, colour, cv2.FILLED, cv2.LINE_AA)
            cv2.circle(crop, (160, 30), 18, (170, 180, 215), cv2.FILLED, cv2.LINE_AA)
            cv2.imwrite(str(root / label / f"{number}.png"), crop)
    return root


def frames(text: str, stop: int | None = None) -> list[Frame]:
    shown = itertools.islice(open_source(text).frames(), stop)
    return [frame for frame in shown if isinstance(frame, Frame)]


def cut(pixels: np.ndarray, box: Box) -> np.ndarray:
    return pixels[box.ymin : box.ymin + box.height, box.xmin : box.xmin + box.width]


def test_cells_wear_the_label_of_the_folder_their_crop_is_from(tmp_path: Path) -> None:
    folder = coloured(tmp_path, monocyte=BLUE, lymphocyte=GREEN)
    shown = frames(f"smear://?seed=2&cells=12&crops={folder}")
    labels = []
    for frame in shown:
        for cell in frame.truth or ():
            blue, green, _ = np.median(cut(frame.pixels, cell.box).reshape(-1, 3), axis=0)
            assert cell.label == ("monocyte" if blue > green else "lymphocyte")
            labels.append(cell.label)
    assert len(labels) == 12
    assert set(labels) == {"monocyte", "lymphocyte"}


def test_a_box_fits_its_cell_and_the_cell_stands_on_the_slides_own_background(tmp_path: Path) -> None:
    folder = coloured(tmp_path, monocyte=BLUE)
    for frame in frames(f"smear://?seed=2&cells=8&crops={folder}"):
        seen = cv2.GaussianBlur(frame.pixels, (0, 0), 1).astype(int)
        cell_here = (seen[..., 0] - seen[..., 2] > 40).astype(np.uint8)
        for cell in frame.truth or ():
            x, y, width, height = cell.box
            around = cell_here[max(0, y - 12) : y + height + 12, max(0, x - 12) : x + width + 12]
            left, top, wide, high = cv2.boundingRect(around)
            found = left + max(0, x - 12), top + max(0, y - 12), wide, high
            assert found == pytest.approx((x, y, width, height), abs=9)
            corner = np.median(cut(frame.pixels, Box(x, y, 5, 5)).reshape(-1, 3), axis=0)
            assert corner.min() > 150, "no dark rim, no square of the crop's own background"


def test_all_follows_from_the_seed_and_along_any_path(tmp_path: Path) -> None:
    folder = coloured(tmp_path, neutrophil=BLUE, basophil=GREEN)
    text = f"smear://?seed=4&cells=9&path=raster&faults=all&crops={folder}"
    once, again = frames(text, 20), frames(text, 20)
    assert [f.pixels.tobytes() for f in once] == [f.pixels.tobytes() for f in again]
    assert [f.truth for f in once] == [f.truth for f in again]
    assert any(f.truth for f in once)


def test_no_crop_comes_again_before_all_have_come(tmp_path: Path) -> None:
    crops = Crops(coloured(tmp_path, neutrophil=BLUE, basophil=GREEN))
    labels = ["neutrophil"] * 7 + ["basophil"] * 2
    dealt = crops.deal(labels, seed=1)
    assert [path.parent.name for path in dealt] == labels
    assert sorted(Counter(dealt[:7]).values()) == [2, 2, 3]
    assert len(set(dealt[:3])) == 3
    assert dealt == crops.deal(labels, seed=1)


def test_cells_are_as_large_as_drawn_ones_whatever_the_crops_are(tmp_path: Path) -> None:
    folder = coloured(tmp_path, monocyte=BLUE)
    width = [cell.box.width for index in range(8) for cell in Slide(1, 8, crops=Crops(folder)).cells(index)]
    assert 140 < np.median(width) < 200
    for path in folder.rglob("*.png"):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), None, fx=2, fy=2))
    doubled = [cell.box.width for index in range(8) for cell in Slide(1, 8, crops=Crops(folder)).cells(index)]
    assert doubled == pytest.approx(width, rel=0.05)


def test_folders_are_named_as_for_training(tmp_path: Path) -> None:
    class_folders(tmp_path, ("ig", "Erythroblast", "platelet", "leaves"), 1)
    assert Crops(tmp_path).labels == ("immature granulocyte", "erythroblast")
    class_folders(tmp_path / "more", ("immature_granulocyte",), 1)
    assert Crops(tmp_path / "more").labels == ("immature granulocyte",)


@pytest.mark.parametrize("make", [None, "empty", "class without images", "other names"])
def test_a_folder_without_white_cells_is_refused_in_one_line(tmp_path: Path, make: str | None) -> None:
    folder = tmp_path / "crops"
    if make:
        folder.mkdir()
    if make == "class without images":
        (folder / "monocyte").mkdir()
    if make == "other names":
        class_folders(folder, ("leaves", "platelet"), 1)
    with pytest.raises(SourceError, match="folder") as caught:
        open_source(f"smear://?crops={folder}")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_crop_that_shows_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "monocyte").mkdir()
    cv2.imwrite(str(tmp_path / "monocyte" / "empty.png"), np.full((180, 180, 3), 220, np.uint8))
    with pytest.raises(SourceError, match=r"empty\.png: no cell stands out"):
        frames(f"smear://?cells=3&crops={tmp_path}")


@pytest.mark.real_data
@pytest.mark.skipif(not (REAL / "pbc").is_dir(), reason=NO_REAL)
def test_real_cells_are_cut_near_their_middle() -> None:
    crops = Crops(REAL / "pbc")
    assert len(crops.labels) == 7
    labels = [label for label in crops.labels for _ in range(4)]
    for label, path in zip(labels, crops.deal(labels, 1), strict=True):
        edge, od = crops.cell(path)
        wide, high = np.ptp(edge, axis=0)
        assert 60 < min(wide, high) <= max(wide, high) < 235, f"{label} {path.name}"
        assert od.shape[1] == od.shape[2] >= max(wide, high)
        assert od[1, od.shape[1] // 2 - 20 :][:40].mean() > 0.1, "stained in the middle"
        assert od[:, 0].max() == od[:, :, 0].max() == 0, "nothing at the rim"
