"""Small pictures of wrongly classified crops."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import cv2

from edge_wbc.engines.base import Engine
from edge_wbc.sources.files import read_image
from edge_wbc.types import Box, Pixels
from edge_wbc.vision.crop import crop
from training.evaluate import MISSED, UNREADABLE, Scored, crops_of

MOST = 24
SIDE_PX = 96
_JPEG_QUALITY = 85


class Thumbnail(NamedTuple):
    """A wrongly classified crop."""

    scored: Scored
    uri: str
    """JPEG as a ``data:`` URI."""


def thumbnails(scored: Sequence[Scored], engine: Engine, mode: str) -> list[Thumbnail]:
    """The crops of ``worst_errors``, as the engine saw them; of a missed cell its box, or the whole image."""
    chosen = [item for item in worst_errors(scored) if item.said != UNREADABLE]
    crops = crops_of([item.sample for item in chosen], engine, mode)
    return [
        Thumbnail(item, _uri(_around(item) if found is None else found[0]))
        for item, (_, found, _) in zip(chosen, crops, strict=True)
    ]


def worst_errors(scored: Sequence[Scored], most: int = MOST) -> list[Scored]:
    """At most so many errors: the surest one of every photograph first, then the second of each, and so on."""
    wrong = [item for item in scored if item.said != item.sample.label]
    wrong.sort(key=lambda item: (-_sureness(item), str(item.sample.path)))
    turn: Counter[str] = Counter()
    ranked = []
    for item in wrong:
        ranked.append((turn[item.sample.group], item))
        turn[item.sample.group] += 1
    return [item for _, item in sorted(ranked, key=lambda pair: pair[0])[:most]]


def _sureness(item: Scored) -> float:
    return item.prediction.probability if item.prediction is not None else 0.0


def _around(item: Scored) -> Pixels:
    assert item.said == MISSED
    pixels = read_image(item.sample.path)
    if item.sample.box is not None:
        return crop(pixels, item.sample.box, SIDE_PX)
    height, width = pixels.shape[:2]
    return crop(pixels, Box(0, 0, width, height), SIDE_PX, margin=1)


def _uri(pixels: Pixels) -> str:
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
