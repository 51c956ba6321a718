"""Cells outlined and named on a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from edge_wbc import RESEARCH_USE
from edge_wbc.types import NOT_A_CELL, UNIDENTIFIED, Box, FrameResult, Pixels

COLOURS = {
    "neutrophil": (170, 60, 20),
    "eosinophil": (20, 70, 220),
    "basophil": (130, 20, 110),
    "lymphocyte": (60, 120, 20),
    "monocyte": (20, 120, 180),
    "immature granulocyte": (90, 90, 90),
    "erythroblast": (40, 40, 150),
    "platelet": (120, 120, 0),
    NOT_A_CELL: (150, 150, 150),
    UNIDENTIFIED: (0, 0, 0),
}


def draw_cells(pixels: Pixels, boxes: Sequence[Box], captions: Sequence[tuple[str, str]]) -> Pixels:
    """A copy of the frame with each box outlined in its class's colour.

    :param captions: per box: label, and the text to write.
    """
    picture: Pixels = pixels.copy()
    for box, (label, text) in zip(boxes, captions, strict=True):
        colour = COLOURS.get(label, (0, 0, 0))
        cv2.rectangle(picture, box, colour, 2, cv2.LINE_AA)
        (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
        left = min(box.xmin, picture.shape[1] - width - 6)
        top = box.ymin - height - below - 4 if box.ymin > height + below + 4 else box.ymin + box.height
        cv2.rectangle(picture, (left, top), (left + width + 6, top + height + below + 4), colour, cv2.FILLED)
        cv2.putText(
            picture, text, (left + 3, top + height + 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA
        )
    return picture


def draw_result(pixels: Pixels, result: FrameResult) -> Pixels:
    """A copy of the frame with its cells: filled captions where they are classified in it, thin ones where they were.

    :param pixels: (height, width, 3) uint8 BGR.
    """
    captions = [(said.label, f"{said.label} {said.probability:.0%}") for said in result.predictions]
    picture = draw_cells(pixels, [cell.box for cell in result.cells], captions)
    for cell, label in result.again:
        cv2.rectangle(picture, cell.box, COLOURS.get(label, (255, 255, 255)), 1, cv2.LINE_AA)
        if label:
            at = cell.box.xmin + 2, cell.box.ymin + 14
            cv2.putText(picture, label, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, COLOURS[label], 1, cv2.LINE_AA)
    line = RESEARCH_USE if result.rejected is None else f"Not judged: {result.rejected}. {RESEARCH_USE}"
    (width, height), below = cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    bottom = picture.shape[0]
    cv2.rectangle(picture, (0, bottom - height - below - 6), (width + 12, bottom), (60, 60, 60), cv2.FILLED)
    at = 6, bottom - below - 2
    cv2.putText(picture, line, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def draw_mosaic(picture: Pixels, cells: Mapping[int, tuple[Box, str]], counts: Mapping[str, int]) -> Pixels:
    """A slide with its cells outlined in their class's colour and numbered; what the colours mean stands below it.

    :param picture: (height, width, 3) uint8 BGR; may be drawn on.
    :param cells: box and label of each, by number.
    :param counts: cells of each label.
    """
    for number, (box, label) in cells.items():
        colour = COLOURS.get(label, (0, 0, 0))
        cv2.rectangle(picture, box, colour, 1, cv2.LINE_AA)
        text = str(number)
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
        x = min(box.xmin, picture.shape[1] - width - 1)
        y = box.ymin - 3 if box.ymin > height + 3 else box.ymin + box.height + height + 3
        cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 3, cv2.LINE_AA)
        cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
    lines = [*((f"{count} {label.replace('_', ' ')}", label) for label, count in counts.items()), (RESEARCH_USE, "")]
    below = np.full((20 * len(lines) + 8, max(picture.shape[1], 280), 3), 255, np.uint8)
    for row, (text, label) in enumerate(lines):
        if label:
            cv2.rectangle(below, (8, 20 * row + 8, 12, 12), COLOURS.get(label, (0, 0, 0)), cv2.FILLED)
        cv2.putText(below, text, (26, 20 * row + 19), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (30, 30, 30), 1, cv2.LINE_AA)
    wider = np.full((picture.shape[0], below.shape[1] - picture.shape[1], 3), 255, np.uint8)
    return np.vstack([np.hstack([picture, wider]), below])
