"""What the camera sees of a simulated slide while the stage moves: every square of the slide is drawn only once."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from edge_wbc.sources.smear_slide import Slide
from edge_wbc.types import Pixels

_KEPT = 48
"""Squares remembered, about 1 MB each: two rows of fields, and some."""
_LENS_PX = 2
"""How far the lens spreads light."""


class View:
    """A slide on a stage that moves.

    Frames are :meth:`Slide.render`'s but for rounding, which is done in another order: they differ by a level or so.
    """

    def __init__(self, slide: Slide) -> None:
        self._slide = slide
        self._lamp = np.ascontiguousarray(slide.light.astype(np.uint8).transpose(1, 2, 0))
        self._square = functools.lru_cache(maxsize=_KEPT)(self._draw)

    def render(self, x: int, y: int, exposure: int = 0) -> Pixels:
        """See :meth:`Slide.render`; the cells in view are :meth:`Slide.known`."""
        pixels = self.lit(self.unlit(x, y, self._slide.field))
        return self.noisy(pixels, exposure)

    def unlit(self, x: int, y: int, size: tuple[int, int]) -> Pixels:
        """The slide from (x, y) on, as if lit by an even white lamp."""
        (width, height), (wide, high) = size, self._slide.field
        seen = np.empty((height, width, 3), np.uint8)
        for row in range(y // high, (y + height - 1) // high + 1):
            for column in range(x // wide, (x + width - 1) // wide + 1):
                left, top = column * wide - x, row * high - y
                x0, x1, y0, y1 = max(0, left), min(width, left + wide), max(0, top), min(height, top + high)
                seen[y0:y1, x0:x1] = self._square(column, row)[y0 - top : y1 - top, x0 - left : x1 - left]
        return seen

    def lit(self, unlit: Pixels) -> Pixels:
        """A field under the microscope's lamp."""
        return np.asarray(cv2.multiply(unlit, self._lamp, dst=unlit, scale=1 / 255), np.uint8)

    def noisy(self, pixels: Pixels, exposure: int) -> Pixels:
        """A field as the camera gives it."""
        return np.asarray(cv2.add(pixels, self._slide.noise(exposure), dtype=cv2.CV_8U), np.uint8)

    def _draw(self, column: int, row: int) -> Pixels:
        wide, high = self._slide.field
        x, y, edge = column * wide - _LENS_PX, row * high - _LENS_PX, 2 * _LENS_PX
        through = self._slide.transmission(x, y, (wide + edge, high + edge))
        planes = (255 * through).astype(np.uint8)
        drawn = self._slide.through_lens(cv2.merge([planes[0], planes[1], planes[2]]))
        return np.ascontiguousarray(drawn[_LENS_PX:-_LENS_PX, _LENS_PX:-_LENS_PX])
