"""The window's own process: shows pictures from standard input until that ends, tells of keys on standard output.

Qt ends the process it is in when it finds no display or loses it, and drawing may wait for a slow one: neither is to
happen to a session.

    in    height and width as little-endian uint32, then the picture, uint8 BGR; again and again
    out   ``headless`` or ``ready``, and ``ended`` once: q, Esc, or the window was closed
"""

from __future__ import annotations

import os
import sys
import threading

os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")  # before cv2: it tells of fonts that are not there

import cv2
import numpy as np

from edge_wbc.types import Pixels

HEADER_BYTES = 8
WAIT_MS = 30
"""How often keys are looked for."""
ENDING = (27, ord("q"))


class Newest:
    """Pictures from a pipe, of which the newest is kept."""

    def __init__(self) -> None:
        self.picture: Pixels | None = None
        self.over = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        pipe = sys.stdin.buffer
        while len(header := pipe.read(HEADER_BYTES)) == HEADER_BYTES:
            height, width = np.frombuffer(header, "<u4").tolist()
            data = pipe.read(height * width * 3)
            if len(data) == height * width * 3:
                self.picture = np.frombuffer(data, np.uint8).reshape(height, width, 3)
        self.over = True


def tell(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(title: str) -> None:
    try:
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
    except cv2.error as error:
        tell("headless" if "not implemented" in str(error) else "no display")
        return
    cv2.waitKey(1)
    tell("ready")
    newest, shown, told = Newest(), False, False
    while not newest.over:
        picture, newest.picture = newest.picture, None
        if picture is not None:
            if not shown:
                cv2.resizeWindow(title, picture.shape[1], picture.shape[0])
            cv2.imshow(title, picture)
            shown = True
        key = cv2.waitKey(WAIT_MS)
        closed = shown and cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1
        if not told and (key & 0xFF in ENDING or closed):
            tell("ended")
            told = True
        if closed:
            return


if __name__ == "__main__":
    main(sys.argv[1])
