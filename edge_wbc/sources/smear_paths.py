"""The ways the stage of the simulated microscope may take: where each frame stands on the slide.

A path is a function from a slide to positions (x, y), one a frame: the left and top edge of the view in whole
slide pixels. It follows from the slide's seed alone; speeds are slide pixels a frame, whatever the pace.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TypeAlias

import numpy as np

from edge_wbc.sources.smear_slide import COLUMNS, Slide

Place: TypeAlias = tuple[float, float]

SPEED_PX = 20
"""Of ``raster`` and ``shuttle``: a cell crosses a field of 640 pixels in 32 frames, about a second at 30 a second."""
ROUNDS = 3
"""Times that ``shuttle`` goes there and back."""
WANDER_PX = (8.0, 40.0)
"""Slowest and fastest of ``wander`` between two stops; cells stay in view from half a second to three."""
EASE_FRAMES = 4
"""A hand reaches a new speed and direction in about twice this many frames."""
STOPS = 0.25
"""How many of the places that ``wander`` steers for it looks at, standing still for …"""
STOP_FRAMES = (5, 45)
"""… this many frames."""
BACK = 0.1
"""How many of them it leaves again for a place it was at before, and returns."""


def fields(slide: Slide) -> Iterator[tuple[int, int]]:
    """Every field once, side by side: frames do not overlap."""
    return (slide.position(index) for index in range(slide.fields))


def raster(slide: Slide) -> Iterator[tuple[int, int]]:
    """Row by row at a steady speed, from half a field before the row to half a field behind it.

    Rows lie half a field apart, so that every cell is wholly in view in at least one.
    """
    left, right, lowest = _bounds(slide)
    pitch = slide.field[1] // 2
    for number, top in enumerate(range(0, lowest + 1, pitch)):
        row = [(x, top) for x in range(left, right + 1, SPEED_PX)]
        row = row if number % 2 == 0 else row[::-1]
        yield from row
        if top < lowest:
            yield from ((row[-1][0], y) for y in range(top + SPEED_PX, top + pitch, SPEED_PX))


def shuttle(slide: Slide) -> Iterator[tuple[int, int]]:
    """There and back over the first row of fields, ``ROUNDS`` times: no new cell after the first way."""
    left, right, _ = _bounds(slide)
    there = [(x, 0) for x in range(left, right + 1, SPEED_PX)]
    for _ in range(ROUNDS):
        yield from there
        yield from reversed(there)


def wander(slide: Slide) -> Iterator[tuple[int, int]]:
    """As a hand moves the stage: unsteady rows three fifths of a field apart, with stops and looks back.

    Nearly every cell is wholly in view at least once: all but 9 of 1360, on eight slides. Where it looks back it
    may be fields away from where it was.
    """
    rng = np.random.default_rng((slide.seed, 5))
    left, right, lowest = _bounds(slide)
    reach = slide.field[1] // 4
    inside = np.array(((left, -reach), (right, lowest + reach)))
    kept = EASE_FRAMES / (1 + EASE_FRAMES)
    eased = slow = np.array((left, 0.0))
    for aim in _aims(slide, rng):
        eased = kept * eased + (1 - kept) * np.clip(aim, *inside)
        slow = kept * slow + (1 - kept) * eased
        x, y = np.rint(slow).astype(int).tolist()
        yield x, y


def _aims(slide: Slide, rng: np.random.Generator) -> Iterator[Place]:
    """Where the hand wants the stage in every frame, before it is eased."""
    width, height = slide.field
    left, right, lowest = _bounds(slide)
    here: Place = (left, 0.0)
    seen: list[Place] = []
    for number, row in enumerate(range(0, lowest + height // 4, round(0.6 * height))):
        ahead, end = (1, right) if number % 2 == 0 else (-1, left)
        here = yield from _move(here, (here[0], row), rng)
        while here[0] != end:
            x = here[0] + ahead * width * rng.uniform(0.3, 1.5)
            x = min(x, end) if ahead > 0 else max(x, end)
            here = yield from _move(here, (x, row + height * rng.uniform(-0.08, 0.08)), rng)
            if rng.random() < STOPS:
                yield from [here] * int(rng.integers(*STOP_FRAMES))
            if seen and rng.random() < BACK:
                x, y = seen[-min(len(seen), int(rng.geometric(0.4)))]
                there = x + width * rng.uniform(-0.3, 0.3), y + height * rng.uniform(-0.2, 0.2)
                yield from _move(here, there, rng)
                yield from [there] * int(rng.integers(*STOP_FRAMES))
                yield from _move(there, here, rng)
            seen.append(here)
        yield from [here] * (3 * EASE_FRAMES)


def _move(here: Place, there: Place, rng: np.random.Generator) -> Generator[Place, None, Place]:
    """Straight on at one speed; returns ``there``."""
    way = np.hypot(there[0] - here[0], there[1] - here[1])
    frames = max(1, round(float(way / np.exp(rng.uniform(*np.log(WANDER_PX))))))
    for share in (np.arange(frames) + 1) / frames:
        yield here[0] + share * (there[0] - here[0]), here[1] + share * (there[1] - here[1])
    return there


def _bounds(slide: Slide) -> tuple[int, int, int]:
    """Leftmost and rightmost x of a row, and y of the last field's row."""
    half = slide.field[0] // 2
    columns, rows = min(slide.fields, COLUMNS), -(-slide.fields // COLUMNS)
    return -half, (columns - 1) * slide.field[0] + half, (rows - 1) * slide.field[1]


PATHS: dict[str, Callable[[Slide], Iterator[tuple[int, int]]]] = {
    "fields": fields,
    "raster": raster,
    "wander": wander,
    "shuttle": shuttle,
}
