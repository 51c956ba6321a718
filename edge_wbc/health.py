"""What frames themselves tell of a camera: frozen, or of another size than before. Light is looked at as quality."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_wbc.types import Frame

EVERY_ROW = 16
"""Of so many rows one is looked at: the noise of a live sensor is in every one of them."""
FROZEN_S = 10.0
FROZEN_FRAMES = 10
"""As many equal frames at least, or the camera is only slow."""
MOVING_FRAMES = 30
"""So many frames that differ from the one before, since it was opened again, show that the camera is not stuck."""


class Health:
    """Looks at one frame after another.

    :param notice: called with one line when frames turn out of another size.
    """

    def __init__(self, uri: str, notice: Callable[[str], None]) -> None:
        self._uri = uri
        self._notice = notice
        self._sample: np.ndarray | None = None
        self._shape: tuple[int, ...] | None = None
        self._same_since_ns = 0
        self._same = 0
        self._moved = MOVING_FRAMES

    def look(self, frame: Frame) -> str:
        """What is wrong, if opening the camera again may help; else nothing.

        A picture that stands still also after the camera was opened again is a still scene, and left alone.
        """
        sample = frame.pixels[::EVERY_ROW]
        self._look_at_size(frame)
        if self._sample is None or not np.array_equal(sample, self._sample):
            self._moved += self._sample is not None
            self._sample = sample.copy()
            self._same_since_ns, self._same = frame.time_ns, 0
            return ""
        self._same += 1
        lasted_ns = frame.time_ns - self._same_since_ns
        if self._same < FROZEN_FRAMES or lasted_ns < FROZEN_S * 1e9:
            return ""
        self._same_since_ns, self._same = frame.time_ns, 0
        if self._moved < MOVING_FRAMES:
            return ""
        self._moved = 0
        return f"the same picture for {FROZEN_S:g} s"

    def reopened(self) -> None:
        """The camera was opened again: what comes is compared with nothing from before."""
        self._sample = None

    def _look_at_size(self, frame: Frame) -> None:
        shape = frame.pixels.shape
        if self._shape is not None and shape != self._shape:
            (height, width), (high, wide) = shape[:2], self._shape[:2]
            self._notice(f"{self._uri}: frames are now {width}×{height}, before {wide}×{high}; the session goes on")
        self._shape = shape
