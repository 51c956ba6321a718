"""Photographed white cells for the simulated slide: cut from labelled crops, laid on synthetic fields.

A folder holds one folder a class, every image one cell near its middle. A cell is told from its surroundings by
its shape: the nucleus is the darkest thing near the middle, the cell what hangs together around it. It is laid
down as density over the crop's own background, so that it stands on the slide's background without a rim.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.errors import SourceError, reason
from edge_wbc.sources.files import images_below, read_image
from edge_wbc.sources.smear_paint import LOOKS, Plane
from edge_wbc.types import Pixels

_WORK_PX = 180
"""Shorter side at which cells are told from what surrounds them."""
_FAINTEST = 0.09
"""Density in green that is no longer background."""
_NECK_PX = 13
"""What is narrower joins cells that touch; part it is cut from."""
_CYTOPLASM = 0.8
"""Nothing of the cell is farther from its nucleus than so many of its radii."""
_MEASURED = 8
"""Crops of each class from which the magnification of all is told."""
_LARGEST_PX = 220
"""Of a cell on the slide."""
_FEATHER_PX = 2.0


class Photographed(NamedTuple):
    """A cell cut out."""

    edge: Plane
    """Outline around the middle of the cell, (points, 2) x, y in slide pixels."""
    od: Plane
    """Optical density, (3, side, side), the middle of the cell at pixel ``side // 2``; 0 outside the cell."""


class Crops:
    """A folder of labelled crops, dealt to the cells of a slide.

    :raises SourceError: no folder, or no image in a folder named after a class of white cells. Other folders in it
        are left alone.
    """

    def __init__(self, folder: Path) -> None:
        try:
            inside = sorted(path for path in folder.iterdir() if path.is_dir())
        except OSError as error:
            raise SourceError(f"{folder}: {reason(error)}; give a folder that holds one folder a class") from None
        self._paths: dict[str, list[Path]] = {}
        for path in inside:
            label = path.name.lower().replace("_", " ")
            label = "immature granulocyte" if label == "ig" else label
            if label in LOOKS:
                self._paths.setdefault(label, []).extend(images_below(path))
        self.labels = tuple(label for label in LOOKS if self._paths.get(label))
        """The classes of white cells that the folder holds."""
        if not self.labels:
            raise SourceError(
                f"{folder}: no image in a folder named after a white cell; name the folders {', '.join(LOOKS)}"
            )
        self._cut = functools.lru_cache(maxsize=64)(self._cut_out)

    def deal(self, labels: Sequence[str], seed: int) -> list[Path]:
        """A crop for each cell: none comes again before every crop of its class has come."""
        rng = np.random.default_rng((seed, 8))
        decks = {label: rng.permutation(len(self._paths[label])) for label in self.labels}
        taken = dict.fromkeys(self.labels, 0)
        dealt = []
        for label in labels:
            dealt.append(self._paths[label][decks[label][taken[label] % len(decks[label])]])
            taken[label] += 1
        return dealt

    def cell(self, path: Path) -> Photographed:
        """The cell of a crop as large as a simulated one.

        :raises SourceError: the crop can't be read.
        """
        return self._cut(path)

    @functools.cached_property
    def _zoom(self) -> float:
        """Slide pixels to a pixel of a crop: the usual cell becomes as large as a drawn one of its class."""
        zooms = []
        for label in self.labels:
            areas = [np.count_nonzero(_cell_of(path)[0]) for path in self._paths[label][:_MEASURED]]
            radius = (sorted(areas)[len(areas) // 2] / np.pi) ** 0.5
            zooms.append(sum(LOOKS[label].radius_px) / 2 / radius)
        return sorted(zooms)[len(zooms) // 2]

    def _cut_out(self, path: Path) -> Photographed:
        mask, od = _cell_of(path)
        _, _, wide, high = cv2.boundingRect(mask)
        zoom = min(self._zoom, _LARGEST_PX / max(wide, high))
        mask = cv2.resize(255 * mask, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
        mask = (cv2.GaussianBlur(mask, (0, 0), 2) > 127).astype(np.uint8)
        od = cv2.resize(od, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_CUBIC)
        left, top, wide, high = cv2.boundingRect(mask)
        middle, half = (left + wide // 2, top + high // 2), max(wide, high) // 2 + 12
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        edge = max(contours, key=len).reshape(-1, 2).astype(np.float32) - np.asarray(middle, np.float32)
        grown = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
        there = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), _FEATHER_PX)
        cut = np.maximum(od, 0) * there[..., None]
        cut = cv2.copyMakeBorder(cut, half, half, half, half, cv2.BORDER_CONSTANT, value=0)
        cut = cut[middle[1] : middle[1] + 2 * half + 1, middle[0] : middle[0] + 2 * half + 1]
        return Photographed(edge, np.ascontiguousarray(cut.transpose(2, 0, 1), np.float32))


def _cell_of(path: Path) -> tuple[npt.NDArray[np.uint8], Plane]:
    """Where the cell near the middle of a crop is, 0 or 1, and the density of all there is, (height, width, 3).

    :raises SourceError: the crop can't be read, or nothing dark is in it.
    """
    crop = read_image(path)
    height, width = crop.shape[:2]
    shrink = _WORK_PX / min(height, width)
    if shrink < 1:
        crop = np.asarray(cv2.resize(crop, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
    od = _over_background(crop)
    green = cv2.GaussianBlur(od[..., 1], (0, 0), 1)
    nucleus = _nucleus(green)
    if not nucleus.any():
        raise SourceError(f"{path}: no cell stands out from this image; take it out of the folder")
    radius = float(np.sqrt(nucleus.sum() / np.pi))
    body = _opened((green > _FAINTEST).astype(np.uint8), _NECK_PX)
    body[cv2.distanceTransform(1 - nucleus, cv2.DIST_L2, 5) > _CYTOPLASM * radius] = 0
    body = _opened(body, max(_NECK_PX, round(1.4 * radius))) | nucleus  # what is left of neighbours is slim
    count, parts = cv2.connectedComponents(body)
    most = np.bincount(parts[nucleus > 0], minlength=count).argmax()
    body = (parts == most).astype(np.uint8)
    contours, _ = cv2.findContours(body, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(body, contours, -1, 1, cv2.FILLED)
    return body, od


def _opened(mask: npt.NDArray[np.uint8], slimmest_px: int) -> npt.NDArray[np.uint8]:
    """Without what is slimmer."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (slimmest_px, slimmest_px))
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc), np.uint8)


def _over_background(crop: Pixels) -> Plane:
    """Optical density over the crop's own empty places: (height, width, 3)."""
    bright = crop[..., 1] >= np.quantile(crop[..., 1], 0.8)
    empty = np.median(crop[bright], axis=0).astype(np.float32)
    return np.asarray(-np.log(np.maximum(crop, 1) / np.maximum(empty, 1)), np.float32)


def _nucleus(green: Plane) -> npt.NDArray[np.uint8]:
    """The dark thing nearest the middle, with what lies close by: 0 or 1."""
    grey = np.clip(255 * green / max(float(green.max()), 1e-3), 0, 255).astype(np.uint8)
    _, dark = cv2.threshold(grey, max(0.45 * 255, 1), 1, cv2.THRESH_BINARY)
    joined = cv2.dilate(dark, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    count, parts, boxes, middles = cv2.connectedComponentsWithStats(joined)
    centre = np.array((green.shape[1] / 2, green.shape[0] / 2))
    size = np.sqrt(boxes[1:, cv2.CC_STAT_AREA]) / (1 + np.hypot(*(middles[1:] - centre).T) / 20)
    best = 1 + int(size.argmax()) if count > 1 else 0
    return np.asarray(dark & (parts == best), np.uint8)
