"""The one crop function: used by training, calibration, evaluation, bench and the live pipeline alike."""

from __future__ import annotations

import cv2

from edge_wbc.types import Box, Pixels

MARGIN = 1.5
"""Side of the crop in lengths of the box's longer side: the neighbours in view tell the cell's true size."""


def crop(pixels: Pixels, box: Box, size: int, *, margin: float = MARGIN, out: Pixels | None = None) -> Pixels:
    """Cut a square around a cell and bring it to the network's size.

    The square is centred on the box, ``margin`` × its longer side wide; what lies outside the frame repeats the
    frame's edge. Shrinking averages areas, enlarging interpolates linearly.

    :param pixels: (height, width, 3) uint8 BGR.
    :param size: side of the result in pixels.
    :param out: (size, size, 3) uint8 to write into; a new array otherwise.
    :returns: (size, size, 3) uint8 BGR.
    """
    height, width = pixels.shape[:2]
    side = 2 * max(1, round(margin * max(box.width, box.height) / 2))
    left = round(box.xmin + box.width / 2 - side / 2)
    top = round(box.ymin + box.height / 2 - side / 2)
    y0, y1 = min(max(0, top), height - 1), max(1, min(height, top + side))
    x0, x1 = min(max(0, left), width - 1), max(1, min(width, left + side))
    inside = pixels[y0:y1, x0:x1]
    before_y, before_x = min(max(0, -top), side - 1), min(max(0, -left), side - 1)
    after_y, after_x = side - before_y - inside.shape[0], side - before_x - inside.shape[1]
    if before_y or before_x or after_y or after_x:
        inside = cv2.copyMakeBorder(inside, before_y, after_y, before_x, after_x, cv2.BORDER_REPLICATE)
    while inside.shape[0] >= 2 * size and inside.shape[0] % 2 == 0:  # exact halves first: half the time
        inside = cv2.resize(inside, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    interpolation = cv2.INTER_AREA if inside.shape[0] > size else cv2.INTER_LINEAR
    result: Pixels = cv2.resize(inside, (size, size), dst=out, interpolation=interpolation)
    return result
