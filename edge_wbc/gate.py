"""Whether a session counts what comes: not yet begun, running, paused, or over."""

from __future__ import annotations

import threading
import time

WAITING, STARTING, RUNNING, PAUSED, OVER = "waiting", "starting", "running", "paused", "over"


class Gate:
    """Begins once, is paused and resumed, and ends for good; from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._phase = WAITING
        self._counts = False
        self._before_s = 0.0
        self._since: float | None = None

    @property
    def phase(self) -> str:
        return self._phase

    @property
    def counts(self) -> bool:
        """Whether what comes is to be counted; after the end, whether what had come by then is."""
        return self._counts

    @property
    def seconds(self) -> float:
        """Since it began, without its pauses; stands still once it is over."""
        with self._changed:
            return self._seconds()

    def begin(self) -> bool:
        """Say that it is to begin. Whether it does: only what waits can."""
        with self._changed:
            return self._turn(WAITING, STARTING)

    def open(self) -> None:
        """Everything is ready for it to run."""
        with self._changed:
            self._turn(STARTING, RUNNING)

    def pause(self) -> bool:
        """Whether it did: only what runs can pause."""
        with self._changed:
            return self._turn(RUNNING, PAUSED)

    def resume(self) -> bool:
        """Whether it did: only what is paused can go on."""
        with self._changed:
            return self._turn(PAUSED, RUNNING)

    def end(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            if self._phase != OVER:
                self._turn(self._phase, OVER)

    def wait_begun(self) -> bool:
        """Wait until it is to begin; False if it ends without."""
        with self._changed:
            self._changed.wait_for(lambda: self._phase != WAITING)
            return self._phase != OVER

    def wait(self) -> None:
        """Wait while it has not begun or is paused."""
        with self._changed:
            self._changed.wait_for(lambda: self._phase in (RUNNING, OVER))

    def _turn(self, before: str, after: str) -> bool:
        if self._phase != before:
            return False
        self._before_s = self._seconds()
        self._since = time.monotonic() if after == RUNNING else None
        self._counts = RUNNING in (before, after) and after != PAUSED
        self._phase = after
        self._changed.notify_all()
        return True

    def _seconds(self) -> float:
        return self._before_s + (0.0 if self._since is None else time.monotonic() - self._since)
