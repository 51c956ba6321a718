"""How far the stage moved between two frames."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_wbc.types import Pixels
from edge_wbc.vision.motion import Displacement, displacement, reduce, reduced_scale, view
from tests.data import NO_REAL, REAL


def between(first: Pixels, second: Pixels) -> Displacement:
    """In frame pixels."""
    dx, dy, certainty = displacement(view(reduce(first)), view(reduce(second)))
    scale = reduced_scale(*first.shape[:2])
    return Displacement(dx / scale, dy / scale, certainty)


def off(found: Displacement, dx: float, dy: float) -> float:
    return float(np.hypot(found.dx - dx, found.dy - dy))


@pytest.mark.parametrize(
    "moved", [(0, 0), (1, 0), (7, -3), (40, 40), (-120, 95), (320, 0), (0, -240), (250, 180), (-300, -60)]
)
def test_a_known_way_is_measured(window: Callable[..., Pixels], moved: tuple[int, int]) -> None:
    found = between(window(800, 480), window(800 + moved[0], 480 + moved[1]))
    assert found.certain
    assert off(found, *moved) < 1.5


@pytest.mark.parametrize("width", [320, 1920])
def test_frames_of_other_sizes(window: Callable[..., Pixels], width: int) -> None:
    size = (width, width * 3 // 4)
    first, second = (cv2.resize(window(x, 300), size) for x in (500, 660))
    found = between(first, second)
    assert found.certain
    assert off(found, 160 * width / 640, 0) < 2 * width / 640


def test_noise_blur_and_a_change_of_light_do_not_matter(window: Callable[..., Pixels]) -> None:
    first, second = window(600, 300), window(720, 380, 6.0)
    dim = np.linspace(0.6, 0.8, 640, dtype=np.float32)[None, :, None]
    changed = (cv2.GaussianBlur(second, (0, 0), 3) * dim).astype(np.uint8)
    found = between(first, changed)
    assert found.certain
    assert off(found, 120, 80) < 2


def test_other_places_are_not_taken_for_this_one(window: Callable[..., Pixels]) -> None:
    places = [(x, y) for x in (0, 760, 1520) for y in (0, 800)]
    views = [view(reduce(window(*place))) for place in places]
    found = [displacement(a, b) for i, a in enumerate(views) for b in views[:i]]
    assert len(found) == 15
    assert max(one.certainty for one in found) < 1


def test_one_nucleus_on_another_is_not_enough(window: Callable[..., Pixels]) -> None:
    first, second = window(0, 0), window(1520, 900)
    for frame, (x, y) in ((first, (200, 200)), (second, (260, 230))):
        cv2.circle(frame, (x, y), 45, (120, 20, 60), cv2.FILLED)
        cv2.circle(frame, (x + 60, y + 40), 35, (120, 20, 60), cv2.FILLED)
    assert not between(first, second).certain


@pytest.mark.parametrize("grey", [0, 3, 128, 255])
def test_where_nothing_is_seen_nothing_is_certain(window: Callable[..., Pixels], grey: int) -> None:
    rng = np.random.default_rng(grey)
    blank = np.clip(grey + rng.normal(0, 1.5, (480, 640, 3)), 0, 255).astype(np.uint8)
    assert not between(blank, blank).certain
    assert not between(window(0, 0), blank).certain


def test_frames_of_two_sizes_have_no_way_between_them(window: Callable[..., Pixels]) -> None:
    assert between(window(0, 0), window(0, 0)[:400]).certainty == 0


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason=NO_REAL)
def test_real_photographs_under_a_moving_window() -> None:
    rng = np.random.default_rng(3)
    views = []
    for path in sorted((REAL / "chula" / "images").iterdir())[::50]:
        photograph = cv2.imread(str(path))
        assert photograph is not None
        (left, top), (x, y) = rng.integers(0, (320, 200), (2, 2)).tolist()
        pieces = [photograph[b : b + 400, a : a + 640] for a, b in ((left, top), (x, y))]
        noisy = [np.clip(piece + rng.normal(0, 4, piece.shape), 0, 255).astype(np.uint8) for piece in pieces]
        found = between(*noisy)
        assert found.certain
        assert off(found, x - left, y - top) < 3
        views.append(view(reduce(noisy[0])))
    assert len(views) > 4
    assert not any(displacement(a, b).certain for i, a in enumerate(views) for b in views[:i])
