"""Reduced images at known places of the slide: what a frame is compared with to learn where it is."""

from __future__ import annotations

import functools
from array import array
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.types import Pixels
from edge_wbc.vision.motion import Grey, View, view

THUMB_LENGTH_PX, THUMB_QUALITY = 160, 85
"""The longer side of the colour image kept for the mosaic, and its quality as a JPEG: 4 kB of a smear, less than its
raw pixels at 64; cells are some 15 to 25 pixels across in it."""
GREY_QUALITY = 90
"""Of the image that frames are compared with, as a JPEG: a third of its bytes, and frames lie within 0.003 pixels of
where they lie by the pixels themselves."""
MOST_BYTES = 12 << 20
"""Of images; above it crowded places are thinned, then those not visited for longest lose their images."""
THINNED_TO = 0.85
"""Of ``MOST_BYTES``: thinning takes a while, so it is done rarely."""
MOST_STEPS = 40
"""Of :meth:`Keyframes.relax`: what is left is far from where it was noticed, and is done the next time."""
RECENT_VIEWS = 24
"""Kept transformed, 0.4 MB each."""


class Image(NamedTuple):
    """What is kept of a frame."""

    grey: bytes
    """As :func:`edge_wbc.vision.motion.reduce` makes it, a JPEG."""
    thumb: bytes
    """In colour, a JPEG."""
    size: tuple[int, int]
    """Width and height of the frame."""

    @property
    def bytes(self) -> int:
        return len(self.grey) + len(self.thumb)


def image(pixels: Pixels, grey: Grey) -> Image:
    """What is kept of a frame: 0.9 ms for 640×480, 2.6 for 4K.

    :param grey: the same, reduced.
    """
    return Image(_jpeg(grey, GREY_QUALITY), thumb(pixels), (pixels.shape[1], pixels.shape[0]))


def thumb(pixels: Pixels) -> bytes:
    """The frame in colour, its longer side ``THUMB_LENGTH_PX``, as a JPEG: 0.8 ms for 640×480, 2.5 for 4K."""
    scale = THUMB_LENGTH_PX / max(pixels.shape[:2])
    small = pixels[:: max(1, int(0.25 / scale)), :: max(1, int(0.25 / scale))]
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    reduced = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
    return _jpeg(reduced, THUMB_QUALITY)


def _jpeg(pixels: Grey | Pixels, quality: int) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


class Keyframes:
    """Numbered from 0; places in frame pixels, each within its island.

    The place of a keyframe is kept for good (some 500 bytes with its links), its image while there is room.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._at = np.zeros((64, 2))
        self._island = np.zeros(64, np.int32)
        self._used = np.zeros(64, np.int64)
        self._pictured = np.zeros(64, bool)
        self._first, self._second, self._dx, self._dy = array("i"), array("i"), array("f"), array("f")
        self._linked: set[tuple[int, int]] = set()
        self.images: dict[int, Image] = {}
        self.bytes = 0
        self.count = 0
        self.size = (0, 0)
        """Width and height of a frame."""
        self.view = functools.lru_cache(maxsize=RECENT_VIEWS)(self._view)

    @property
    def at(self) -> npt.NDArray[np.float64]:
        """(count, 2): left upper corners, x and y."""
        return self._at[: self.count]

    @property
    def islands(self) -> npt.NDArray[np.int32]:
        """(count,): the island of each."""
        return self._island[: self.count]

    def add(self, island: int, x: float, y: float, image: Image, now: int) -> int:
        """Keep an image; its number."""
        if self.count == len(self._at):
            self._at, self._island, self._used, self._pictured = (
                np.concatenate([kept, np.zeros_like(kept)])
                for kept in (self._at, self._island, self._used, self._pictured)
            )
        key = self.count
        self.count += 1
        self._at[key] = x, y
        self._island[key], self._used[key], self._pictured[key] = island, now, True
        self.images[key] = image
        self.size = image.size
        self.bytes += image.bytes
        if self.bytes > self._most_bytes:
            self._thin(image)
        return key

    def use(self, key: int, now: int) -> None:
        """The stage was here."""
        self._used[key] = now

    def nearest(self, island: int, x: float, y: float, size: tuple[int, int], most: int) -> list[tuple[int, float]]:
        """Keyframes with images of an island and their distances, in frames, the nearest first."""
        here = np.flatnonzero(self._pictured[: self.count] & (self.islands == island))
        away = np.abs((self._at[here] - (x, y)) / size).max(axis=1)
        order = np.argsort(away, kind="stable")[:most]
        return list(zip(here[order].tolist(), away[order].tolist(), strict=True))

    def elsewhere(self, island: int, most: int) -> list[int]:
        """Keyframes with images of all other islands, the last used first."""
        others = np.flatnonzero(self._pictured[: self.count] & (self.islands != island))
        order = np.argsort(-self._used[others], kind="stable")[:most]
        return [int(key) for key in others[order]]

    def link(self, first: int, second: int, dx: float, dy: float) -> None:
        """The second's corner was measured at (dx, dy) from the first's."""
        self._linked.add((min(first, second), max(first, second)))
        self._first.append(first)
        self._second.append(second)
        self._dx.append(dx)
        self._dy.append(dy)

    def linked(self, first: int, second: int) -> bool:
        return (min(first, second), max(first, second)) in self._linked

    def join(self, island: int, into: int, dx: float, dy: float) -> None:
        """Move an island by (dx, dy), and make it part of another."""
        members = self.islands == island
        self.at[members] += dx, dy
        self.islands[members] = into

    def relax(self) -> None:
        """Places that suit all that was measured best, by least squares (conjugate gradients on the links).

        The mean of the places stays where it was, so what was not measured anew hardly moves.
        """
        first, second = np.frombuffer(self._first, np.int32), np.frombuffer(self._second, np.int32)
        measured = np.stack([np.frombuffer(self._dx, np.float32), np.frombuffer(self._dy, np.float32)], axis=1)

        def spread(over_links: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            total = np.zeros((self.count, 2))
            for axis in (0, 1):
                total[:, axis] = np.bincount(second, over_links[:, axis], self.count)
                total[:, axis] -= np.bincount(first, over_links[:, axis], self.count)
            return total

        residual = spread(measured - (self.at[second] - self.at[first]))
        step, size = residual.copy(), float((residual**2).sum())
        for _ in range(min(MOST_STEPS, 2 * self.count)):
            if size < 1e-3:
                break
            turned = spread(step[second] - step[first])
            length = size / float((step * turned).sum())
            self.at[:] += length * step
            residual -= length * turned
            before, size = size, float((residual**2).sum())
            step = residual + size / before * step

    def _view(self, key: int) -> View:
        return view(np.asarray(cv2.imdecode(np.frombuffer(self.images[key].grey, np.uint8), cv2.IMREAD_GRAYSCALE)))

    def _drop(self, key: int) -> None:
        self.bytes -= self.images.pop(key).bytes
        self._pictured[key] = False

    def _thin(self, image: Image) -> None:
        """Keep one image in each square of half a frame, the last used; then the oldest go."""
        target = THINNED_TO * self._most_bytes
        order = sorted(self.images, key=lambda key: (-int(self._used[key]), -key))
        half = np.array(image.size) / 2
        seen: set[tuple[int, int, int]] = set()
        for key in order:
            square = (int(self._island[key]), *np.floor(self._at[key] / half).astype(int).tolist())
            if square in seen and self.bytes > target:
                self._drop(key)
            seen.add(square)
        for key in reversed(order):
            if self.bytes <= target:
                return
            if key in self.images:
                self._drop(key)
