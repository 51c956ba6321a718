"""Cameras written in Python for a real pymmcore-plus core, named in configurations that tests write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pymmcore_plus.experimental.unicore import CameraDevice

RGB = (200, 120, 60)


class Colour(CameraDevice):
    """640×480, 100 frames a second of one colour; the first pixel's red value counts them."""

    SHAPE: tuple[int, ...] = (480, 640, 3)
    DTYPE: Any = np.uint8

    def __init__(self) -> None:
        super().__init__()
        self._exposure = 10.0

    def get_exposure(self) -> float:
        return self._exposure

    def set_exposure(self, exposure: float) -> None:
        self._exposure = exposure

    def shape(self) -> tuple[int, ...]:
        return self.SHAPE

    def dtype(self) -> Any:
        return self.DTYPE

    def start_sequence(
        self, n: int | None, get_buffer: Callable[[Sequence[int], Any], np.ndarray]
    ) -> Iterator[Mapping[str, Any]]:
        for number in range(n or self.most()):
            buffer = get_buffer(self.SHAPE, self.DTYPE)
            self.fill(buffer, number)
            yield {}
            time.sleep(0.01)

    def most(self) -> int:
        return 10**6

    def fill(self, buffer: np.ndarray, number: int) -> None:
        buffer[:] = RGB
        buffer[0, 0, 0] = number % 256


class Mosaic(Colour):
    """16 bits of a Bayer mosaic that begins with red and green, which the core takes for grey."""

    SHAPE = (480, 640)
    DTYPE = np.uint16

    def fill(self, buffer: np.ndarray, number: int) -> None:
        buffer[0::2, 0::2], buffer[1::2, 1::2] = RGB[0] << 8, RGB[2] << 8
        buffer[0::2, 1::2] = buffer[1::2, 0::2] = RGB[1] << 8


class Ending(Colour):
    """Stops by itself after five frames."""

    def most(self) -> int:
        return 5
