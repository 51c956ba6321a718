"""What a real microscope and camera do to a picture, for the simulated one: each fault by itself, all from the seed.

Lengths are slide pixels: those of a 640×480 frame, whatever the frame's size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.sources.smear_paint import Plane
from edge_wbc.types import Frame, KnownCell, Pixels

FAULTS = ("focus", "vibration", "blur", "vignette", "dust", "stain", "noise", "drop", "double")
Delivery: TypeAlias = Literal["new", "lost", "again"]

IN_FOCUS_PX = 1.5
"""A frame blurred less than this, beside the lens' own half pixel to one, counts as in focus. Of 180 photographed
cells on three slides the shipped model named 171 rightly at 0 and at 1.5, 170 at 2, 165 at 3 and 144 at 5."""
CALM_FRAMES = (150, 600)
"""The focus holds this long, wavering by less than ``_WAVER_PX`` …"""
_WAVER_PX = 0.8
DRIFT_PX = (0.03, 0.08)
"""… then drifts away by so much a frame …"""
LOST_PX = (2.0, 5.0)
"""… until it is so bad …"""
NOTICED_FRAMES = (15, 60)
"""… that after so long the user turns the knob, which takes ``_REFOCUS_FRAMES``."""
_REFOCUS_FRAMES = 15
VIBRATION_PX = 0.8
"""Standard deviation of the place across and down; it is rounded to whole pixels."""
SHUTTER = 0.25
"""Of the time between two frames the shutter is open: 8 ms at 30 a second. 5 pixels of blur at 20 a frame."""
VIGNETTE = 0.3
"""Of the light is missing in the corners."""
DUST = 14
"""Specks on the camera."""
STAIN = 0.15
"""Standard deviation of a colour's density, relative; the slide's own variation is 0.04."""
NOISE = 5.0
"""Standard deviation in levels, in place of 1 to 2.2."""
DROP = 0.01
"""How probable it is that a frame, and perhaps some after it, is lost."""
DOUBLE = 0.01
"""How probable it is that the camera's driver gives the last frame again instead of a new one."""
_NOISE_MARGIN_PX = 128


def in_view_and_focus(frame: Frame) -> tuple[KnownCell, ...]:
    """The cells of a simulated frame that anyone should count: wholly in view, the frame in focus.

    A box that touches the frame's edge may be cut off and does not count as wholly in view.
    """
    if frame.defocus_px is not None and frame.defocus_px >= IN_FOCUS_PX:
        return ()
    height, width = frame.pixels.shape[:2]

    def whole(cell: KnownCell) -> bool:
        x, y, wide, high = cell.box
        return x > 0 and y > 0 and x + wide < width and y + high < height

    return tuple(cell for cell in frame.truth or () if whole(cell))


def random(seed: int, fault: str) -> np.random.Generator:
    """A fault's own random numbers: faults do not change each other."""
    return np.random.default_rng((seed, 6, FAULTS.index(fault)))


def defocus(seed: int) -> Iterator[float]:
    """For every frame, how far it is out of focus: deviation of a Gaussian blur, never negative."""
    rng = random(seed, "focus")
    away = 0.0
    while True:
        for _ in range(int(rng.integers(*CALM_FRAMES))):
            away = float(np.clip(away + rng.normal(0, 0.04), -_WAVER_PX, _WAVER_PX))
            yield abs(away)
        drift, lost = rng.uniform(*DRIFT_PX) * rng.choice((-1, 1)), rng.uniform(*LOST_PX)
        while abs(away) < lost:
            away += drift
            yield abs(away)
        for _ in range(int(rng.integers(*NOTICED_FRAMES))):
            yield abs(away)
        turn = (rng.normal(0, 0.2) - away) / _REFOCUS_FRAMES
        for _ in range(_REFOCUS_FRAMES):
            away += turn
            yield abs(away)


def vibration(seed: int) -> Iterator[tuple[int, int]]:
    """For every frame, how far the slide is from where the stage should have it."""
    rng = random(seed, "vibration")
    while True:
        across, down = np.rint(rng.normal(0, VIBRATION_PX, 2)).astype(int).tolist()
        yield across, down


def delivery(seed: int, faults: frozenset[str]) -> Iterator[Delivery]:
    """For every frame, what becomes of it on the way; the first comes as it is."""
    dropping, doubling = random(seed, "drop"), random(seed, "double")
    yield "new"
    while True:
        if "drop" in faults and dropping.random() < DROP:
            for _ in range(int(dropping.geometric(0.5))):
                yield "lost"
        yield "again" if doubling.random() < DOUBLE and "double" in faults else "new"


def lamp(light: Pixels, seed: int, faults: frozenset[str]) -> Pixels:
    """The empty field with what always darkens it: vignette and dust, which stay where they are in every frame.

    :param light: the empty field without, (height, width, 3).
    """
    height, width = light.shape[:2]
    share = np.ones((height, width), np.float32)
    if "vignette" in faults:
        across, down = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
        share -= np.float32(VIGNETTE / 2) * (across**2 + down[:, None] ** 2)
    if "dust" in faults:
        share *= _dust(width, height, random(seed, "dust"))
    return np.asarray(light * share[..., None], np.float32).astype(np.uint8)


def _dust(width: int, height: int, rng: np.random.Generator) -> Plane:
    """Part of the light that passes: blurred specks, most of them small and faint."""
    clear = np.ones((height, width), np.float32)
    for _ in range(DUST):
        radius, stretch, turn, dark = rng.gamma(2, 4) + 2, rng.uniform(0.5, 1), rng.uniform(0, 180), rng.beta(2, 6)
        middle = (int(rng.integers(width)), int(rng.integers(height)))
        speck = np.zeros_like(clear)
        cv2.ellipse(speck, middle, (round(radius), max(1, round(radius * stretch))), turn, 0, 360, float(dark), -1)
        clear *= 1 - cv2.GaussianBlur(speck, (0, 0), 1 + radius / 5)
    return clear


def stain(seed: int) -> Pixels:
    """A table (256, 1, 3): what becomes of light that got through a slide stained as usual, per colour."""
    factor = np.maximum(0.5, random(seed, "stain").normal(1, STAIN, 3))
    return np.rint(255 * (np.arange(256)[:, None, None] / 255) ** factor).astype(np.uint8)


def camera_noise(seed: int, width: int, height: int) -> npt.NDArray[np.int8]:
    """More noise than a frame needs: (height + 128, width + 128, 3); cut a frame from another place each time."""
    rng = random(seed, "noise")
    shape = height + _NOISE_MARGIN_PX, width + _NOISE_MARGIN_PX, 3
    return np.asarray(np.rint(rng.standard_normal(shape, np.float32) * np.float32(NOISE)), np.int8)


def cut(noise: npt.NDArray[np.int8], field: tuple[int, int], seed: int, exposure: int) -> npt.NDArray[np.int8]:
    """One photograph's part of :func:`camera_noise`."""
    across, down = np.random.default_rng((seed, 7, exposure)).integers(0, _NOISE_MARGIN_PX, 2)
    return noise[down : down + field[1], across : across + field[0]]


def moved(pixels: Pixels, step: tuple[int, int]) -> Pixels:
    """Blurred by a stage that moves by ``step`` from frame to frame while the shutter is open."""
    across, down = step[0] * SHUTTER, step[1] * SHUTTER
    if max(abs(across), abs(down)) < 0.5:
        return pixels
    reach_x, reach_y = int(np.ceil(abs(across) / 2)), int(np.ceil(abs(down) / 2))
    line = np.zeros((2 * reach_y + 1, 2 * reach_x + 1), np.float32)
    for share in np.linspace(-0.5, 0.5, 4 * (reach_x + reach_y) + 1):
        x, y = reach_x + share * across, reach_y + share * down
        left, top = int(x), int(y)
        for a, b, weight in (
            (left, top, (left + 1 - x) * (top + 1 - y)),
            (left + 1, top, (x - left) * (top + 1 - y)),
            (left, top + 1, (left + 1 - x) * (y - top)),
            (left + 1, top + 1, (x - left) * (y - top)),
        ):
            if weight:
                line[b, a] += weight
    return np.asarray(cv2.filter2D(pixels, -1, line / line.sum()), np.uint8)


def blurred(pixels: Pixels, defocus_px: float) -> Pixels:
    """Out of focus; what blurs a lot is computed at half the size."""
    if defocus_px < 0.3:
        return pixels
    if defocus_px < 2:
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), defocus_px), np.uint8)
    height, width = pixels.shape[:2]
    half = cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    half = cv2.GaussianBlur(half, (0, 0), np.sqrt(defocus_px**2 - 0.75) / 2)
    return np.asarray(cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
