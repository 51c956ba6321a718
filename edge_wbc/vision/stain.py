"""What of a frame's light the stain takes, and what its red cells look like: by that, nuclei are told from them.

Optical density, the natural logarithm of background over pixel, adds up where stains lie on one another, and does not
depend on the lamp. Azure, which stains chromatin, takes green and red and lets blue pass; haemoglobin and eosin take
blue beside green. So green density less blue density is large in nuclei and small in red cells, whatever the
magenta in them; how small is measured in every frame.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.types import Pixels

WHITE = 200
"""Grey level of the background after flattening."""
ZERO, UNIT = 64, 80
"""A density is stored in 8 bits as ``ZERO + UNIT × density``: from -0.8 to 2.4 in steps of 0.0125."""
DARKER = 8
"""Grey levels below the background from which on a place is not part of it."""
FITS = 5
"""Of the background, each time with dark places lifted to the last."""
LEAST_BODY = 5
"""Green density, in units, below which nothing is a cell's body…"""
OF_USUAL_BODY = 0.5
"""… nor below this part of the density that a quarter of the frame exceeds: mostly red cells."""
TWICE = 2.0
"""If what is stained falls in two classes whose responses differ so many times, the upper is not red cells."""
LEAST_RESPONSE = 4
"""Of red cells, when classes are compared: below is noise."""
MOST_RED = 40
"""No red cell responds more, in units: what does is nuclei with no red cell around. The most seen, of four
laboratories' slides and the simulated magenta: 41."""
FEW = 30
"""Places (one in nine pixels) in a class of red cells; with fewer they are not told apart."""

Grey: TypeAlias = npt.NDArray[np.uint8]
Plane: TypeAlias = npt.NDArray[np.float32]

_GRID = (15, 20)
_DENSITY = np.clip(np.rint(ZERO + UNIT * np.log(WHITE / np.maximum(np.arange(256), 1))), 0, 255).astype(np.uint8)


class Stained(NamedTuple):
    """A working image, in density."""

    response: Grey
    """How much more green is taken than blue, in units: (height, width), 0 for all that takes more blue."""
    blue: Grey
    green: Grey
    """Densities as stored: see :data:`ZERO`."""
    body: float
    """Green density, in units, from which on a place belongs to some cell's body."""


def stained(small: Pixels) -> Stained:
    """The densities of a working image over its own background."""
    (blue, green, _), (lamp_blue, lamp_green) = cv2.split(small), background(small)
    blue = cv2.LUT(cv2.divide(blue, lamp_blue, scale=WHITE), _DENSITY)
    green = cv2.LUT(cv2.divide(green, lamp_green, scale=WHITE), _DENSITY)
    response = cv2.GaussianBlur(cv2.subtract(green, blue), (5, 5), 0)
    usual = _quantile(np.bincount(green[::3, ::3].ravel(), minlength=256), 0.75) - ZERO
    return Stained(response, blue, green, max(LEAST_BODY, OF_USUAL_BODY * usual))


def red_response(image: Stained) -> float:
    """The response that nine in ten places of red cells stay below, in units; 0 where there is next to nothing."""
    body = image.green[::3, ::3] > ZERO + image.body
    counts = np.bincount(image.response[::3, ::3][body], minlength=256)
    if counts.sum() < FEW:
        return 0.0
    low, high = _two_classes(counts)
    if low.sum() >= FEW and _quantile(high, 0.5) >= TWICE * max(LEAST_RESPONSE, _quantile(low, 0.5)):
        counts = low
    return float(min(_quantile(counts, 0.9), MOST_RED))


def background(small: Pixels) -> tuple[Grey, Grey]:
    """Blue and green of the empty slide: a curved surface through the bright part of the frame.

    Least squares, places that are dark in any colour lifted to the last fit.
    """
    height, width = small.shape[:2]
    design, solve = _surface(*_GRID)
    tiny = cv2.resize(small, (_GRID[1], _GRID[0]), interpolation=cv2.INTER_LINEAR)
    planes = np.ascontiguousarray(tiny.reshape(-1, 3).T, np.float32)
    fit: npt.NDArray[np.floating] = planes @ solve @ design
    for _ in range(FITS):
        dark = (planes - fit).min(axis=0) < -DARKER
        fit = np.where(dark, fit, planes) @ solve @ design
    levels = np.clip(fit, 20, 255).astype(np.uint8).reshape(3, *_GRID)
    blue, green = (cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in levels[:2])
    return blue, green


@functools.cache
def _surface(rows: int, columns: int) -> tuple[Plane, Plane]:
    down, across = (side.ravel() for side in np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j])
    design = np.stack([np.ones_like(across), across, down, across * down, across**2, down**2])
    return design.astype(np.float32), np.ascontiguousarray(np.linalg.pinv(design), np.float32)


def _quantile(counts: npt.NDArray[np.int64], share: float) -> int:
    """Of a histogram."""
    below = np.cumsum(counts)
    return min(int(np.searchsorted(below, share * float(below[-1]), side="right")), len(counts) - 1)


def _two_classes(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A histogram parted by Otsu's threshold (1979): the greatest variance between the two classes."""
    levels = np.arange(len(counts))
    below, mass = np.cumsum(counts), np.cumsum(counts * levels)
    above = below[-1] - below
    between = (mass * below[-1] - mass[-1] * below) ** 2 / np.maximum(below * above, 1).astype(np.float64)
    at = int(between.argmax())
    return np.where(levels <= at, counts, 0), np.where(levels > at, counts, 0)
