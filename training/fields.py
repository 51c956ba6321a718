"""Images with known white cells, by which the locator's settings are chosen, and others by which it is judged.

BCCD is parted by group of photographs, Chula by slide, Barcelona by image (it has nothing else), the simulated slides
by seed. All of Raabin is judged on: a laboratory that no setting has seen.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edge_wbc.sources.base import open_source
from edge_wbc.sources.files import read_image
from edge_wbc.types import Box, Frame, Pixels
from training.datasets import corners, folds, locked_groups, voc_boxes
from training.touching import pairs

CHOSEN, JUDGED = "chosen on", "judged on"
CHOSEN_FOLDS = (0, 1, 2, 3)
"""Of the BCCD photographs' committed folds; the others, those of no fold and the locked ones are judged on."""
CHOSEN_SLIDES = ("B-30", "L-8", "N-3B")
"""Of Chula's seven."""
EVERY_PBC = 8
"""One in so many Barcelona images is chosen on; all that are locked are judged on."""
CHOSEN_SEEDS, JUDGED_SEEDS = range(1, 5), range(101, 105)
CELLS = 60
"""Of a simulated slide."""
PAIRS = 15
"""Of touching cells, a seed."""
SETS = ("bccd", "chula", "raabin", "pbc", "smear", "magenta", "touching")
"""The last three are simulated: a slide as usual, one whose red cells are magenta, and cells in pairs."""


@dataclass(frozen=True, slots=True)
class Field:
    """One image and the white cells that are known to be in it."""

    source: str
    part: str
    """``CHOSEN`` or ``JUDGED``."""
    name: str
    pixels: Pixels
    boxes: tuple[Box, ...] | None
    """None: the image shows one white cell in its middle."""


_Entry: TypeAlias = "tuple[str, str, Path | Pixels, tuple[Box, ...] | None]"
"""Part, name, pixels or where they are, boxes."""


def fields(data: Path, sets: Collection[str] = SETS) -> Iterator[Field]:
    """The images of every set that is below a folder laid out as for training, and fields of simulated slides.

    :param sets: of :data:`SETS`, those that are wanted.
    :raises SourceError: an image can't be read.
    """
    readers = (_bccd, _chula, _raabin, _pbc, _usual, _magenta, _touching)
    for source, read in zip(SETS, readers, strict=True):
        if source in sets:
            for part, name, pixels, boxes in read(data):
                yield Field(source, part, name, read_image(pixels) if isinstance(pixels, Path) else pixels, boxes)


def _bccd(data: Path) -> Iterator[_Entry]:
    root, locked, dealt = data / "bccd", locked_groups(), folds()
    if not (root / "labels.csv").is_file():
        return
    with (root / "labels.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            group = f"bccd/{row['group']}"
            chosen = group not in locked and dealt.get(group) in CHOSEN_FOLDS
            boxes = tuple(voc_boxes(root / "annotations" / f"{row['image']}.xml"))
            yield CHOSEN if chosen else JUDGED, row["image"], root / "images" / f"{row['image']}.jpg", boxes


def _chula(data: Path) -> Iterator[_Entry]:
    for name, slide, boxes in _listed(data / "chula"):
        yield CHOSEN if slide in CHOSEN_SLIDES else JUDGED, name, data / "chula" / "images" / name, boxes


def _raabin(data: Path) -> Iterator[_Entry]:
    for name, _, boxes in _listed(data / "raabin"):
        yield JUDGED, name, data / "raabin" / "images" / name, boxes


def _listed(root: Path) -> Iterator[tuple[str, str, tuple[Box, ...]]]:
    """Name, slide and boxes of every image of a ``boxes.csv``."""
    if not (root / "boxes.csv").is_file():
        return
    boxes: defaultdict[tuple[str, str], list[Box]] = defaultdict(list)
    with (root / "boxes.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            boxes[row["image"], row.get("slide") or ""].append(corners(row))
    for name in {path.name for path in (root / "images").iterdir()} - {name for name, _ in boxes}:
        boxes[name, ""] = []
    for (name, slide), known in sorted(boxes.items()):
        yield name, slide, tuple(known)


def _pbc(data: Path) -> Iterator[_Entry]:
    """White cells and erythroblasts; platelets are none to be located."""
    locked = locked_groups()
    paths = [path for path in sorted((data / "pbc").glob("*/*.jpg")) if path.parent.name != "platelet"]
    for number, path in enumerate(paths):
        name = f"{path.parent.name}/{path.name}"
        if f"pbc/{path.stem}" in locked:
            yield JUDGED, name, path, None
        elif number % EVERY_PBC == 0:
            yield CHOSEN, name, path, None


def _usual(data: Path) -> Iterator[_Entry]:
    yield from _simulated("")


def _magenta(data: Path) -> Iterator[_Entry]:
    yield from _simulated("&stain=magenta")


def _simulated(options: str) -> Iterator[_Entry]:
    for part, seeds in ((CHOSEN, CHOSEN_SEEDS), (JUDGED, JUDGED_SEEDS)):
        for seed in seeds:
            for frame in open_source(f"smear://?seed={seed}&cells={CELLS}{options}").frames():
                assert isinstance(frame, Frame)
                yield part, f"seed {seed} field {frame.index}", frame.pixels, tuple(c.box for c in frame.truth or ())


def _touching(data: Path) -> Iterator[_Entry]:
    for part, seeds in ((CHOSEN, CHOSEN_SEEDS), (JUDGED, JUDGED_SEEDS)):
        for seed in seeds:
            for number, (pixels, boxes) in enumerate(pairs(seed, PAIRS)):
                yield part, f"seed {seed} pair {number}", pixels, boxes
