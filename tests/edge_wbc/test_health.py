"""Frozen and resized frames, from drawn ones; times are the frames' own."""

from __future__ import annotations

import numpy as np

from edge_wbc.health import FROZEN_S, MOVING_FRAMES, Health
from edge_wbc.types import Frame

RNG = np.random.default_rng(1)


class Camera:
    """Ten frames a second of one level, with or without noise."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.health = Health("camera://0", self.told.append)
        self.index = 0

    def show(self, frames: int, level: int = 120, noise: int = 3, size: tuple[int, int] = (48, 64)) -> list[str]:
        """The reasons to open it again."""
        reasons = []
        for _ in range(frames):
            pixels = np.full((*size, 3), level, np.uint8) + RNG.integers(0, noise + 1, (*size, 3), np.uint8)
            reasons.append(self.health.look(Frame(pixels, self.index, self.index * 10**8, "camera://0")))
            self.index += 1
        return [reason for reason in reasons if reason]


def test_a_camera_that_is_well_is_left_alone() -> None:
    camera = Camera()
    assert camera.show(300) == []
    assert camera.told == []


def test_a_frozen_picture_is_a_reason() -> None:
    camera = Camera()
    camera.show(50)
    assert camera.show(int(10 * FROZEN_S) - 5, noise=0) == []
    assert camera.show(10, noise=0) == ["the same picture for 10 s"]


def test_one_pixel_that_lives_is_enough() -> None:
    camera = Camera()
    camera.show(50)
    pixels = np.full((48, 64, 3), 100, np.uint8)
    for index in range(300):
        pixels[16, 5, 1] = index % 2
        assert camera.health.look(Frame(pixels.copy(), index, index * 10**8, "")) == ""


def test_a_still_scene_is_left_alone_once_it_was_opened_again() -> None:
    camera = Camera()
    camera.show(50)
    assert len(camera.show(110, noise=0)) == 1
    camera.health.reopened()
    assert camera.show(500, noise=0) == []
    camera.show(MOVING_FRAMES + 5)
    assert len(camera.show(110, noise=0)) == 1, "it moved in between"


def test_a_slow_camera_is_not_frozen() -> None:
    camera = Camera()
    pixels = np.full((48, 64, 3), 100, np.uint8)
    for index in range(8):
        assert camera.health.look(Frame(pixels, index, index * 20 * 10**9, "")) == ""


def test_black_frames_are_left_to_quality() -> None:
    camera = Camera()
    camera.show(20)
    assert camera.show(60, level=0) == []
    assert camera.told == []


def test_another_size_is_told_and_goes_on() -> None:
    camera = Camera()
    camera.show(3)
    assert camera.show(3, size=(96, 128)) == []
    assert camera.told == ["camera://0: frames are now 128×96, before 64×48; the session goes on"]
