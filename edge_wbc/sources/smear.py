"""``smear://``: a simulated microscope that drives across a simulated blood smear, for demo, tests and bench.

    smear://?seed=1&cells=200&size=640x480&fps=30
    smear://?seed=1&cells=200&path=wander&faults=focus,dust
    smear://?cells=200&crops=FOLDER
    smear://?cells=200&stain=magenta

Every frame says what is really in it (:attr:`Frame.truth`). All of it follows from the seed. Without ``fps``
fields come as fast as they are asked for; with it the source is live, like a camera over a moving stage.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge_wbc.errors import UsageError
from edge_wbc.sources.smear_crops import Crops
from edge_wbc.sources.smear_faults import FAULTS
from edge_wbc.sources.smear_paths import PATHS
from edge_wbc.sources.smear_slide import Slide
from edge_wbc.sources.smear_view import Shot, View
from edge_wbc.types import Box, Frame, KnownCell, Pixels
from edge_wbc.uri import Uri, width_and_height

MOST_CELLS = 1_000_000
SMALLEST_PX = (160, 120)
LARGEST_PX = (4096, 4096)
STAINS = ("usual", "magenta")
"""``magenta``: red cells are as magenta as on slides with strong eosin or a buffer that is off."""
SLIMMEST = 3.0
"""The longer side of a frame has at most this many shorter ones."""


class SmearSource:
    """One slide, seen along a path of the stage: field by field until every white cell was shown once, or as a video.

    :param size: width and height of a frame; every size sees about as much of the slide, finer or coarser.
    :param fps: pace; None for as fast as asked.
    :param path: a name in :data:`PATHS`.
    :param faults: names in :data:`FAULTS`.
    :param crops: photographed white cells in place of drawn ones.
    :param stain: a name in :data:`STAINS`.
    """

    def __init__(
        self,
        uri: str,
        seed: int,
        cells: int,
        size: tuple[int, int],
        fps: float | None,
        path: str = "fields",
        faults: frozenset[str] = frozenset(),
        crops: Crops | None = None,
        stain: str = STAINS[0],
    ) -> None:
        self.uri = uri
        self.continuous = path != "fields"
        self._path = PATHS[path]
        self._faults = faults
        self._crops, self._magenta = crops, stain == "magenta"
        self.live = fps is not None
        self._period_s = 1 / fps if fps else 0.0
        self._size = size
        self._scale = min(size[0] / 640, size[1] / 480)
        self._seed, self._cells = seed, cells
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """Yield what the camera sees at each position of the stage; see :meth:`Source.frames`."""
        field = round(self._size[0] / self._scale), round(self._size[1] / self._scale)
        last, due = -1, time.monotonic()
        for shot in self._shots(Slide(self._seed, self._cells, field, self._crops, magenta=self._magenta)):
            pixels, truth = self._resized(shot.pixels, shot.truth)
            if self.live:
                due = max(due + (shot.number - last) * self._period_s, time.monotonic())
                self._closed.wait(due - time.monotonic())
            if self._closed.is_set():
                return
            yield Frame(pixels, shot.number, time.monotonic_ns(), self.uri, truth, shot.defocus_px)
            last = shot.number

    def close(self) -> None:
        """End ``frames()`` now, from any thread."""
        self._closed.set()

    def _shots(self, slide: Slide) -> Iterator[Shot]:
        if self.continuous or self._faults:
            yield from View(slide, self._faults).shots(self._path(slide), moving=self.continuous)
            return
        for index, place in enumerate(self._path(slide)):
            yield Shot(index, *slide.render(*place, exposure=index), 0.0)

    def _resized(self, pixels: Pixels, truth: tuple[KnownCell, ...]) -> tuple[Pixels, tuple[KnownCell, ...]]:
        width, height = self._size
        if (width, height) == (pixels.shape[1], pixels.shape[0]):
            return pixels, truth
        shrink = width < pixels.shape[1]
        resized = cv2.resize(pixels, self._size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
        known = []
        for cell in truth:
            x, y, wide, high = (round(length * self._scale) for length in cell.box)
            box = Box(x, y, min(wide, width - x), min(high, height - y))
            known.append(KnownCell(box, cell.label, cell.cell_id))
        return np.asarray(resized, np.uint8), tuple(known)


def open_smear(uri: Uri) -> SmearSource:
    """The simulated microscope.

    :raises UsageError: an unknown option, or a value that makes no sense.
    :raises SourceError: the folder of crops is not there or holds no white cell.
    """
    uri.allow("seed", "cells", "size", "fps", "path", "faults", "crops", "stain")
    if uri.path.strip("/"):
        raise UsageError(f"{uri.text}: smear takes no path, only options; write for example smear://?seed=1&cells=200")
    seed = uri.option("seed", int, 1)
    cells = uri.option("cells", int, 200)
    fps = uri.option("fps", float, 30) if "fps" in uri.options else None
    size = _size(uri)
    if seed < 0:
        raise UsageError(f"{uri.text}: seed={seed} is negative; write for example seed=1")
    if not 1 <= cells <= MOST_CELLS:
        raise UsageError(f"{uri.text}: cells={cells} is not from 1 to {MOST_CELLS}; write for example cells=200")
    if fps is not None and not (math.isfinite(fps) and 0.01 <= fps <= 1000):
        raise UsageError(f"{uri.text}: fps={fps:g} is not between 0.01 and 1000; write for example fps=30")
    path = uri.options.get("path", "fields")
    if path not in PATHS:
        raise UsageError(f"{uri.text}: path={path!r} is not one of {', '.join(PATHS)}; write for example path=wander")
    stain = uri.options.get("stain", STAINS[0])
    if stain not in STAINS:
        raise UsageError(
            f"{uri.text}: stain={stain!r} is not one of {', '.join(STAINS)}; write for example stain=magenta"
        )
    crops = Crops(Path(uri.options["crops"])) if "crops" in uri.options else None
    return SmearSource(uri.text, seed, cells, size, fps, path, _faults(uri), crops, stain)


def _faults(uri: Uri) -> frozenset[str]:
    if "faults" not in uri.options:
        return frozenset()
    text = uri.options["faults"]
    if text == "all":
        return frozenset(FAULTS)
    named = text.split(",")
    for name in named:
        if name not in FAULTS:
            raise UsageError(
                f"{uri.text}: fault {name!r} is not one of {', '.join(FAULTS)}; write for example faults=focus,dust "
                "or faults=all"
            )
    return frozenset(named)


def _size(uri: Uri) -> tuple[int, int]:
    text = uri.options.get("size", "640x480")
    size = width_and_height(text)
    if size is None:
        raise UsageError(f"{uri.text}: size={text!r} is not WIDTHxHEIGHT; write for example size=640x480")
    if (
        min(size) < min(SMALLEST_PX)
        or max(size) < max(SMALLEST_PX)
        or max(size) > max(LARGEST_PX)
        or max(size) > SLIMMEST * min(size)
    ):
        raise UsageError(
            f"{uri.text}: size={text} is not from 160x120 to 4096x4096 with sides at most 1 to {SLIMMEST:g}; "
            "write for example size=640x480"
        )
    return size
