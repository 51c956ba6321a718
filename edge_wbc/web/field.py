"""The field around a cell as a picture: its frame read again, or its part of the recorded mosaic."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np

from edge_wbc.errors import SourceError
from edge_wbc.sessions.mosaic import path_of
from edge_wbc.sessions.mosaic import read as read_mosaic
from edge_wbc.sources.files import IMAGE_SUFFIXES, read_image
from edge_wbc.sources.tiff import page_count
from edge_wbc.types import Box, CountedCell, Pixels
from edge_wbc.web.site import Unknown

FRAME, MOSAIC = "frame", "mosaic"
MOST_PX = 1600
"""Longest side of a field that leaves."""
QUALITY = 92
PART_PX = (400, 300)
"""Part of a mosaic that is shown, where a frame is 160 pixels across; enlarged twice."""
_ONE_AT_A_TIME = threading.Lock()
"""The largest frame takes 0.2 GB."""


def field(folder: Path, cell: CountedCell) -> tuple[bytes, str]:
    """The field with the cell marked, at most `MOST_PX` long.

    What a file holds leaves only as far as OpenCV makes a picture of it.

    :returns: a JPEG, and what it is of: `FRAME` or `MOSAIC`.
    :raises Unknown: neither the frame's file nor a mosaic that shows the cell is there; says why.
    :raises SessionError: the mosaic is damaged.
    """
    with _ONE_AT_A_TIME:
        of_file = _of_file(cell)
        picture, box = of_file or _of_mosaic(folder, cell)
    _mark(picture, box)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes(), MOSAIC if of_file is None else FRAME


def _of_file(cell: CountedCell) -> tuple[Pixels, Box] | None:
    """The frame of an image file that is still there, with as much of it around the box as when it was counted."""
    path, box = Path(cell.frame.origin), cell.cell.box
    if "://" in cell.frame.origin or path.suffix.lower() not in IMAGE_SUFFIXES:
        return None
    try:
        if not path.is_file() or page_count(path) > 1:  # which page it was is not recorded
            return None
        pixels = read_image(path)
    except (SourceError, OSError, ValueError):
        return None
    height, width = pixels.shape[:2]
    if box.xmin + box.width > width or box.ymin + box.height > height:
        return None
    scale = min(1.0, MOST_PX / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(pixels).copy(), Box(*(round(side * scale) for side in box))


def _of_mosaic(folder: Path, cell: CountedCell) -> tuple[Pixels, Box]:
    if path_of(folder) is None:
        raise Unknown(f"the field of cell {cell.number} was not kept: its frame is in no file that is still there")
    picture, boxes = read_mosaic(folder)
    if (box := boxes.get(cell.number)) is None:
        raise Unknown(f"the field of cell {cell.number} is not in the mosaic; its place on the slide is not known")
    (width, height), (down, across) = PART_PX, picture.shape[:2]
    left = min(max(0, box.xmin + box.width // 2 - width // 2), max(0, across - width))
    top = min(max(0, box.ymin + box.height // 2 - height // 2), max(0, down - height))
    part = picture[top : top + height, left : left + width]
    if not part.size:
        raise Unknown(f"the field of cell {cell.number} is not in the mosaic; its place on the slide is not known")
    twice = 2 * part.shape[1], 2 * part.shape[0]
    enlarged = np.asarray(cv2.resize(part, twice, interpolation=cv2.INTER_CUBIC), np.uint8)
    return enlarged, Box(2 * (box.xmin - left), 2 * (box.ymin - top), 2 * box.width, 2 * box.height)


def _mark(picture: Pixels, box: Box) -> None:
    """A square around the cell, of no class's colour: a blind reader sees it too. Changes the picture."""
    side = round(1.5 * max(box.width, box.height)) + 8
    x, y = box.xmin + box.width // 2 - side // 2, box.ymin + box.height // 2 - side // 2
    for colour, thickness in (((255, 255, 255), 5), ((0, 0, 0), 2)):
        cv2.rectangle(picture, (x, y), (x + side, y + side), colour, thickness, cv2.LINE_AA)
