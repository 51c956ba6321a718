"""Simulated frames as JPEG files, as a camera's software would leave them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2

from edge_wbc.sources.base import open_source
from edge_wbc.types import Frame


def draw(uri: str, folder: Path, most: int | None = None) -> list[Path]:
    """Fill a folder that is not there yet with a simulated source's frames, so many at most."""
    folder.mkdir()
    paths = []
    for frame in islice(open_source(uri).frames(), most):
        if isinstance(frame, Frame):
            paths.append(folder / f"{frame.index:04d}.jpg")
            cv2.imwrite(str(paths[-1]), frame.pixels)
    return paths
