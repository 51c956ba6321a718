"""The simulated slide: what lies where, and what the microscope shows of it at a stage position.

Positions are slide pixels, as wide as a pixel of a 640×480 field. The slide is planned in squares of one
field each, every square from its own random numbers: any place looks the same whenever it is drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.sources.smear_crops import Crops
from edge_wbc.sources.smear_paint import Plane, outline, paint, platelets
from edge_wbc.sources.smear_specks import Speck, add, red_cells
from edge_wbc.types import Box, KnownCell, Pixels

FREQUENCIES: dict[str, float] = {
    "neutrophil": 0.55,
    "lymphocyte": 0.28,
    "monocyte": 0.08,
    "eosinophil": 0.05,
    "basophil": 0.02,
    "immature granulocyte": 0.01,
    "erythroblast": 0.01,
}
"""Of the white cells: an adult's blood, and enough of the rare ones to see them."""
CELLS_PER_FIELD = (0.2, 0.4, 0.3, 0.1)
"""How probable 0, 1, 2 and 3 white cells in a field are."""
COLUMNS = 20
"""Fields side by side; then the stage goes down a field and comes back."""
GAP_PX = 30
"""Between the boxes of two white cells, and half of it to the field's edge."""

_RED_CELLS = 64
"""Tried per field; fewer find room."""
_PLATELETS = 1.6
_LIGHTS = np.array(((204, 228, 255), (212, 222, 226)), np.float32)
"""Empty places of the warmest and the coolest slide…"""
_REDS = np.array(((0.17, 0.27, 0.18), (0.17, 0.25, 0.12)), np.float32)
"""… and the density of their red cells."""
MAGENTA = np.array(((0.10, 0.50, 0.16), (0.17, 0.60, 0.26)), np.float32)
"""The same where eosin is strong or the buffer is off: red cells take as much green as many a nucleus' rim, hardly any
blue, and some red."""
_STACKED = 0.15
"""How much of the thinner of two overlapping red cells shows: they give way to each other."""
_NOISE_MARGIN_PX = 128


@dataclass(frozen=True, slots=True, eq=False)
class WhiteCell:
    """A white cell of the plan."""

    cell_id: int
    label: str
    x: int
    y: int
    edge: Plane
    """Outline around (x, y)."""

    @property
    def box(self) -> Box:
        left, top = np.floor(self.edge.min(axis=0)).astype(int).tolist()
        right, bottom = np.ceil(self.edge.max(axis=0)).astype(int).tolist()
        return Box(self.x + left, self.y + top, right - left, bottom - top)


class Slide:
    """A smear of one seed.

    :param cells: white cells on the slide.
    :param field: width and height of what the microscope shows at once, in slide pixels.
    :param crops: photographed cells to show in place of drawn ones; the slide then has only their classes.
    :param magenta: red cells look like that, not pink.
    """

    def __init__(
        self,
        seed: int,
        cells: int,
        field: tuple[int, int] = (640, 480),
        crops: Crops | None = None,
        *,
        magenta: bool = False,
    ) -> None:
        self.seed, self.field = seed, field
        rng = np.random.default_rng((seed, 0))
        counts = rng.choice(len(CELLS_PER_FIELD), p=CELLS_PER_FIELD, size=2 * cells + 20)
        self.first_cell = np.minimum(np.concatenate([[0], np.cumsum(counts)]), cells)
        self.fields = int(np.searchsorted(self.first_cell, cells))
        """Fields that it takes to show every white cell."""
        frequencies = {label: share for label, share in FREQUENCIES.items() if crops is None or label in crops.labels}
        shares = np.cumsum(list(frequencies.values()))
        kinds = np.searchsorted(shares, (np.arange(cells) + rng.random()) / cells * shares[-1], side="right")
        kinds = rng.permutation(np.minimum(kinds, len(shares) - 1))
        self.labels = [tuple(frequencies)[kind] for kind in kinds.tolist()]
        """Class of each white cell."""
        self._photographed = (
            [] if crops is None else [functools.partial(crops.cell, path) for path in crops.deal(self.labels, seed)]
        )
        self._stain = rng.normal(1, 0.04, (3, 1, 1)).astype(np.float32) * np.float32(rng.uniform(0.9, 1.08))
        self._defocus_px = float(rng.uniform(0.5, 0.9))
        coolness = rng.random() ** 2
        self._red = _between(MAGENTA if magenta else _REDS, coolness)
        self.light = self._illumination(_between(_LIGHTS, coolness), rng)
        self._noise = self._camera_noise(rng)
        self._cells_of = functools.lru_cache(maxsize=64)(self._plan_cells)
        self._specks_of = functools.lru_cache(maxsize=64)(self._plan_specks)
        self._painted = functools.lru_cache(maxsize=4)(self._paint)

    def position(self, index: int) -> tuple[int, int]:
        """Left and top edge of field ``index`` in the stage's serpentine raster."""
        row, step = divmod(index, COLUMNS)
        column = step if row % 2 == 0 else COLUMNS - 1 - step
        return column * self.field[0], row * self.field[1]

    def cells(self, index: int) -> list[WhiteCell]:
        """The white cells of field ``index``."""
        return self._cells_of(index) if 0 <= index < self.fields else []

    def render(self, x: int, y: int, exposure: int = 0) -> tuple[Pixels, tuple[KnownCell, ...]]:
        """What the camera sees with the field's left upper corner at (x, y), and the white cells in it.

        :param exposure: number of the photograph; each has its own noise.
        """
        through = self.transmission(x, y, self.field)
        planes = np.empty(through.shape, np.uint8)
        np.multiply(through, self.light, out=planes, casting="unsafe")
        blurred = self.through_lens(cv2.merge([planes[0], planes[1], planes[2]]))
        return cv2.add(blurred, self.noise(exposure), dtype=cv2.CV_8U).astype(np.uint8, copy=False), self.known(x, y)

    def transmission(self, x: int, y: int, size: tuple[int, int]) -> Plane:
        """The part of the light, 0 to 1, that goes through the slide from (x, y) on: (3, height, width)."""
        width, height = size
        thickness = np.zeros((height, width), np.float32)
        od = np.empty((3, height, width), np.float32)
        squares = list(self._squares(x, y, size))
        specks = [self._specks_of(column, row) for column, row in squares]
        for red, _ in specks:
            for speck in red:
                add(thickness, red_cells()[speck.sprite], speck, x, y, _STACKED)
        np.multiply(self._red, thickness, out=od)
        for _, small in specks:
            for speck in small:
                add(od, platelets()[speck.sprite], speck, x, y)
        for column, row in squares:
            for cell in self.cells(self._index(column, row)):
                add(od, self._painted(cell), Speck(cell.x, cell.y, 0, 0, 1.0), x, y)
        od *= -self._stain
        np.exp(od, out=od)
        return od

    def through_lens(self, pixels: Pixels) -> Pixels:
        """As sharp as this microscope is at its best."""
        return np.asarray(cv2.GaussianBlur(pixels, (5, 5), self._defocus_px), np.uint8)

    def noise(self, exposure: int) -> npt.NDArray[np.int8]:
        """The camera's noise in one photograph: (height, width, 3)."""
        width, height = self.field
        across, down = np.random.default_rng((self.seed, 4, exposure)).integers(0, _NOISE_MARGIN_PX, 2)
        return self._noise[down : down + height, across : across + width]

    def known(self, x: int, y: int) -> tuple[KnownCell, ...]:
        """The white cells whose centre is in view with the field's left upper corner at (x, y)."""
        width, height = self.field
        near = (cell for square in self._squares(x, y, self.field) for cell in self.cells(self._index(*square)))
        return tuple(
            KnownCell(self._seen(cell.box, x, y), cell.label, cell.cell_id)
            for cell in near
            if 0 <= cell.x - x < width and 0 <= cell.y - y < height
        )

    def _seen(self, box: Box, x: int, y: int) -> Box:
        left, top = max(0, box.xmin - x), max(0, box.ymin - y)
        right, bottom = box.xmin + box.width - x, box.ymin + box.height - y
        return Box(left, top, min(self.field[0], right) - left, min(self.field[1], bottom) - top)

    def _squares(self, x: int, y: int, size: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """Column and row of every square from which something may reach into a view."""
        width, height = self.field
        for row in range((y - height // 3) // height, (y + size[1] + height // 3) // height + 1):
            for column in range((x - width // 3) // width, (x + size[0] + width // 3) // width + 1):
                yield column, row

    def _index(self, column: int, row: int) -> int:
        if not 0 <= column < COLUMNS or row < 0:
            return -1
        return row * COLUMNS + (column if row % 2 == 0 else COLUMNS - 1 - column)

    def _plan_cells(self, index: int) -> list[WhiteCell]:
        rng = np.random.default_rng((self.seed, 1, index))
        left, top = self.position(index)
        ids = range(int(self.first_cell[index]), int(self.first_cell[index + 1]))
        while True:
            cells: list[WhiteCell] = []
            for cell_id in ids:
                photographed = self._photographed
                edge = photographed[cell_id]().edge if photographed else outline(self.labels[cell_id], rng)
                near = GAP_PX // 2 - edge.min(axis=0)
                far = np.asarray(self.field) - GAP_PX // 2 - edge.max(axis=0)
                x, y = rng.uniform(near + 1, far - 1).astype(int).tolist()
                cells.append(WhiteCell(cell_id, self.labels[cell_id], left + x, top + y, edge))
            if not any(_touch(a.box, b.box) for i, a in enumerate(cells) for b in cells[:i]):
                return cells

    def _plan_specks(self, column: int, row: int) -> tuple[list[Speck], list[Speck]]:
        """Red cells and platelets of one square; they keep off white cells and, more or less, each other."""
        rng = np.random.default_rng((self.seed, 2, (column + 1) % 2**32, (row + 1) % 2**32))
        width, height = self.field
        near = [self._index(column + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        white = [cell for index in near for cell in self.cells(index)]
        taken = [(cell.x, cell.y, float(np.abs(cell.edge).max())) for cell in white]
        area = width * height / (640 * 480)
        red = round(_RED_CELLS * area * rng.uniform(0.75, 1.25)), 44, len(red_cells())
        small = int(rng.poisson(_PLATELETS * area)), 9, len(platelets())
        placed: list[list[Speck]] = []
        for tries, radius, sprites in (red, small):
            specks = []
            across, down = rng.integers(0, (width, height), (tries, 2)).T.tolist()
            kinds, mirrors = rng.integers(0, (sprites, 8), (tries, 2)).T.tolist()
            strengths = rng.uniform(0.85, 1.12, tries).tolist()
            for step_x, step_y, *look in zip(across, down, kinds, mirrors, strengths, strict=True):
                x, y = column * width + step_x, row * height + step_y
                if all((x - a) ** 2 + (y - b) ** 2 > (0.8 * radius + far) ** 2 for a, b, far in taken):
                    specks.append(Speck(x, y, *look))
                    taken.append((x, y, 0.7 * radius))
            placed.append(specks)
        return placed[0], placed[1]

    def _paint(self, cell: WhiteCell) -> Plane:
        if self._photographed:
            return self._photographed[cell.cell_id]().od
        return paint(cell.label, cell.edge, np.random.default_rng((self.seed, 3, cell.cell_id)))

    def _illumination(self, light: Plane, rng: np.random.Generator) -> Plane:
        """The empty field: darker towards the corners."""
        width, height = self.field
        middle = rng.normal(0, 0.1, 2)
        across = np.linspace(-1, 1, width, dtype=np.float32) - np.float32(middle[0])
        down = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - np.float32(middle[1])
        vignette = 1 - np.float32(rng.uniform(0.02, 0.07)) * (across**2 + down**2)
        return np.asarray(np.minimum(light, 252) * vignette, np.float32)

    def _camera_noise(self, rng: np.random.Generator) -> npt.NDArray[np.int8]:
        width, height = self.field
        noise = np.empty((height + _NOISE_MARGIN_PX, width + _NOISE_MARGIN_PX, 3), np.int8)
        deviation = np.float32(rng.uniform(1.0, 2.2))
        for colour in range(3):  # one at a time: a third of the memory
            noise[..., colour] = np.rint(rng.standard_normal(noise.shape[:2], np.float32) * deviation)
        return noise


def _between(pair: Plane, share: float) -> Plane:
    return np.asarray(pair[0] + share * (pair[1] - pair[0]), np.float32).reshape(3, 1, 1)


def _touch(a: Box, b: Box) -> bool:
    return (
        a.xmin < b.xmin + b.width + GAP_PX
        and b.xmin < a.xmin + a.width + GAP_PX
        and a.ymin < b.ymin + b.height + GAP_PX
        and b.ymin < a.ymin + a.height + GAP_PX
    )
