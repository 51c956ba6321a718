"""How far the stage moved between two frames, from the frames alone.

Frames are reduced to 128 pixels, their slow brightness taken out, and correlated at every displacement at once. Every
displacement is judged by the part that both frames show: the correlation coefficient there (J. P. Lewis, Fast
normalized cross-correlation, 1995), so that half a frame in common counts as well as a whole one. The best is then
believed only if the frames agree all over that part, not just where a nucleus lies on a nucleus.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.types import Pixels

Grey: TypeAlias = npt.NDArray[np.uint8]
"""(height, width) uint8: a frame's green, reduced."""
Plane: TypeAlias = npt.NDArray[np.float32]

LENGTH_PX = 128
"""The longer side of a reduced frame: red cells, the texture that is followed, are 5 to 18 pixels across."""
FINE_PX, COARSE_PX = 0.8, 5.0
"""Gaussians whose difference is correlated: noise is below it, illumination and vignette above."""
LEAST_SHARED = 0.15
"""Displacements that leave less than this share of a frame in common are not looked at."""
LEAST_TEXTURE = 1.0
"""Standard deviation in grey levels below which a frame shows nothing to go by: black, blown out, an empty place."""
CERTAIN = 1.0
"""Certainty from which a displacement is believed."""

_LEAST_PEAK = 9.5
_LEAST_CORRELATION = 0.3
_LEAST_LEAD = 1.35
_TILES = 3
_FAINT = 0.1
_LEAST_TILES = 4
_LEAST_AGREEMENT = 0.4
_NEIGHBOURHOOD_PX = 6


class View(NamedTuple):
    """A frame made ready to be compared with others."""

    grey: Grey
    texture: Plane
    """What is correlated: the grey levels without their slow changes."""
    spectrum: Plane
    """Of the padded texture, as :func:`cv2.dft` packs it."""
    energy: Plane
    """Of the part shared with a frame displaced by each (dy, dx), in the wrapped layout of the transform."""
    deviation: float
    """Standard deviation of the texture, in grey levels."""


class Displacement(NamedTuple):
    """Where the second frame's left upper corner lies in the first one, in reduced pixels."""

    dx: float
    dy: float
    certainty: float
    """The least of four ratios to what is demanded: the peak's height over the surface's standard deviation, its
    correlation coefficient, its lead over the next best place, and the coefficient that three quarters of the tiles of
    the common part reach. From 1 on it is believed."""

    @property
    def certain(self) -> bool:
        return self.certainty >= CERTAIN


NOWHERE = Displacement(0.0, 0.0, 0.0)


def reduced_scale(height: int, width: int) -> float:
    """Reduced pixels in a pixel of the frame."""
    return LENGTH_PX / max(height, width)


def reduce(pixels: Pixels) -> Grey:
    """The frame's green (red cells and nuclei are dark in it), its longer side ``LENGTH_PX``.

    :param pixels: (height, width, 3) uint8 BGR, any size.
    """
    height, width = pixels.shape[:2]
    scale = reduced_scale(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    green = cv2.extractChannel(pixels, 1)
    interpolation = cv2.INTER_AREA if scale <= 1 else cv2.INTER_LINEAR
    reduced: Grey = cv2.resize(green, size, interpolation=interpolation)
    return reduced


def view(grey: Grey) -> View:
    """Make a reduced frame ready to be compared: one Fourier transform."""
    height, width = grey.shape
    image = grey.astype(np.float32)
    texture = cv2.subtract(cv2.GaussianBlur(image, (0, 0), FINE_PX), cv2.GaussianBlur(image, (0, 0), COARSE_PX))
    deviation = float(cv2.meanStdDev(texture)[1][0, 0])
    limit = 4 * max(deviation, 1e-3)
    texture = np.clip(texture, -limit, limit)  # one nucleus must not outweigh the red cells
    shape = _padded(height), _padded(width)
    padded = cv2.copyMakeBorder(texture, 0, shape[0] - height, 0, shape[1] - width, cv2.BORDER_CONSTANT, value=0)
    return View(grey, texture, cv2.dft(padded), _energy(texture, shape), deviation)


def displacement(first: View, second: View) -> Displacement:
    """Where the second frame lies in the first; both of one size.

    :returns: certainty 0 where either shows nothing to go by.
    """
    if min(first.deviation, second.deviation) < LEAST_TEXTURE or first.grey.shape != second.grey.shape:
        return NOWHERE
    height, width = first.grey.shape
    product = cv2.mulSpectrums(first.spectrum, second.spectrum, 0, conjB=True)
    shared = cv2.dft(product, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)
    weight, looked_at = _weights(height, width)
    coefficient = shared / np.sqrt(np.maximum(first.energy * _mirrored(second.energy), 1.0))
    surface = coefficient * weight
    deviation = float(np.sqrt(float((surface * surface).sum()) / looked_at))
    _, peak, _, (x, y) = cv2.minMaxLoc(surface)
    if peak <= 0 or deviation <= 0:
        return NOWHERE
    found = float(coefficient[y, x])
    dy, dx = y + _vertex(coefficient[:, x], y), x + _vertex(coefficient[y], x)  # the weight's slope would pull
    _blank(surface, x, y)
    second_best = max(float(surface.max()), 1e-6)
    certainty = min(peak / deviation / _LEAST_PEAK, found / _LEAST_CORRELATION, peak / second_best / _LEAST_LEAD)
    tall, wide = surface.shape
    across, down = wide * (x > wide // 2), tall * (y > tall // 2)
    if certainty >= CERTAIN:
        certainty = min(certainty, _agreement(first.texture, second.texture, x - across, y - down) / _LEAST_AGREEMENT)
    return Displacement(dx - across, dy - down, certainty)


def _agreement(first: Plane, second: Plane, dx: int, dy: int) -> float:
    """The correlation coefficient that three quarters of the tiles of the common part reach; faint ones do not count.

    Of real photographs, true displacements had 0.5 and more, chance ones 0.13 at most.
    """
    height, width = first.shape
    one = first[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
    other = second[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
    rows, columns = (np.arange(_TILES) * length // _TILES for length in one.shape)
    products = np.stack([one * other, one * one, other * other])
    shared, ones, others = np.add.reduceat(np.add.reduceat(products, rows, axis=1), columns, axis=2)
    strong = (ones > _FAINT * ones.mean()) & (others > _FAINT * others.mean())
    if np.count_nonzero(strong) < _LEAST_TILES:
        return 0.0
    coefficients = np.sort(shared[strong] / np.sqrt(ones[strong] * others[strong]))
    return float(coefficients[len(coefficients) // 4])


def _padded(length: int) -> int:
    return int(cv2.getOptimalDFTSize(2 * length))


def _mirrored(energy: Plane) -> Plane:
    """At -d what was at d."""
    return np.roll(energy[::-1, ::-1], (1, 1), (0, 1))


def _vertex(line: Plane, at: int) -> float:
    """Of the parabola through a peak and its neighbours, from the peak."""
    before, peak, after = float(line[at - 1]), float(line[at]), float(line[(at + 1) % len(line)])
    bend = before - 2 * peak + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _blank(surface: Plane, x: int, y: int) -> None:
    near = np.arange(-_NEIGHBOURHOOD_PX, _NEIGHBOURHOOD_PX + 1)
    surface[np.ix_((y + near) % surface.shape[0], (x + near) % surface.shape[1])] = 0


@functools.lru_cache(maxsize=4)
def _overlaps(length: int, padded: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First and last + 1 pixel shared at each displacement of the wrapped layout."""
    displacement = np.arange(padded)
    displacement[displacement > padded // 2] -= padded
    return np.clip(displacement, 0, length), np.clip(length + displacement, 0, length)


@functools.lru_cache(maxsize=4)
def _weights(height: int, width: int) -> tuple[Plane, int]:
    """Root of the share in common, which brings every coefficient to the same scatter; 0 where it is too little."""
    parts = []
    for length in (height, width):
        start, end = _overlaps(length, _padded(length))
        parts.append(np.maximum(end - start, 0) / length)
    share = np.outer(*parts)
    weight = np.where(share >= LEAST_SHARED, np.sqrt(share), 0).astype(np.float32)
    return weight, int(np.count_nonzero(weight))


def _energy(texture: Plane, shape: tuple[int, int]) -> Plane:
    sums = cv2.integral(texture * texture, sdepth=cv2.CV_32F)
    (top, bottom), (left, right) = (_overlaps(*pair) for pair in zip(texture.shape, shape, strict=True))
    rows = sums[bottom] - sums[top]
    energy: Plane = rows[:, right] - rows[:, left]
    return energy
