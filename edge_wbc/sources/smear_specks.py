"""Red cells, and how anything drawn is laid on the simulated slide."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from edge_wbc.sources.smear_paint import Plane


class Speck(NamedTuple):
    """A red cell or a platelet of the plan."""

    x: int
    y: int
    sprite: int
    mirror: int
    strength: float


def add(canvas: Plane, sprite: Plane, speck: Speck, x: int, y: int, share: float = 1.0) -> None:
    """Add a sprite's density where it lies within the canvas, whose left upper corner is at (x, y).

    :param share: how much of the fainter counts where something is already.
    """
    if speck.mirror & 4:
        sprite = sprite.swapaxes(-1, -2)
    sprite = sprite[..., :: 1 - 2 * (speck.mirror & 1), :: 1 - (speck.mirror & 2)]
    (height, width), (tall, wide) = canvas.shape[-2:], sprite.shape[-2:]
    left, top = speck.x - x - wide // 2, speck.y - y - tall // 2
    x0, x1, y0, y1 = max(0, left), min(width, left + wide), max(0, top), min(height, top + tall)
    if x0 < x1 and y0 < y1:
        piece = sprite[..., y0 - top : y1 - top, x0 - left : x1 - left]
        if speck.strength != 1:
            piece = np.float32(speck.strength) * piece
        place = canvas[..., y0:y1, x0:x1]
        if share == 1:
            place += piece
        else:
            place[...] = np.maximum(place, piece) + np.float32(share) * np.minimum(place, piece)


@functools.cache
def red_cells() -> list[Plane]:
    """Red cells: relative thickness, 1 at the thick ring."""
    rng = np.random.default_rng(30)
    side = 109
    down, across = np.mgrid[:side, :side].astype(np.float32) - side // 2
    sprites = []
    for _ in range(64):
        turn, stretch, radius = rng.uniform(0, np.pi), rng.uniform(0.84, 1.0), rng.uniform(39, 47)
        u = (across * np.cos(turn) + down * np.sin(turn)) / radius
        v = (down * np.cos(turn) - across * np.sin(turn)) / (radius * stretch)
        angle, away = np.arctan2(v, u), np.hypot(u, v)
        for waves in (2, 3, 4, 5):
            away *= 1 + rng.normal(0, 0.02) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
        pallor, hollow = rng.uniform(0.3, 1.1), rng.uniform(0.36, 0.52)
        shape = np.clip((1 - away) * radius / 2.5 + 0.5, 0, 1)
        profile = 0.82 + 0.2 * away**3 - pallor * 0.8 * np.exp(-((away / hollow) ** 4) / 1.5)
        sprites.append((shape * np.clip(profile, 0.06, 1.2)).astype(np.float32))
    return sprites
