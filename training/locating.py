"""How well white cells are located, set by set: ``python -m training.locating [--data ../shared/data]``.

The locator's settings were chosen on some groups of photographs and are judged on the others; both are told. Where
annotators gave no box to a real white cell, it may be struck from the count: see :func:`struck_boxes`.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edge_wbc.cli.common import print_json, say
from edge_wbc.errors import EdgeWbcError, SourceError
from edge_wbc.types import Box, Cell, Pixels
from edge_wbc.vision.crop import crop
from edge_wbc.vision.geometry import match
from edge_wbc.vision.locate import locate
from training.fields import SETS, Field, fields

IOU = 0.3
"""From which on a found box is the annotated one."""
OFF_CENTRE = 0.2
"""Of an image made for the one cell in its middle: it is found if some box covers the image's middle, has its own no
farther away than this in lengths of the longer side…"""
LEAST_SIDE = 0.2
"""… and a longer side of at least this part of the image's: the smallest such cells have a third."""
STRUCK = Path(__file__).with_name("unlabelled.csv")
TILE_PX, AROUND = 150, 2.5
"""Side of a tile of the montage, in pixels and in lengths of its box."""
GREEN, YELLOW, RED, GREY = (60, 160, 0), (0, 220, 255), (0, 0, 255), (200, 200, 200)


class Found(NamedTuple):
    """What the locator made of a field."""

    field: Field
    right: list[Box]
    missed: list[Box]
    false: list[Box]
    struck: list[Box]
    """Not annotated, but real."""
    ms: float
    """Of processor time."""


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one part of a set."""

    source: str
    part: str
    images: int
    boxes: int
    recall: float
    precision: float | None
    """As annotated; None where an image shows one cell and nothing says what else is in it."""
    precision_struck: float | None
    """Without the boxes that turned out to be real cells."""
    ms: float
    """Of processor time a frame, one core: mean."""


def struck_boxes(path: Path = STRUCK) -> dict[tuple[str, str], list[Box]]:
    """Real white cells that have no box in the sets' annotations: set and image → boxes.

    Every one was found by the locator, counted as false, and looked at in a montage of crops by the one who wrote it
    down: a nucleus with the structure and size of a white cell's, whole or cut by the border. What was in doubt
    (smudges, naked nuclei, clumps of platelets) is not in the list.
    """
    known: defaultdict[tuple[str, str], list[Box]] = defaultdict(list)
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            box = Box(int(row["xmin"]), int(row["ymin"]), int(row["width"]), int(row["height"]))
            known[row["set"], row["image"]].append(box)
    return dict(known)


def examine(
    images: Iterable[Field], locator: Callable[[Pixels], Sequence[Cell]] = locate, struck: Path = STRUCK
) -> Iterator[Found]:
    """Locate in every field, and hold it against what is known."""
    unlabelled = struck_boxes(struck)
    for field in images:
        began = time.process_time()
        cells = locator(field.pixels)
        ms = 1e3 * (time.process_time() - began)
        boxes = [cell.box for cell in cells]
        if field.boxes is None:
            height, width = field.pixels.shape[:2]
            right = [box for box in boxes if in_the_middle(box, width, height)][:1]
            yield Found(field, right, [] if right else [Box(0, 0, width, height)], [], [], ms)
            continue
        pairs = match(boxes, field.boxes, IOU)
        spare = [box for i, box in enumerate(boxes) if i not in {i for i, _ in pairs}]
        real = {i for i, _ in match(spare, unlabelled.get((field.source, field.name), []), IOU)}
        yield Found(
            field,
            right=[boxes[i] for i, _ in pairs],
            missed=[box for j, box in enumerate(field.boxes) if j not in {j for _, j in pairs}],
            false=[box for i, box in enumerate(spare) if i not in real],
            struck=[box for i, box in enumerate(spare) if i in real],
            ms=ms,
        )


def in_the_middle(box: Box, width: int, height: int) -> bool:
    """Whether a box is that of the one cell in the middle of an image."""
    x, y = box.xmin + box.width / 2 - width / 2, box.ymin + box.height / 2 - height / 2
    longer = max(width, height)
    covers = abs(x) < box.width / 2 and abs(y) < box.height / 2
    return covers and max(abs(x), abs(y)) <= OFF_CENTRE * longer and max(box.width, box.height) >= LEAST_SIDE * longer


def rows(found: Iterable[Found]) -> list[Row]:
    """The figures of each part of each set, in the order in which they come."""
    parts: dict[tuple[str, str], list[Found]] = {}
    for one in found:
        parts.setdefault((one.field.source, one.field.part), []).append(one)
    table = []
    for (source, part), these in parts.items():
        right = sum(len(one.right) for one in these)
        known = right + sum(len(one.missed) for one in these)
        false, struck = sum(len(one.false) for one in these), sum(len(one.struck) for one in these)
        annotated = these[0].field.boxes is not None
        table.append(
            Row(
                source,
                part,
                len(these),
                known,
                right / max(1, known),
                right / max(1, right + false + struck) if annotated else None,
                right / max(1, right + false) if annotated else None,
                sum(one.ms for one in these) / len(these),
            )
        )
    return table


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--set", choices=SETS, action="append", help="only this set; may be given again")
    parser.add_argument("--montage", type=Path, metavar="FILE.png", help="draw what is missed or false, and list it")
    parser.add_argument("--json", action="store_true", help="the table as one object on standard output")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    kept: list[Found] = []
    tiles: list[Pixels] = []
    try:
        if not given.data.is_dir():
            raise SourceError(f"{given.data} is not a folder; give --data, laid out as for training")
        for found in examine(fields(given.data, given.set or SETS)):
            if given.montage:
                tiles += _wrong(found, len(tiles))
            kept.append(found._replace(field=replace(found.field, pixels=found.field.pixels[:0].copy())))
    except EdgeWbcError as error:
        parser.exit(error.exit_code, f"{error}\n")
    if tiles:
        cv2.imwrite(str(given.montage), montage(tiles))
    table = rows(kept)
    if given.json:
        print_json([asdict(row) for row in table])
    else:
        _say(table)
    return 0


def _say(table: Sequence[Row]) -> None:
    say(f"{'set':8} {'part':9} {'images':>6} {'boxes':>6} {'recall':>7} {'precision':>9} {'struck':>7} {'ms':>6}")
    for row in table:
        exact = "-" if row.precision is None else f"{row.precision:.4f}"
        struck = "-" if row.precision_struck is None else f"{row.precision_struck:.4f}"
        say(
            f"{row.source:8} {row.part:9} {row.images:6} {row.boxes:6} {row.recall:7.4f} {exact:>9} {struck:>7} "
            f"{row.ms:6.2f}"
        )


def _wrong(found: Found, before: int) -> list[Pixels]:
    """A numbered tile of every box missed or false, which are listed as well; other boxes are in it, too."""
    tiles: list[Pixels] = []
    for kind, boxes in (("missed", found.missed), ("false", found.false)):
        for box in boxes:
            number = before + len(tiles)
            say(f"{number}: {kind}, {found.field.source} {found.field.name}, box {','.join(map(str, box))}")
            tiles.append(_tile(found, box, f"{number} {kind}"))
    return tiles


def _tile(found: Found, box: Box, caption: str) -> Pixels:
    around = round(AROUND * max(box.width, box.height))
    picture = cv2.copyMakeBorder(found.field.pixels, *4 * (around,), cv2.BORDER_CONSTANT, value=GREY)
    for boxes, colour in ((found.right, GREEN), (found.missed, YELLOW), (found.false, RED), (found.struck, GREEN)):
        for one in boxes:
            cv2.rectangle(picture, one._replace(xmin=one.xmin + around, ymin=one.ymin + around), colour, 1)
    tile = crop(picture, box._replace(xmin=box.xmin + around, ymin=box.ymin + around), TILE_PX, margin=AROUND)
    cv2.putText(tile, caption, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return tile


def montage(tiles: Sequence[Pixels], columns: int = 8) -> Pixels:
    """Tiles of one size side by side, white where there is none: uint8 BGR."""
    shown = list(tiles) + [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    lines = [np.hstack(shown[i : i + columns]) for i in range(0, len(shown), columns)]
    return np.asarray(np.vstack(lines), np.uint8)


if __name__ == "__main__":
    sys.exit(main())
