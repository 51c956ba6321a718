"""A piece of a simulated smear, larger than a frame, and the frames that a stage sees of it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_wbc.sources.smear_slide import Slide
from edge_wbc.types import Frame, KnownCell, Pixels

SIZE = (640, 480)
GROUND = (2240, 1440)


@pytest.fixture(scope="session")
def ground() -> tuple[Pixels, tuple[KnownCell, ...]]:
    """2240×1440 pixels, with three white cells or so."""
    slide = Slide(1000, 6, GROUND)
    return slide.render(0, 0)


@pytest.fixture
def window(ground: tuple[Pixels, tuple[KnownCell, ...]]) -> Callable[..., Pixels]:
    """Cuts a frame with its corner at (x, y); each has its own noise."""
    rng = np.random.default_rng(5)
    field = rng.standard_normal((SIZE[1] + 64, SIZE[0] + 64, 3), np.float32)

    def cut(x: int, y: int, noise: float = 2.0) -> Pixels:
        piece = ground[0][y : y + SIZE[1], x : x + SIZE[0]]
        down, across = rng.integers(0, 64, 2).tolist()
        own = (noise * field[down : down + SIZE[1], across : across + SIZE[0]]).astype(np.int8)
        noisy: Pixels = cv2.add(piece, own, dtype=cv2.CV_8U)
        return noisy

    return cut


@pytest.fixture
def frame_at(window: Callable[..., Pixels]) -> Callable[..., Frame]:
    """The same as frames, numbered from 0."""
    numbers = iter(range(10**9))
    return lambda x, y: Frame(window(x, y), next(numbers), 0, "test", None)
