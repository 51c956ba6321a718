"""What finished sessions say of microscope and stain: focus and stain colour of their crops, taken once each.

Focus: of each crop's middle, where the cell is, the share of contrast that is fine detail (`vision.sharpness`), 0 to 1;
the median over cells. Crops have been brought to the network's size, so the figure is lower than of whole frames and
is only held against sessions with crops of the same size.

Stain: the two chromatic components of the hue-saturation-density model (van der Laak et al., Cytometry 39:275, 2000),
``cx = Dr / D − 1`` and ``cy = (Dg − Db) / (√3 D)``, where the densities are the logarithms of background over pixel and
D their mean: what the colour of the stain is, whatever its amount and the lamp's colour. Of the darkest quarter of each
crop's middle, by green, which is nucleus; the median over pixels, then over cells. Without unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_wbc.control.history import Row, append, rows
from edge_wbc.control.limits import Figure, outside
from edge_wbc.errors import SessionError
from edge_wbc.sessions.archive import RUNNING, Head, head
from edge_wbc.sessions.schema import folders, opened, running
from edge_wbc.types import Box, Pixels
from edge_wbc.vision.crop import MARGIN
from edge_wbc.vision.sharpness import sharpness

MOST_CELLS = 200
"""Of a session, spread over it evenly: a median of so many is known to a tenth of what cells differ by."""
BACKGROUND = 95
"""Percentile of all crops' pixels that is taken for the empty slide, by colour."""
NUCLEUS = 25
"""Percentile of green in a crop's middle, below which is nucleus."""
LEAST_DENSITY = 0.05
"""Below it there is no stain whose colour could be told."""

FOCUS = Figure("focus", "focus", "", 3, 0.01, above=False)
"""A softer slide is outside, a sharper one is not."""
STAIN_X = Figure("stain_x", "stain colour cx", "", 3, 0.01)
STAIN_Y = Figure("stain_y", "stain colour cy", "", 3, 0.01)
FIGURES = (FOCUS, STAIN_X, STAIN_Y)


@dataclass(frozen=True, slots=True)
class Slide:
    """One finished session."""

    number: int
    """Of its row."""
    at_utc: str
    """When it was taken in."""
    session_id: str
    started_utc: str
    source: str
    """What it was seen by, without options: sessions of different ones are not held against each other."""
    size_px: int
    cells: int
    """How many the figures are of; without any they are None: the crops were removed, or nothing was counted."""
    focus: float | None
    stain_x: float | None
    stain_y: float | None
    outside: Mapping[str, str]
    """Figure → what was wrong with it when it was taken in."""

    @property
    def group(self) -> tuple[str, int]:
        """Sessions that are held against one another."""
        return self.source, self.size_px


def slides(place: Path) -> list[Slide]:
    """Every session that was taken in, in that order.

    :raises SessionError: the history can't be read.
    """
    return [_slide(row) for row in rows(place, "session")]


def waiting(place: Path) -> list[Path]:
    """Folders of finished sessions that were not taken in yet, oldest first.

    :raises SessionError: the place or the history can't be read.
    """
    taken = {one.session_id for one in slides(place)}
    return [folder for folder in folders(place) if folder.name not in taken and not running(folder)]


def take_in(place: Path) -> list[str]:
    """Take in the finished sessions that were not yet; returns what is wrong with those that can't be read.

    :raises SessionError: the place or the history can't be read.
    :raises OutputFailed: it can't be written.
    """
    trouble = []
    for folder in waiting(place):
        try:
            found = head(folder)
            figures = None if found.ended == RUNNING else measure(found)
        except SessionError as error:
            trouble.append(str(error))
            continue
        if figures is not None:
            _append(place, found, figures)
    return trouble


def measure(found: Head) -> dict[str, Any]:
    """``cells``, ``focus``, ``stain_x`` and ``stain_y`` of a session, by at most 200 of its cells.

    :raises SessionError: it can't be read.
    """
    crops = _sample(found)
    if not len(crops):
        return {"cells": 0, "focus": None, "stain_x": None, "stain_y": None}
    x, y = stain_of(crops)
    return {"cells": len(crops), "focus": round(focus_of(crops), 5), "stain_x": round(x, 5), "stain_y": round(y, 5)}


def focus_of(crops: Pixels) -> float:
    """Median sharpness of the middle of crops.

    :param crops: uint8 (N, size, size, 3) BGR, N ≥ 1.
    """
    box = _middle(crops.shape[1])
    return float(np.median([sharpness(pixels, box) for pixels in crops]))


def stain_of(crops: Pixels) -> tuple[float, float]:
    """Chromatic components of the nuclei, ``cx`` and ``cy``.

    :param crops: uint8 (N, size, size, 3) BGR, N ≥ 1, of one slide.
    """
    background = np.percentile(crops.reshape(-1, 3), BACKGROUND, axis=0)
    left, top, width, height = _middle(crops.shape[1])
    middles = crops[:, top : top + height, left : left + width].reshape(len(crops), -1, 3)
    return tuple(np.median([_chroma(one, background) for one in middles], axis=0).tolist())


def _chroma(pixels: npt.NDArray[np.uint8], background: npt.NDArray[np.float64]) -> tuple[float, float]:
    """:param pixels: (N, 3) BGR."""
    green = pixels[:, 1]
    nucleus = pixels[green <= np.percentile(green, NUCLEUS)]
    blue, green, red = np.log(np.maximum(background, 1) / np.maximum(nucleus, 1)).T
    density = np.maximum((blue + green + red) / 3, LEAST_DENSITY)
    return float(np.median(red / density - 1)), float(np.median((green - blue) / (math.sqrt(3) * density)))


def _middle(size: int) -> Box:
    """Where in a crop the cell is: its box's longer side as a square."""
    side = round(size / MARGIN)
    return Box((size - side) // 2, (size - side) // 2, side, side)


def _sample(found: Head) -> Pixels:
    """Crops of leukocytes, as the network named them: uint8 (N, size, size, 3), the sharpest of each cell."""
    shape = (found.size_px, found.size_px, 3)
    counted = found.labels.counted
    leukocytes = f"SELECT number FROM cells WHERE label IN ({', '.join('?' * len(counted))})"
    with opened(found.folder) as connection:
        there = f"{leukocytes} AND number IN (SELECT cell FROM crops UNION SELECT cell FROM sightings) ORDER BY number"
        numbers = [number for (number,) in connection.execute(there, counted)]
        chosen = numbers[:: max(1, -(-len(numbers) // MOST_CELLS))]
        one = (
            "SELECT pixels, 1 FROM crops WHERE cell = ?1 UNION ALL "
            "SELECT crop, weight FROM sightings WHERE cell = ?1 ORDER BY 2 DESC LIMIT 1"
        )
        pixels = [connection.execute(one, (number,)).fetchone()[0] for number in chosen]
    return np.stack([np.frombuffer(each, np.uint8).reshape(shape) for each in pixels]) if pixels else _NONE


_NONE = np.empty((0, 0, 0, 3), np.uint8)


def _append(place: Path, found: Head, measured: Mapping[str, Any]) -> None:
    session = found.session
    body = {
        "session_id": session.session_id,
        "started_utc": session.started_utc,
        "source": seen_by(session.source),
        "size_px": found.size_px,
        **measured,
    }
    one, before = _slide(Row(0, "", "session", {**body, "outside": {}})), slides(place)
    said = {figure.name: words for figure in FIGURES if (words := _outside(figure, one, before)) is not None}
    append(place, "session", {**body, "outside": said}, about=session.session_id)


def _outside(figure: Figure, one: Slide, before: Sequence[Slide]) -> str | None:
    value = getattr(one, figure.name)
    return None if value is None else outside(figure, value, inside(figure, one, before))


def inside(figure: Figure, one: Slide, among: Sequence[Slide]) -> list[float]:
    """A figure's values that make its limits: of the sessions that go with one, those that were inside with it."""
    alike = [each for each in among if each.group == one.group and figure.name not in each.outside]
    return [value for each in alike if (value := getattr(each, figure.name)) is not None]


def seen_by(source: str) -> str:
    """A camera by its address without options or who logs in; ``files`` for anything from a disk."""
    scheme, colon, address = source.partition("://")
    if not colon or scheme.lower() == "file":
        return "files"
    return f"{scheme}://{address.partition('?')[0].rpartition('@')[2]}"


def _slide(row: Row) -> Slide:
    body = {name: row.body[name] for name in Slide.__slots__ if name in row.body}
    return Slide(**{**body, "number": row.number, "at_utc": row.at_utc})
