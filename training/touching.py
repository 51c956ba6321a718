"""Simulated white cells that touch: what a slide of :mod:`edge_wbc.sources.smear_slide` never shows."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from edge_wbc.sources.smear_paint import Plane, outline, paint
from edge_wbc.sources.smear_slide import FREQUENCIES, Slide
from edge_wbc.sources.smear_specks import Speck, add
from edge_wbc.types import Box, Pixels

FIELD = (640, 480)
KINDS = tuple(FREQUENCIES)[:5]


def pairs(seed: int, count: int) -> Iterator[tuple[Pixels, tuple[Box, Box]]]:
    """Fields with two cells whose outlines touch in the middle, and their boxes.

    :param seed: of the slide, its stain and the cells.
    """
    rng = np.random.default_rng((seed, 9))
    slide = Slide(seed, 1)
    for number in range(count):
        ground = slide.transmission(2 * FIELD[0], (3 + number) * FIELD[1], FIELD)  # below the only white cell
        labels = rng.choice(KINDS, 2).tolist()
        edges = [outline(label, rng) for label in labels]
        turn = rng.uniform(0, 2 * np.pi)
        along = np.array((np.cos(turn), np.sin(turn)), np.float32)
        reach = float((edges[0] @ along).max() - (edges[1] @ along).min())
        middle = np.asarray(FIELD) / 2 + rng.uniform(-40, 40, 2)
        places = middle - along * reach / 2, middle + along * reach / 2
        od = np.zeros(ground.shape, np.float32)
        boxes = []
        for label, edge, place in zip(labels, edges, places, strict=True):
            x, y = place.astype(int).tolist()
            add(od, paint(label, edge, rng), Speck(x, y, 0, 0, 1.0), 0, 0)
            boxes.append(_box(edge, x, y))
        planes = np.clip(ground * np.exp(-od) * slide.light, 0, 255).astype(np.uint8)
        seen = slide.through_lens(cv2.merge(list(planes)))
        noisy = cv2.add(seen, slide.noise(number), dtype=cv2.CV_8U)
        yield np.asarray(noisy, np.uint8), (boxes[0], boxes[1])


def _box(edge: Plane, x: int, y: int) -> Box:
    left, top = np.floor(edge.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(edge.max(axis=0)).astype(int).tolist()
    return Box(x + left, y + top, right - left, bottom - top)
