"""How sharp a cell is seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_wbc.types import Box, KnownCell, Pixels
from edge_wbc.vision.sharpness import sharpness

Ground = tuple[Pixels, tuple[KnownCell, ...]]


def test_less_focus_is_less_sharp(ground: Ground) -> None:
    pixels, (cell, *_) = ground
    found = [sharpness(cv2.GaussianBlur(pixels, (0, 0), blur), cell.box) for blur in (0.3, 1.0, 2.0, 4.0, 8.0)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 1.5 * found[2] > 0


def test_light_and_magnification_hardly_matter(ground: Ground) -> None:
    pixels, (cell, *_) = ground
    whole = sharpness(pixels, cell.box)
    assert sharpness((pixels * 0.6).astype(np.uint8), cell.box) == pytest.approx(whole, rel=0.1)
    larger = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert sharpness(larger, Box(*(2 * length for length in cell.box))) == pytest.approx(whole, rel=0.1)


def test_nothing_is_not_sharp() -> None:
    assert sharpness(np.full((40, 40, 3), 90, np.uint8), Box(5, 5, 20, 30)) == 0
