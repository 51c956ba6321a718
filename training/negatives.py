"""What is not a white cell: red cells, background, debris, and the locator's own mistakes on real fields."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edge_wbc.sources.files import read_image
from edge_wbc.types import NOT_A_CELL, Box, Pixels
from edge_wbc.vision.crop import MARGIN
from edge_wbc.vision.geometry import iou
from edge_wbc.vision.locate import locate, locate_one
from training.datasets import Sample, corners, read_class_folders, voc_boxes

AROUND = 0.15
"""Kept clear around a white cell, in lengths of its box."""
FAINT = 70 / 255
"""In fields emptied of annotated cells, what the locator still finds above this score may be a cell without a box."""
ANYWHERE = 3
"""Boxes tried a frame at places of no particular interest; those that show a white cell are left out."""
EVERY_PBC = 8
"""One in so many Barcelona images gives such a box."""
SIDES = (0.08, 0.35)
"""Least and greatest side of such a box, in lengths of the frame's longer side."""


def read_negatives(root: Path) -> list[Sample]:
    """Boxes that hold no white cell, in the fields and images of a folder laid out as for training.

    The same files give the same boxes. Groups are those of the cells, so that locked photographs stay locked.
    """
    samples: list[Sample] = []
    for source, path, group, cells in _frames(root):
        pixels = read_image(path)
        if source == "pbc":
            taken, boxes = [locate_one(pixels).box], []
        else:
            taken = [*cells, *(cell.box for cell in locate(pixels))]
            boxes = _mistakes(pixels, taken)
        boxes += _anywhere(pixels, ANYWHERE, path.name)
        clear = [box for box in boxes if not any(iou(_wider(box, (MARGIN - 1) / 2), cell) for cell in taken)]
        samples += [Sample(path, NOT_A_CELL, source, group, box) for box in clear]
    return samples


def _frames(root: Path) -> Iterator[tuple[str, Path, str, list[Box]]]:
    """Source, path, group and annotated cells of every frame to take boxes from."""
    if (root / "bccd" / "labels.csv").is_file():
        with (root / "bccd" / "labels.csv").open(newline="") as lines:
            for row in csv.DictReader(lines):
                cells = voc_boxes(root / "bccd" / "annotations" / f"{row['image']}.xml")
                yield "bccd", root / "bccd" / "images" / f"{row['image']}.jpg", f"bccd/{row['group']}", cells
    for source in ("chula", "raabin"):
        if (root / source / "boxes.csv").is_file():
            fields: dict[str, list[Box]] = defaultdict(list)
            groups: dict[str, str] = {}
            with (root / source / "boxes.csv").open(newline="") as lines:
                for row in csv.DictReader(lines):
                    fields[row["image"]].append(corners(row))
                    groups[row["image"]] = f"{source}/{row.get('slide') or row['image']}"
            for image, cells in sorted(fields.items()):
                yield source, root / source / "images" / image, groups[image], cells
    if (root / "pbc").is_dir():
        for sample in read_class_folders(root / "pbc", "pbc")[::EVERY_PBC]:
            yield "pbc", sample.path, sample.group, []


def _mistakes(pixels: Pixels, taken: Sequence[Box]) -> list[Box]:
    """What the locator finds where every white cell is painted over."""
    emptied = pixels.copy()
    colour = np.median(pixels.reshape(-1, 3), axis=0)
    for box in (_wider(cell, AROUND) for cell in taken):
        emptied[max(0, box.ymin) : box.ymin + box.height, max(0, box.xmin) : box.xmin + box.width] = colour
    return [cell.box for cell in locate(emptied) if cell.score < FAINT]


def _anywhere(pixels: Pixels, count: int, name: str) -> list[Box]:
    """Squares at places that follow from the file's name."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    height, width = pixels.shape[:2]
    boxes = []
    for _ in range(count):
        side = round(rng.uniform(*SIDES) * max(height, width))
        boxes.append(Box(int(rng.integers(0, width - side)), int(rng.integers(0, max(1, height - side))), side, side))
    return boxes


def _wider(box: Box, by: float) -> Box:
    more = round(by * max(box.width, box.height))
    return Box(box.xmin - more, box.ymin - more, box.width + 2 * more, box.height + 2 * more)
