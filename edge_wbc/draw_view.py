"""The picture of a live view: a frame with its cells, the differential beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from edge_wbc.draw import COLOURS, draw_result
from edge_wbc.types import Box, Cell, Differential, FrameResult, Pixels, SeenAgain

SHORTEST_PX, LONGEST_PX = 640, 1024
"""The longer side of the frame is brought between these, so that captions can be read and drawing costs little."""
PANEL_PX, ROW_PX, BAR_PX = 400, 24, 110
GROUND, INK, FAINT, REACH = (250, 250, 250), (30, 30, 30), (140, 140, 140), (205, 205, 205)
FONT, SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.46


def draw_view(pixels: Pixels, result: FrameResult, panel: Pixels) -> Pixels:
    """What a person at the microscope wants to see at once.

    :param pixels: the frame's, (height, width, 3) uint8 BGR, any size.
    :param panel: what stands beside it.
    :returns: (height, width, 3) uint8 BGR.
    """
    shown = draw_result(*_brought(pixels, result))
    height = max(shown.shape[0], panel.shape[0])
    return np.hstack([_filled(shown, height, (64, 64, 64)), _filled(panel, height, GROUND)])


def _brought(pixels: Pixels, result: FrameResult) -> tuple[Pixels, FrameResult]:
    """Frame and boxes at the scale at which they are shown."""
    longest = max(pixels.shape[:2])
    scale = min(max(longest, SHORTEST_PX), LONGEST_PX) / longest
    if scale == 1:
        return pixels, result

    def brought(cell: Cell) -> Cell:
        return replace(cell, box=Box(*(round(side * scale) for side in cell.box)))

    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    step = max(1, longest // LONGEST_PX)
    resized = cv2.resize(pixels[::step, ::step], size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    again = tuple(SeenAgain(brought(cell), label) for cell, label in result.again)
    return np.asarray(resized, np.uint8), replace(result, cells=tuple(map(brought, result.cells)), again=again)


def draw_panel(differential: Differential, lines: Sequence[str]) -> Pixels:
    """A differential with its bars and intervals.

    :param lines: written below it; OpenCV's font has ASCII alone.
    :returns: (height, ``PANEL_PX``, 3) uint8 BGR.
    """
    rows = len(differential.shares) + 4 + len(lines)
    panel = np.full((rows * ROW_PX, PANEL_PX, 3), GROUND, np.uint8)
    _write(panel, 0, 12, "cell class")
    _write(panel, 0, 225, "cells", right=True)
    _write(panel, 0, 275, "%", right=True)
    _write(panel, 0, 285, "95 % interval", FAINT)
    for row, (label, share) in enumerate(differential.shares.items(), 1):
        middle = row * ROW_PX + ROW_PX // 2
        cv2.rectangle(panel, (12, middle - 5), (22, middle + 5), COLOURS.get(label, INK), cv2.FILLED)
        _write(panel, row, 28, label.replace("_", " "), INK if share.count else FAINT)
        _write(panel, row, 225, str(share.count), right=True)
        if share.percent is None or share.low is None or share.high is None:
            continue
        _write(panel, row, 275, f"{share.percent:.1f}", right=True)
        low, at, high = (285 + round(value / 100 * BAR_PX) for value in (share.low, share.percent, share.high))
        cv2.rectangle(panel, (low, middle - 6), (high, middle + 6), REACH, cv2.FILLED)
        if share.count:
            cv2.rectangle(panel, (285, middle - 2), (at, middle + 2), COLOURS.get(label, INK), cv2.FILLED)
    below = len(differential.shares) + 1
    _write(panel, below, 12, "leukocytes")
    _write(panel, below, 225, str(differential.total), right=True)
    _write(panel, below + 1, 12, "unidentified")
    _write(panel, below + 1, 225, str(differential.unidentified), right=True)
    for row, line in enumerate(lines, below + 3):
        _write(panel, row, 12, line, FAINT)
    return panel


def _write(
    panel: Pixels, row: int, x: int, text: str, colour: tuple[int, int, int] = INK, *, right: bool = False
) -> None:
    """:param right: ``x`` is where the text ends."""
    if right:
        x -= cv2.getTextSize(text, FONT, SIZE, 1)[0][0]
    cv2.putText(panel, text, (x, row * ROW_PX + 17), FONT, SIZE, colour, 1, cv2.LINE_AA)


def _filled(picture: Pixels, height: int, colour: tuple[int, int, int]) -> Pixels:
    """With ground below it, up to a height."""
    below = np.full((height - picture.shape[0], picture.shape[1], 3), colour, np.uint8)
    return np.vstack([picture, below])
