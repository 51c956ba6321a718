"""The mosaic of a recorded session: ``mosaic.jpg``, and in ``mosaic.json`` where its cells lie in it.

    {"slide_px": 4.0, "corner": [-12.3, 0.0], "elsewhere": 0, "cells": [{"cell": 1, "box": [20, 31, 15, 14]}, …]}

``slide_px``: slide pixels in one of the picture's; ``corner``: its left upper corner in slide pixels, as ``place`` of
cells has them unless most of what was seen does not hang together with the first frame; ``elsewhere``: counted cells
that are not in it.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from edge_wbc.draw import draw_mosaic
from edge_wbc.errors import OutputFailed, SessionError, UsageError, reason
from edge_wbc.files import replace_whole
from edge_wbc.sessions.schema import reading
from edge_wbc.types import Box, CountedCell, Pixels
from edge_wbc.vision.mosaic import Mosaic
from edge_wbc.vision.slide_map import SlideMap

PICTURE, CELLS = "mosaic.jpg", "mosaic.json"
QUALITY = 90
ENLARGED_TO = 16_000_000
"""Pixels up to which an exported mosaic is shown twice as large, so that numbers stand beside cells."""
SUFFIXES = (".png", ".jpg", ".jpeg")


def keep(folder: Path, made: Mosaic, slide: SlideMap) -> None:
    """Write a session's mosaic into its folder.

    :raises OSError: it can't be written.
    """
    _, data = cv2.imencode(".jpg", made.picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    about = {
        "slide_px": round(1 / made.scale, 3),
        "corner": [round(value, 1) for value in made.corner],
        "elsewhere": slide.elsewhere,
        "cells": [{"cell": cell.number, "box": list(made.box(cell.box))} for cell in slide.cells],
    }
    replace_whole(folder / CELLS, json.dumps(about).encode())
    replace_whole(folder / PICTURE, data.tobytes())


def forget(folder: Path) -> bool:
    """Remove a session's mosaic; whether there was one.

    :raises OSError: it can't be removed.
    """
    was = (folder / PICTURE).is_file()
    for name in (PICTURE, CELLS):
        (folder / name).unlink(missing_ok=True)
    return was


def path_of(folder: Path) -> Path | None:
    """A session's mosaic, if it has one."""
    path = folder / PICTURE
    return path if path.is_file() else None


def export_mosaic(folder: Path, cells: tuple[CountedCell, ...], to: Path) -> int:
    """Write a session's mosaic with its cells outlined and numbered, and return how many are in it.

    :raises UsageError: not the name of a picture.
    :raises SessionError: it has no mosaic.
    :raises OutputFailed: it can't be written.
    """
    if to.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{to}: not a picture's name; write mosaic:PATH.png or mosaic:PATH.jpg")
    picture, boxes = read(folder)
    labels = {one.number: one.prediction.label for one in cells}
    known = {number: box for number, box in boxes.items() if number in labels}
    factor = 2 if picture.shape[0] * picture.shape[1] * 4 <= ENLARGED_TO else 1
    shown = {number: (Box(*(factor * side for side in box)), labels[number]) for number, box in known.items()}
    size = factor * picture.shape[1], factor * picture.shape[0]
    enlarged = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    drawn = draw_mosaic(enlarged, shown, Counter(labels[number] for number in known))
    _, data = cv2.imencode(to.suffix, drawn)
    try:
        replace_whole(to, data.tobytes())
    except (OSError, ValueError) as error:
        raise OutputFailed(f"{to}: can't be written ({reason(error)}); choose another place") from None
    return len(known)


def read(folder: Path) -> tuple[Pixels, dict[int, Box]]:
    """A session's mosaic, and where cells lie in it, by number.

    :raises SessionError: there is none, or it is damaged.
    """
    if path_of(folder) is None:
        raise SessionError(
            f"session {folder.name}: no mosaic; one is made where frames are followed, and goes with the crops"
        )
    with reading(folder / CELLS):
        about = json.loads((folder / CELLS).read_bytes())
        boxes = {int(one["cell"]): Box(*map(int, one["box"])) for one in about["cells"]}
        picture = cv2.imdecode(np.frombuffer((folder / PICTURE).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError("not a picture")
    return np.asarray(picture, np.uint8), boxes
