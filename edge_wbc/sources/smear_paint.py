"""How the simulated white cells are drawn: outline, nucleus, chromatin, granules, vacuoles.

Everything is painted in optical density (OD, natural logarithm): stain absorbs, so densities add where things
overlap, and a slide's stain and lamp can be changed afterwards. Colours below are what a place looks like in
May-Grünwald-Giemsa photographs, BGR; lengths are in units of the cell's radius unless named ``_px``. Looks were
set beside photographs, by eye and by their statistics of colour and texture; no pixel of a photograph is here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Plane: TypeAlias = npt.NDArray[np.float32]
"""(height, width) or, for three colours, (3, height, width)."""
Shape: TypeAlias = tuple[float, float, float, float, float]
"""An ellipse: centre x, centre y, half axes a and b, angle of a in radians."""
Colour: TypeAlias = tuple[int, int, int]

LAMP: Colour = (204, 228, 255)
"""An empty place in the photographs from which the colours below were read."""
CORNERS = 120
"""Of an outline."""
_FINE = 2
"""Masks are drawn this much larger, then reduced."""
_TEXTURE_PX = 512


def density(colour: Colour) -> Plane:
    """Optical density per colour of a place that looks like ``colour`` under ``LAMP``; shape (3, 1, 1)."""
    ratio = np.asarray(colour, np.float32) / np.asarray(LAMP, np.float32)
    return np.asarray(-np.log(ratio).reshape(3, 1, 1), np.float32)


class Look(NamedTuple):
    """What one class of cell looks like."""

    radius_px: tuple[float, float]
    """Smallest and largest."""
    bumps: tuple[float, float]
    """Slow and quick unevenness of the outline."""
    cytoplasm: tuple[Colour, Colour]
    """Pale and dense."""
    mottle: float
    """How unevenly the cytoplasm is stained."""
    chromatin: tuple[Colour, Colour]
    """Open and condensed."""
    condensed: float
    """Mean of the chromatin's tone, 0 open to 1 condensed."""
    lace: float
    """How much the tone varies over 3 pixels…"""
    clumps: float
    """… and over 8."""
    crisp: float
    """Width of the nucleus' edge in pixels: small is sharp."""


LOOKS: dict[str, Look] = {
    "neutrophil": Look(
        (64, 80), (0.035, 0.008), ((196, 194, 226), (170, 146, 198)), 0.30,
        ((170, 112, 160), (120, 26, 64)), 0.76, 0.24, 0.22, 2.0,
    ),
    "eosinophil": Look(
        (66, 78), (0.035, 0.008), ((192, 184, 208), (172, 148, 190)), 0.25,
        ((172, 114, 162), (122, 28, 70)), 0.70, 0.26, 0.22, 2.0,
    ),
    "basophil": Look(
        (62, 76), (0.05, 0.014), ((186, 156, 208), (160, 100, 176)), 0.40,
        ((166, 96, 156), (122, 34, 78)), 0.50, 0.24, 0.20, 2.6,
    ),
    "lymphocyte": Look(
        (46, 60), (0.05, 0.014), ((190, 164, 180), (152, 94, 110)), 0.45,
        ((160, 86, 142), (120, 28, 72)), 0.74, 0.20, 0.08, 2.0,
    ),
    "monocyte": Look(
        (74, 97), (0.08, 0.010), ((188, 164, 192), (160, 108, 144)), 0.20,
        ((172, 112, 164), (124, 30, 80)), 0.55, 0.38, 0.08, 1.8,
    ),
    "immature granulocyte": Look(
        (60, 82), (0.04, 0.01), ((182, 150, 188), (152, 96, 142)), 0.45,
        ((174, 114, 164), (121, 27, 68)), 0.70, 0.36, 0.22, 2.2,
    ),
    "erythroblast": Look(
        (44, 56), (0.07, 0.012), ((180, 154, 184), (152, 106, 140)), 0.25,
        ((164, 102, 144), (118, 24, 58)), 0.84, 0.18, 0.22, 1.5,
    ),
}  # fmt: skip


def outline(label: str, rng: np.random.Generator) -> Plane:
    """The edge of a cell as a closed polygon around its centre: (CORNERS, 2) x, y in pixels."""
    look = LOOKS[label]
    radius = rng.uniform(*look.radius_px)
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    slow, quick = look.bumps
    waves = np.array((2, 3, 4, 7, 11, 18, 29))
    swing = rng.normal(0, (slow, 0.7 * slow, 0.5 * slow, quick, quick, quick, 0.7 * quick))
    phase = rng.uniform(0, 2 * np.pi, (len(waves), 1))
    reach = np.clip(1 + swing @ np.cos(np.outer(waves, angle) + phase), 0.75, 1.25) * radius
    return np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1).astype(np.float32)


def paint(label: str, edge: Plane, rng: np.random.Generator) -> Plane:
    """The optical density of a cell: (3, side, side), its centre at pixel ``side // 2``."""
    side = 2 * (int(np.ceil(np.abs(edge).max())) + 8) + 1
    look = LOOKS[label]
    tile = _Tile(side, float(np.sqrt((edge**2).sum(1).mean())), rng)
    body = tile.polygon(edge)
    return _PAINTERS[label](tile, look, body)


class _Tile:
    """A square piece of slide with a cell in its middle."""

    def __init__(self, side: int, radius_px: float, rng: np.random.Generator) -> None:
        self.side, self.radius, self.rng = side, radius_px, rng

    def polygon(self, edge: Plane) -> Plane:
        """A filled polygon, softened, 0 to 1."""
        canvas = np.zeros((self.side * _FINE, self.side * _FINE), np.uint8)
        points = ((edge + self.side / 2) * _FINE * 16).astype(np.int32)
        cv2.fillPoly(canvas, [points], 255, cv2.LINE_AA, shift=4)
        return self._reduce(canvas, 1.0)

    def blob(
        self,
        shapes: Sequence[Shape],
        bridges: float = 0.0,
        holes: Sequence[Shape] = (),
        crumple_px: float = 1.6,
    ) -> Plane:
        """Rounded union of ellipses, joined in their order by bridges this thick, less the holes.

        0 to 1, with a slope some pixels wide: 0.5 is the edge.
        """
        canvas = np.zeros((self.side * _FINE, self.side * _FINE), np.uint8)
        if bridges:
            middles = [self._fixed(x, y) for x, y, *_ in shapes]
            thick_px = max(1, round(bridges * self.radius * _FINE))
            for here, there in pairwise(middles):
                cv2.line(canvas, here, there, 255, thick_px, cv2.LINE_AA, 4)
        for colour, these in ((255, shapes), (0, holes)):
            for x, y, a, b, turn in these:
                axes = (round(a * self.radius * _FINE * 16), round(b * self.radius * _FINE * 16))
                degrees = float(np.degrees(turn))
                cv2.ellipse(canvas, self._fixed(x, y), axes, degrees, 0, 360, colour, -1, cv2.LINE_AA, 4)
        return self._crumple(self._reduce(canvas, 3.0), crumple_px)

    def noise(self, name: str) -> Plane:
        """A random place of a texture."""
        texture = _textures()[name]
        y, x = self.rng.integers(0, _TEXTURE_PX - self.side, 2)
        piece = texture[y : y + self.side, x : x + self.side]
        turn = self.rng.integers(0, 4)
        return piece[:: 1 - 2 * (turn & 1), :: 1 - (turn & 2)]

    def _fixed(self, x: float, y: float) -> tuple[int, int]:
        middle = self.side / 2
        return round((middle + x * self.radius) * _FINE * 16), round((middle + y * self.radius) * _FINE * 16)

    def _reduce(self, canvas: npt.NDArray[np.uint8], soften_px: float) -> Plane:
        small = cv2.resize(canvas, (self.side, self.side), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), soften_px)
        return np.asarray(small * np.float32(1 / 255), np.float32)

    def _crumple(self, mask: Plane, by_px: float) -> Plane:
        columns = np.tile(np.arange(self.side, dtype=np.float32), (self.side, 1))
        across = columns + np.float32(by_px) * self.noise("waves")
        down = columns.T + np.float32(by_px) * self.noise("waves")
        return np.asarray(cv2.remap(mask, across, down, cv2.INTER_LINEAR), np.float32)


def _cytoplasm(tile: _Tile, look: Look, body: Plane, *, rim: float = 0.0) -> Plane:
    """The cell without nucleus; ``rim``: how much denser towards the edge."""
    uneven = 0.7 * tile.noise("clouds") - 0.5 * tile.noise("lace") + 0.3 * tile.noise("grain")
    tone = tile.rng.normal(0.4, 0.1) + look.mottle * uneven
    if rim:
        tone += rim * (1 - cv2.GaussianBlur(body, (0, 0), 0.1 * tile.radius))
    np.clip(tone, 0, 1.4, out=tone)
    pale, dense = density(look.cytoplasm[0]), density(look.cytoplasm[1])
    return np.asarray(body * (pale + tone * (dense - pale)), np.float32)


def _nucleus(
    tile: _Tile, look: Look, od: Plane, slope: Plane, body: Plane, *, rim: float = 0.28, weave: str = "lace"
) -> Plane:
    """Lay a nucleus over ``od``; returns where it is, 0 to 1."""
    width = look.crisp / 15
    there: Plane = np.clip((slope - 0.5) / width + 0.5, 0, 1) * body
    tone = tile.rng.normal(look.condensed, 0.04) + look.lace * tile.noise(weave) + look.clumps * tile.noise("clumps")
    tone += rim * (1 - np.clip((slope - 0.6) / 0.35, 0, 1))
    np.clip(tone, 0, 1.12, out=tone)
    opened, condensed = density(look.chromatin[0]), density(look.chromatin[1])
    od += there * (opened + tone * (condensed - opened) - od)
    return there


def _granules(
    tile: _Tile, od: Plane, where: Plane, colour: Colour, size: str, share: float, strength: float = 1.0
) -> None:
    """Scatter granules of a size where ``where`` is; ``share``: of the places, how many hold one."""
    beads = tile.noise(size)
    drawn = np.clip((beads - (1 - share)) * 6, 0, 1)
    od += (strength * where * drawn) * (density(colour) - od)


def _chain(rng: np.random.Generator, lobes: int, size: float, ring: float, apart: float) -> list[Shape]:
    """Lobes of a segmented nucleus along an arc, their middles ``apart`` lobe sizes from each other."""
    span = (lobes - 1) * 2 * np.arcsin(min(1.0, apart * size / 2 / ring))
    start = rng.uniform(0, 2 * np.pi)
    off_x, off_y = rng.normal(0, 0.06, 2)
    shapes: list[Shape] = []
    for turn in start + np.linspace(-span / 2, span / 2, lobes) + rng.normal(0, 0.12, lobes):
        distance = ring * rng.uniform(0.85, 1.1)
        a, b = size * rng.uniform(0.95, 1.25), size * rng.uniform(0.75, 0.98)
        x, y = off_x + distance * np.cos(turn), off_y + distance * np.sin(turn)
        shapes.append((float(x), float(y), a, b, float(turn + np.pi / 2 + rng.normal(0, 0.4))))
    return shapes


def _neutrophil(tile: _Tile, look: Look, body: Plane) -> Plane:
    rng = tile.rng
    lobes = int(rng.choice([2, 3, 4, 5], p=[0.12, 0.43, 0.35, 0.10]))
    shapes = _chain(rng, lobes, 0.62 / np.sqrt(lobes), rng.uniform(0.48, 0.58), rng.uniform(1.6, 2.05))
    od = _cytoplasm(tile, look, body)
    _granules(tile, od, body, (156, 100, 166), "dust", rng.uniform(0.3, 0.55), 0.7)
    _nucleus(tile, look, od, tile.blob(shapes, rng.uniform(0.1, 0.2)), body)
    return od


def _eosinophil(tile: _Tile, look: Look, body: Plane) -> Plane:
    rng = tile.rng
    lobes = int(rng.choice([2, 3], p=[0.8, 0.2]))
    shapes = _chain(rng, lobes, 0.63 / np.sqrt(lobes), rng.uniform(0.46, 0.55), rng.uniform(1.9, 2.4))
    od = _cytoplasm(tile, look, body)
    beads = tile.noise("round")
    cover = np.clip(2.0 + 1.2 * tile.noise("clouds"), 0, 1) * body
    pale, dense = density((156, 146, 210)), density((122, 78, 172))
    od += (0.95 * cover) * (pale + np.clip(0.15 + 1.1 * beads, 0, 1) * (dense - pale) - od)
    _nucleus(tile, look, od, tile.blob(shapes, rng.uniform(0.08, 0.16)), body)
    return od


def _basophil(tile: _Tile, look: Look, body: Plane) -> Plane:
    rng = tile.rng
    lobes = int(rng.choice([2, 3]))
    shapes = _chain(rng, lobes, 0.7 / np.sqrt(lobes), rng.uniform(0.34, 0.44), rng.uniform(1.5, 1.9))
    od = _cytoplasm(tile, look, body)
    _nucleus(tile, look, od, tile.blob(shapes, 0.3), body)
    share = rng.uniform(0.55, 0.85)
    _granules(tile, od, body, (126, 36, 90), "coarse", share, 0.9)
    _granules(tile, od, body, (114, 22, 60), "round", 0.8 * share, 0.95)
    return od


def _lymphocyte(tile: _Tile, look: Look, body: Plane) -> Plane:
    rng = tile.rng
    size = rng.uniform(0.84, 0.97)
    turn = rng.uniform(0, 2 * np.pi)
    off = rng.uniform(0.3, 1.0) * (0.99 - size)
    od = _cytoplasm(tile, look, body, rim=0.5)
    slope = tile.blob([_oval(rng, size, off, turn)])
    _nucleus(tile, look, od, slope, body, rim=0.35, weave="threads")
    return od


def _oval(rng: np.random.Generator, size: float, off: float, turn: float) -> Shape:
    """An almost round nucleus, ``off`` from the middle of the cell in the direction ``turn``."""
    return off * np.cos(turn), off * np.sin(turn), size, size * rng.uniform(0.9, 1), rng.uniform(0, np.pi)


def _kidney(rng: np.random.Generator, size: float, off: float, depth: float) -> tuple[list[Shape], list[Shape]]:
    """An oval and the bay in it, its back ``off`` from the middle of the cell: shapes and holes of a blob."""
    turn = rng.uniform(0, 2 * np.pi)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    middle = -off * along
    whole = (*middle, size * 0.88, size * rng.uniform(1.02, 1.15), turn)
    bay = middle + (0.88 * size + 0.34 - depth) * along + rng.normal(0, 0.12) * across
    return [whole], [(*bay, 0.34, rng.uniform(0.2, 0.42), turn)]


def _monocyte(tile: _Tile, look: Look, body: Plane) -> Plane:
    rng = tile.rng
    od = _cytoplasm(tile, look, body, rim=0.15)
    _granules(tile, od, body, (156, 92, 132), "dust", 0.4, 0.4)
    froth = np.clip((tile.noise("coarse") - rng.uniform(0.55, 0.95)) * 4, 0, 1)
    od *= 1 - 0.4 * froth + 0.2 * tile.noise("threads")
    if rng.random() < 0.3:
        shapes = _chain(rng, 7, 0.38, rng.uniform(0.4, 0.46), rng.uniform(0.5, 0.72))
        slope = tile.blob(shapes, 0.6, crumple_px=2.5)
    else:
        shapes, holes = _kidney(rng, rng.uniform(0.74, 0.88), rng.uniform(0.0, 0.1), rng.uniform(0.1, 0.4))
        slope = tile.blob(shapes, holes=holes, crumple_px=3.0)
    _nucleus(tile, look, od, slope, body, rim=0.4)
    for _ in range(int(rng.choice([0, 2, 4, 8, 14]))):
        turn, away, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.55, 0.95), rng.uniform(0.03, 0.075)
        hole = tile.blob([(away * np.cos(turn), away * np.sin(turn), size, size, 0.0)])
        od -= np.clip(hole * 1.6, 0, 0.8) * od * 0.9
    return od


def _immature(tile: _Tile, look: Look, body: Plane) -> Plane:
    rng = tile.rng
    size = rng.uniform(0.70, 0.82)
    shapes, holes = _kidney(rng, size, (0.95 - size) * rng.uniform(0.5, 1), rng.uniform(0, 0.3))
    od = _cytoplasm(tile, look, body, rim=0.2)
    nucleus = _nucleus(tile, look, od, tile.blob(shapes, holes=holes), body, rim=0.25)
    young = rng.random()
    where = body * (1 - (0.8 - 0.5 * young) * nucleus)
    _granules(tile, od, where, (146, 74, 136), "dust", 0.3 + 0.5 * young, 0.7)
    _granules(tile, od, where, (127, 38, 92), "fine", 0.35 + 0.55 * young, 0.9)
    return od


def _erythroblast(tile: _Tile, look: Look, body: Plane) -> Plane:
    rng = tile.rng
    size = rng.uniform(0.54, 0.66)
    turn, off = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.85) * (0.9 - size)
    od = _cytoplasm(tile, look, body, rim=0.25)
    _nucleus(tile, look, od, tile.blob([_oval(rng, size, off, turn)], crumple_px=0.7), body)
    return od


_PAINTERS: dict[str, Callable[[_Tile, Look, Plane], Plane]] = {
    "neutrophil": _neutrophil,
    "eosinophil": _eosinophil,
    "basophil": _basophil,
    "lymphocyte": _lymphocyte,
    "monocyte": _monocyte,
    "immature granulocyte": _immature,
    "erythroblast": _erythroblast,
}


@functools.cache
def _textures() -> dict[str, Plane]:
    """Noise of mean 0 and deviation 1, and beads of four sizes.

    Each bead is as high, 0 to 1, as its rank among all, so that a share of them can be taken.
    """
    rng = np.random.default_rng(20)

    def band(small_px: float, large_px: float = 0.0) -> Plane:
        white = rng.standard_normal((_TEXTURE_PX, _TEXTURE_PX)).astype(np.float32)
        noise = cv2.GaussianBlur(white, (0, 0), small_px)
        if large_px:
            noise = cv2.subtract(noise, cv2.GaussianBlur(white, (0, 0), large_px))
        return np.asarray(noise / noise.std(), np.float32)

    def beads(pitch_px: float, radius_px: float) -> Plane:
        count = int(_TEXTURE_PX / pitch_px)
        places = np.mgrid[:count, :count].reshape(2, -1) + rng.uniform(0.05, 0.95, (2, count**2))
        y, x = np.clip((places * pitch_px).astype(int), 0, _TEXTURE_PX - 1)
        empty = np.ones((_TEXTURE_PX, _TEXTURE_PX), np.uint8)
        empty[y, x] = 0
        distance, nearest = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        height = rng.random(nearest.max() + 1).astype(np.float32)[nearest]
        round_top = np.clip(1.3 - 0.8 * (distance / radius_px) ** 2, 0, 1)
        return np.asarray(cv2.GaussianBlur(height * round_top, (0, 0), 0.6), np.float32)

    lace = -np.exp(0.6 * band(1.3, 3.5))  # a dense net with narrow gaps
    lace = (lace - lace.mean()) / lace.std()
    return {
        "grain": band(0.8),
        "lace": lace,
        "threads": band(1.0, 2.6),
        "clumps": band(3.0, 8.0),
        "waves": band(7.0),
        "clouds": band(14.0),
        "dust": beads(4.0, 1.3),
        "fine": beads(5.0, 1.9),
        "coarse": beads(5.5, 3.0),
        "round": beads(7.0, 3.8),
    }


@functools.cache
def platelets() -> list[Plane]:
    """Platelets: small, violet, granular; optical density, (3, 33, 33)."""
    rng = np.random.default_rng(31)
    pale, dense = density((188, 150, 190)), density((140, 70, 124))
    side = 33
    sprites = []
    for _ in range(16):
        tile = _Tile(side, float(rng.uniform(8, 11)), rng)
        turn = rng.uniform(0, np.pi)
        shape = np.clip(tile.blob([(0.0, 0.0, 1.0, rng.uniform(0.7, 1.0), turn)]) * 1.8 - 0.4, 0, 1)
        tone = np.clip(0.35 + 0.5 * shape * shape + 0.4 * tile.noise("lace"), 0, 1)
        sprites.append(shape * (pale + tone * (dense - pale)))
    return sprites
