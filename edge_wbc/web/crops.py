"""The crops of many cells as one picture: a page of 10,000 cells asks for 160 pictures and not for 10,000."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_wbc.sessions.schema import opened
from edge_wbc.types import Pixels

ACROSS = 8
MOST = 64
"""Cells in a sheet: 512 × 512 pixels of crops of 64."""
QUALITY = 95
"""Of JPEG: crops as the network saw them, to the eye. WebP of the same look takes ten times as long to write."""
_BLANK, _INK = 224, (150, 150, 150)


def sheet(folder: Path, numbers: Sequence[int]) -> tuple[bytes, bool]:
    """The crops of these cells in their order, eight a row; where a cell has none, a crossed square.

    :returns: a JPEG, and whether each cell has a crop.
    :raises SessionError: the session can't be read.
    """
    with opened(folder) as connection:
        (size,) = connection.execute("SELECT size_px FROM session").fetchone()
        found = _crops(connection, numbers, int(size))
    rows = -(-len(numbers) // ACROSS)
    picture = np.full((rows * size, min(len(numbers), ACROSS) * size, 3), _BLANK, np.uint8)
    for i, number in enumerate(numbers):
        y, x = (size * at for at in divmod(i, ACROSS))
        square = picture[y : y + size, x : x + size]
        if number in found:
            square[:] = found[number]
        else:
            cv2.line(square, (size // 4, size // 4), (3 * size // 4, 3 * size // 4), _INK, 2, cv2.LINE_AA)
            cv2.line(square, (size // 4, 3 * size // 4), (3 * size // 4, size // 4), _INK, 2, cv2.LINE_AA)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes(), len(found) == len(set(numbers))


def _crops(connection: sqlite3.Connection, numbers: Sequence[int], size: int) -> Mapping[int, Pixels]:
    """By number, of several sightings the sharpest."""
    these = f"({', '.join('?' * len(numbers))})"
    found: dict[int, Pixels] = {}
    for query in (
        f"SELECT cell, pixels FROM crops WHERE cell IN {these}",
        f"SELECT cell, crop, max(weight) FROM sightings WHERE cell IN {these} GROUP BY cell",
    ):
        for number, pixels, *_ in connection.execute(query, numbers):
            found[number] = np.frombuffer(pixels, np.uint8).reshape(size, size, 3)
    return found
