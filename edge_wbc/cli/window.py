"""``run --window``: the newest decided frame in a window, which no session waits for."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

import numpy as np

from edge_wbc.cli.show import troubles
from edge_wbc.draw_view import draw_panel, draw_view
from edge_wbc.errors import EnvironmentMissing
from edge_wbc.types import Frame, FrameResult, Pixels, Summary

SHOWN_HZ, MOST_BUSY = 15.0, 0.2
"""Pictures a second at most, and the part of a processor that drawing may take."""
LOOKED_S = 0.5
"""How often the differential is looked at."""
LEAVE_S = 0.5
"""How long the window's process may take to end."""
CHILD = ("-m", "edge_wbc.cli.window_child")
HEADLESS = (
    "--window: this OpenCV has no windows; python -m pip uninstall opencv-python-headless, "
    "then python -m pip install opencv-python"
)
NO_DISPLAY = "--window: no display here; run it on a desktop, over ssh -X, or leave out --window"


class View:
    """Keeps the newest decided frame, and draws it in a thread of its own; what comes meanwhile is left out."""

    def __init__(self) -> None:
        self._newest: tuple[Pixels, FrameResult] | None = None
        self._changed = threading.Condition()
        self._over = False

    def watch(self, frame: Frame, result: FrameResult) -> None:
        """Take note of a decided frame; never waits for the window."""
        with self._changed:
            self._newest = frame.pixels, result
            self._changed.notify()

    def draw(self, pipe: IO[bytes], status: Callable[[], Summary]) -> None:
        """Until `close`, or until the pipe breaks.

        :param pipe: takes pictures as `window_child` reads them.
        :param status: where the session stands now.
        """
        beside, looked = panel(status()), time.monotonic()
        with suppress(OSError):
            while (newest := self._next()) is not None:
                started = time.thread_time()
                if time.monotonic() - looked > LOOKED_S:
                    beside, looked = panel(status()), time.monotonic()
                shown = draw_view(*newest, beside)
                pipe.write(np.array(shown.shape[:2], "<u4").tobytes())
                pipe.write(shown.data)
                pipe.flush()
                self._rest(max(1 / SHOWN_HZ, (time.thread_time() - started) * (1 / MOST_BUSY - 1)))

    def close(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._over, seconds)

    def _next(self) -> tuple[Pixels, FrameResult] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._over)
            newest, self._newest = self._newest, None
            return None if self._over else newest


def panel(summary: Summary) -> Pixels:
    """What stands beside the frame."""
    lines = [f"{summary.frames} frames, {summary.dropped} dropped, {summary.refused} refused"]
    lines += [line.replace("×", "x") for line in troubles(summary)]
    return draw_panel(summary.differential, [*lines, "q or Esc ends the session"])


@contextmanager
def window(view: View, title: str, status: Callable[[], Summary], notice: Callable[[str], None]) -> Iterator[None]:
    """Show a session while it runs; q, Esc and closing the window do what Ctrl-C does. Used in the main thread.

    :raises EnvironmentMissing: this OpenCV has no windows, or there is no display.
    """
    child = subprocess.Popen(
        [sys.executable, *CHILD, title],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the session alone
    )
    assert child.stdin is not None
    assert child.stdout is not None
    answer = child.stdout.readline().strip()
    if answer != b"ready":
        child.kill()
        child.communicate()
        raise EnvironmentMissing(HEADLESS if answer == b"headless" else NO_DISPLAY)
    over = threading.Event()
    threads = [
        threading.Thread(target=_listen, args=(child.stdout, over, notice), name="edge-wbc window keys", daemon=True),
        threading.Thread(target=view.draw, args=(child.stdin, status), name="edge-wbc window", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        view.close()
        threads[1].join(LEAVE_S)
        if threads[1].is_alive():  # it waits for a window that stalls
            child.kill()
        with suppress(OSError):
            child.stdin.close()
        try:
            child.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        threads[0].join(LEAVE_S)
        child.stdout.close()


def _listen(said: IO[bytes], over: threading.Event, notice: Callable[[str], None]) -> None:
    word = said.readline().strip()
    if over.is_set():
        return
    if word == b"ended":
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        notice("the window is gone; the session goes on without it")
