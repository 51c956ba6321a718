"""The newest frame and how its session stands, whenever the page wants them: nobody who looks, no work."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from edge_wbc.types import Frame, FrameResult, Pixels
from edge_wbc.web.live_state import field_state
from edge_wbc.web.live_wire import Wire

WIDEST_PX = 960
"""To which a wider frame is brought: fields are looked over, not read cell by cell."""
QUALITY = 80
"""Of the JPEG: some 60 kB of a field at that width."""
SHOWN_HZ, MOST_BUSY = 10.0, 0.2
"""Views a second at most, and the part of a processor that they may take."""
FIGURES_S = 1.0
"""How often a session's figures are looked at: the pipeline's own Python waits meanwhile."""
STILL_S = 1.0
"""A view goes out after so long although no frame came: the page sees that all is well."""


class LiveView:
    """Keeps the newest frame that was decided or shown; `run` in a thread of its own sends it when it is wanted."""

    def __init__(
        self,
        state: Callable[[], dict[str, Any]],
        figures: Callable[[], dict[str, Any] | None],
        *,
        paced: bool = True,
    ) -> None:
        """
        :param state: cheap, asked for each view.
        :param figures: asked every ``FIGURES_S``.
        :param paced: False sends views as fast as they are wanted, to see what many of them leave behind.
        """
        self._paced = paced
        self.sent = 0
        """Views."""
        self._state = state
        self._figures = figures
        self._cond = threading.Condition()
        self._newest: tuple[Pixels, FrameResult] | None = None
        self._frames = 0
        self._changes = 0
        self._wanted = False
        self._over = False

    def watch(self, frame: Frame, result: FrameResult) -> None:
        """Take note of a frame, from any thread; never waits for the page."""
        with self._cond:
            self._newest = frame.pixels, result
            self._frames += 1
            if self._wanted:
                self._cond.notify_all()

    def changed(self) -> None:
        """Something is to be seen at once."""
        with self._cond:
            self._changes += 1
            self._cond.notify_all()

    def want(self, *, now: bool) -> None:
        """The page wants one more view.

        :param now: although nothing is new.
        """
        with self._cond:
            self._wanted = True
            self._changes += now
            self._cond.notify_all()

    def close(self) -> None:
        with self._cond:
            self._over = True
            self._cond.notify_all()

    def run(self, wire: Wire) -> None:
        """Until `close`, or until the page is gone."""
        number = sent = changes = 0
        figures: dict[str, Any] | None = None
        looked = 0.0
        field: dict[str, Any] | None = None
        while self._wait(sent, changes):
            began = time.thread_time()
            with self._cond:
                newest, frames, now = self._newest, self._frames, self._changes
                self._wanted = False
            if now != changes or time.monotonic() - looked >= FIGURES_S:
                figures, looked = self._figures(), time.monotonic()
            jpeg = b""
            if newest is not None and frames != sent:
                field = field_state(*newest) | {"view": frames}
                jpeg = encoded(newest[0])
            sent, changes, number = frames, now, number + 1
            age_ms = None if newest is None else round((time.monotonic_ns() - newest[1].frame.time_ns) / 1e6)
            state = {"number": number, **self._state(), "figures": figures, "field": field, "field_age_ms": age_ms}
            text = json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
            head = {"kind": "view", "number": number, "field": sent, "state_bytes": len(text)}
            if not wire.send(head, text + jpeg):
                return
            self.sent = number
            if self._paced:
                self._rest(max(1 / SHOWN_HZ, (time.thread_time() - began) * (1 / MOST_BUSY - 1)))

    def _wait(self, sent: int, changes: int) -> bool:
        """Until a view is wanted, and there is something new or nothing for long; False when it is over."""
        with self._cond:
            self._cond.wait_for(lambda: self._wanted or self._over)
            self._cond.wait_for(
                lambda: self._frames != sent or self._changes != changes or self._over,
                STILL_S,
            )
            return not self._over

    def _rest(self, seconds: float) -> None:
        with self._cond:
            self._cond.wait_for(lambda: self._over, seconds)


def encoded(pixels: Pixels) -> bytes:
    """As JPEG, at most ``WIDEST_PX`` wide.

    :param pixels: (height, width, 3) uint8 BGR.
    """
    width = pixels.shape[1]
    if width > WIDEST_PX:
        step = max(1, width // WIDEST_PX)
        size = WIDEST_PX, max(1, round(pixels.shape[0] * WIDEST_PX / width))
        pixels = np.asarray(cv2.resize(pixels[::step, ::step], size, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()
