"""The GStreamer Data Protocol, as the element ``gdppay`` writes it: each buffer with its time, and the caps before it.

Version 1.0: a header of 62 bytes, big-endian, then the payload. Source: gst-plugins-bad, ``gst/gdp/dataprotocol.c``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_wbc import MOST_PIXELS
from edge_wbc.types import Pixels

HEADER = struct.Struct(">BBBxHIQ44x")
"""Major and minor version, flags, kind, length of the payload, presentation time; the rest is not needed."""
BUFFER = 1
CAPS = 2
NO_TIME = 2**64 - 1
MOST_TEXT = 2**20
"""Longest payload that is not a buffer: caps and events are short texts."""
ROW_ALIGNMENT = 4
"""GStreamer pads every row of a raw image to a multiple of so many bytes."""


class NotGdp(Exception):
    """The bytes are not what ``gdppay`` writes behind a raw BGR image."""


class Buffer(NamedTuple):
    """One image of the stream."""

    pixels: Pixels
    """(height, width, 3) uint8 BGR."""
    pts_ns: int | None
    """Presentation time, in ns from a beginning of the pipeline's own."""
    arrived_ns: int
    """When its header came, before its pixels were read."""


class Reader:
    """Takes a stream apart.

    :param read_into: fills an array of bytes from the stream; False if the stream ended first.
    :param now_ns: the clock of ``arrived_ns``.
    """

    def __init__(self, read_into: Callable[[npt.NDArray[np.uint8]], bool], now_ns: Callable[[], int]) -> None:
        self._read_into = read_into
        self._now_ns = now_ns
        self._size: tuple[int, int] | None = None

    def next(self) -> Buffer | None:
        """The next image; None at the end of the stream, also amid an image.

        :raises NotGdp: what comes is something else.
        """
        header = np.empty(HEADER.size, np.uint8)
        while self._read_into(header):
            arrived_ns = self._now_ns()
            major, _, _, kind, length, pts = HEADER.unpack(header.tobytes())
            if major != 1 or length > (4 * MOST_PIXELS if kind == BUFFER else MOST_TEXT):
                raise NotGdp(f"version {major}, kind {kind}, {length} bytes")
            payload = np.empty(length, np.uint8)
            if not self._read_into(payload):
                return None
            if kind == CAPS:
                self._size = _size(payload.tobytes())
            elif kind == BUFFER:
                return Buffer(self._image(payload), None if pts == NO_TIME else pts, arrived_ns)
        return None

    def _image(self, payload: npt.NDArray[np.uint8]) -> Pixels:
        if self._size is None:
            raise NotGdp("an image before its caps")
        width, height = self._size
        row = -(-3 * width // ROW_ALIGNMENT) * ROW_ALIGNMENT
        if len(payload) != row * height:
            raise NotGdp(f"{len(payload)} bytes for an image of {width}×{height}")
        rows = payload.reshape(height, row)[:, : 3 * width]
        return np.ascontiguousarray(rows).reshape(height, width, 3)


def _size(caps: bytes) -> tuple[int, int]:
    found = re.match(
        rb"video/x-raw, (?=.*format=\(string\)BGR\b)(?=.*width=\(int\)(\d+))(?=.*height=\(int\)(\d+))", caps
    )
    if not found:
        raise NotGdp(caps.decode(errors="replace"))
    return int(found[1]), int(found[2])
