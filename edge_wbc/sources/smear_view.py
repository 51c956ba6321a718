"""What the camera sees of a simulated slide while the stage moves: every square of the slide is drawn only once."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_wbc.sources import smear_faults
from edge_wbc.sources.smear_slide import Slide
from edge_wbc.types import KnownCell, Pixels

_KEPT = 48
"""Squares remembered, about 1 MB each: two rows of fields, and some."""
_LENS_PX = 2
"""How far the lens spreads light…"""
_BLUR_PX = 20
"""… and a bad focus or a moving stage."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One picture of the camera."""

    number: int
    pixels: Pixels
    truth: tuple[KnownCell, ...]
    defocus_px: float


class View:
    """A slide on a stage that moves.

    :param faults: of the microscope and the camera, from :data:`smear_faults.FAULTS`.

    Without faults, frames are :meth:`Slide.render`'s but for rounding, which is done in another order: they differ
    by a level or so.
    """

    def __init__(self, slide: Slide, faults: frozenset[str] = frozenset()) -> None:
        self._slide, self._faults = slide, faults
        light = np.ascontiguousarray(slide.light.astype(np.uint8).transpose(1, 2, 0))
        self._lamp = smear_faults.lamp(light, slide.seed, faults)
        self._stain = smear_faults.stain(slide.seed) if "stain" in faults else None
        self._noise = smear_faults.camera_noise(slide.seed, *slide.field) if "noise" in faults else None
        self._square = functools.lru_cache(maxsize=_KEPT)(self._draw)

    def shots(self, path: Iterator[tuple[int, int]], *, moving: bool) -> Iterator[Shot]:
        """The pictures that arrive from along a path; lost ones leave a gap in the index.

        :param moving: the stage moves on while the shutter is open; False: it stops for every picture.
        """
        seed, faults = self._slide.seed, self._faults
        focus = smear_faults.defocus(seed) if "focus" in faults else itertools.repeat(0.0)
        shaking = smear_faults.vibration(seed) if "vibration" in faults else itertools.repeat((0, 0))
        delivery = smear_faults.delivery(seed, faults)
        before, shot = None, None
        for index, (place, defocus_px, shift, comes) in enumerate(zip(path, focus, shaking, delivery, strict=False)):
            step = (0, 0)
            if moving and before and "blur" in faults:
                step = place[0] - before[0], place[1] - before[1]
            before = place
            if comes == "lost":
                continue
            if comes == "again" and shot:
                shot = replace(shot, number=index)
            else:
                x, y = place[0] + shift[0], place[1] + shift[1]
                shot = Shot(index, self.render(x, y, index, step, defocus_px), self._slide.known(x, y), defocus_px)
            yield shot

    def render(
        self, x: int, y: int, exposure: int = 0, step: tuple[int, int] = (0, 0), defocus_px: float = 0.0
    ) -> Pixels:
        """See :meth:`Slide.render`; the cells in view are :meth:`Slide.known`.

        :param step: how far the stage moves until the next frame; blurs.
        :param defocus_px: deviation of the blur of a bad focus.
        """
        width, height = self._slide.field
        if step == (0, 0) and not defocus_px:
            seen = self._unlit(x, y, (width, height))
        else:
            seen = self._unlit(x - _BLUR_PX, y - _BLUR_PX, (width + 2 * _BLUR_PX, height + 2 * _BLUR_PX))
            seen = smear_faults.blurred(smear_faults.moved(seen, step), defocus_px)
            seen = seen[_BLUR_PX : _BLUR_PX + height, _BLUR_PX : _BLUR_PX + width]
        pixels = cv2.multiply(seen, self._lamp, scale=1 / 255)
        noise = self._slide.noise(exposure)
        if self._noise is not None:
            noise = smear_faults.cut(self._noise, self._slide.field, self._slide.seed, exposure)
        return np.asarray(cv2.add(pixels, noise, dst=pixels, dtype=cv2.CV_8U), np.uint8)

    def _unlit(self, x: int, y: int, size: tuple[int, int]) -> Pixels:
        """The slide from (x, y) on, as if lit by an even white lamp."""
        (width, height), (wide, high) = size, self._slide.field
        seen = np.empty((height, width, 3), np.uint8)
        for row in range(y // high, (y + height - 1) // high + 1):
            for column in range(x // wide, (x + width - 1) // wide + 1):
                left, top = column * wide - x, row * high - y
                x0, x1, y0, y1 = max(0, left), min(width, left + wide), max(0, top), min(height, top + high)
                seen[y0:y1, x0:x1] = self._square(column, row)[y0 - top : y1 - top, x0 - left : x1 - left]
        return seen

    def _draw(self, column: int, row: int) -> Pixels:
        wide, high = self._slide.field
        x, y, edge = column * wide - _LENS_PX, row * high - _LENS_PX, 2 * _LENS_PX
        through = self._slide.transmission(x, y, (wide + edge, high + edge))
        planes = (255 * through).astype(np.uint8)
        drawn = self._slide.through_lens(cv2.merge([planes[0], planes[1], planes[2]]))
        drawn = drawn if self._stain is None else np.asarray(cv2.LUT(drawn, self._stain), np.uint8)
        return np.ascontiguousarray(drawn[_LENS_PX:-_LENS_PX, _LENS_PX:-_LENS_PX])
