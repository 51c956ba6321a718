"""When frames were captured, told on a clock that is not ours."""

from __future__ import annotations

from collections import deque

WINDOW = 60
"""Frames among which the one is looked for that took the shortest way from its capture to here: far more than wait
between there and here, and soon forgotten where a source's own clock is slow."""


class CaptureClock:
    """When frames were captured, from times on the pipeline's own clock.

    The frame that took the shortest way tells how far that clock is from ours; what others took longer is their age.
    The shortest way itself is not known, so frames are older by that.
    """

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=WINDOW)
        self._last_pts = -1
        self._last_ns = 0

    def captured_ns(self, pts_ns: int | None, arrived_ns: int) -> int:
        """On our clock, never later than ``arrived_ns`` and never before the frame before.

        A clock that goes backwards begins anew.
        """
        time_ns = arrived_ns
        if pts_ns is not None:
            if pts_ns < self._last_pts:
                self._offsets.clear()
            self._last_pts = pts_ns
            self._offsets.append(arrived_ns - pts_ns)
            time_ns = pts_ns + min(self._offsets)
        self._last_ns = max(time_ns, self._last_ns)
        return self._last_ns
