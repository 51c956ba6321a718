"""Everything that a training run needs, as one small file: a zip of stored crops in sheets, and the list of cells.

    pack.json    form, version, number of cells, quality and its cost, SHA-256 of everything else
    cells.csv    path, label, source, group, box and side of the split of each cell, in the order of the crops
    sheets/      WebP images of 10×10 stored crops, row by row

The same crops and the same list give the same bytes, with the same OpenCV.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from edge_wbc.errors import SourceError, UsageError, reason
from edge_wbc.files import write_whole
from edge_wbc.types import LABELS, Box, Pixels
from training.check import below
from training.datasets import Sample

FORM, VERSION = "edge-wbc training pack", 1
MOST_BYTES = 50_000_000
QUALITIES = (101, 98, 97, 96, 95, 93, 90, 85, 80, 70, 60)
"""WebP qualities, the best that fits is taken; 101 is without loss."""
SIDE = 10
"""Crops along each side of a sheet."""
MOST_PX = 512
"""Largest side of a crop."""
_COLUMNS = ("path", "label", "source", "group", "xmin", "ymin", "width", "height", "locked")
_MARGINS = {4: 1.5, 12: 1.1}
"""After so many sheets it is clear that the rest won't fit, if they come out this much too large."""
_MOST_IN_ONE = 64 * 2**20
_BROKEN = (OSError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the crops."""

    bytes: int
    quality: int
    error: float
    """Mean absolute difference in grey levels."""


@dataclass(frozen=True, slots=True)
class Pack:
    """What a pack holds."""

    samples: list[Sample]
    """Their paths are those below the folder that was packed."""
    locked: list[bool]
    crops: Pixels
    """uint8 (len(samples), S, S, 3) BGR, in the order of the samples."""
    sha256: str
    """Of the list and the sheets."""
    quality: int


def write_pack(
    path: Path,
    samples: Sequence[Sample],
    locked: Sequence[bool],
    crops: Pixels,
    root: Path,
    progress: Callable[[int], None],
    most_bytes: int = MOST_BYTES,
) -> Written:
    """Write at the best quality that fits.

    :param crops: uint8 (len(samples), S, S, 3) BGR.
    :param root: paths are written as seen from here.
    :param progress: called with the number of crops done.
    :raises UsageError: even the lowest quality takes more than ``most_bytes``.
    :raises OutputFailed: it can't be written.
    """
    listed = _to_csv(samples, locked, root)
    room = most_bytes - len(zlib.compress(listed)) - 4096
    for quality in QUALITIES:
        encoded = _encode(crops, quality, room, progress)
        if encoded is not None:
            break
    else:
        raise UsageError(
            f"{len(samples)} crops don't fit in {most_bytes // 10**6} MB at WebP quality {QUALITIES[-1]}; pack fewer"
        )
    sheets, error = encoded
    about = {
        "form": FORM,
        "version": VERSION,
        "cells": len(samples),
        "crop_px": crops.shape[1],
        "quality": quality,
        "mean_absolute_error": round(error, 3),
        "sha256": _sha256([listed, *sheets]),
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        _add(archive, "pack.json", json.dumps(about, indent=1).encode())
        _add(archive, "cells.csv", listed)
        for number, sheet in enumerate(sheets):
            _add(archive, _sheet_name(number), sheet)
    write_whole(path, written.getvalue(), "make room or name another file, then start again")
    return Written(len(written.getvalue()), quality, error)


def read_pack(path: Path) -> Pack:
    """Read and check a pack.

    :raises SourceError: not a pack, of another version, or damaged.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise SourceError(
            f"{path}: neither a folder nor a training pack; write one with `edge-wbc train --pack FILE --data DIR`"
        ) from None
    except OSError as error:
        raise SourceError(f"{path}: {reason(error)}; check the path") from None
    with archive:
        try:
            about = json.loads(_member(archive, "pack.json"))
            if about["form"] != FORM or about["version"] != VERSION:
                raise SourceError(
                    f"{path}: {about['form']} version {about['version']}, not {FORM} version {VERSION}; "
                    "write it again with this version of edge-wbc"
                )
            listed = _member(archive, "cells.csv")
            sheets = [_member(archive, _sheet_name(number)) for number in range(-(-int(about["cells"]) // SIDE**2))]
            if _sha256([listed, *sheets]) != about["sha256"]:
                raise ValueError("hash")
            samples, locked = _from_csv(listed)
            side = about["crop_px"]
            if len(samples) != about["cells"] or not 0 < side <= MOST_PX:
                raise ValueError("number or size of the crops")
            crops = np.empty((len(samples), side, side, 3), np.uint8)
            for number, sheet in enumerate(sheets):
                start = number * SIDE**2
                part = crops[start : start + SIDE**2]
                part[:] = _decode(sheet, part.shape)
        except (*_BROKEN, TypeError, cv2.error):
            raise SourceError(f"{path}: the training pack is damaged; copy it again or write it again") from None
        return Pack(samples, locked, crops, about["sha256"], int(about["quality"]))


def _encode(
    crops: Pixels, quality: int, room: int, progress: Callable[[int], None]
) -> tuple[list[bytes], float] | None:
    """Sheets and their mean absolute error; None as soon as it is clear that they don't fit.

    Sheets are tried from all over the list first, so that it is clear soon.
    """
    count = -(-len(crops) // SIDE**2)
    sheets: dict[int, bytes] = {}
    taken, off, done = 0, 0.0, 0
    for number in _scattered(count):
        part = crops[number * SIDE**2 : (number + 1) * SIDE**2]
        sheet = _lay_out(part)
        sheets[number] = cv2.imencode(".webp", sheet, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
        taken, done = taken + len(sheets[number]) + 200, done + len(part)
        if taken > room or taken / len(sheets) * count > _MARGINS.get(len(sheets), math.inf) * room:
            return None
        off += float(np.sum(cv2.absdiff(_decode(sheets[number], part.shape), part), dtype=np.int64))
        progress(done)
    return [sheets[number] for number in range(count)], off / max(1, crops.size)


def _scattered(count: int) -> Iterator[int]:
    step = max(1, count // 12)
    for first in range(step):
        yield from range(first, count, step)


def _lay_out(crops: Pixels) -> Pixels:
    """(n, S, S, 3) → one sheet, filled row by row; what is left of the last row is black."""
    rows, px = -(-len(crops) // SIDE), crops.shape[1]
    full = np.zeros((rows * SIDE, px, px, 3), np.uint8)
    full[: len(crops)] = crops
    grid = full.reshape(rows, SIDE, px, px, 3).swapaxes(1, 2)
    return np.ascontiguousarray(grid).reshape(rows * px, SIDE * px, 3)


def _decode(data: bytes, shape: tuple[int, ...]) -> Pixels:
    """The crops of a sheet, as (n, S, S, 3).

    :raises ValueError: not an image, or of another size.
    """
    sheet = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if sheet is None:
        raise ValueError("sheet")
    rows, px = -(-shape[0] // SIDE), shape[1]
    grid = sheet.reshape(rows, px, SIDE, px, 3).swapaxes(1, 2)
    crops: Pixels = grid.reshape(rows * SIDE, px, px, 3)
    return crops[: shape[0]]


def _to_csv(samples: Sequence[Sample], locked: Sequence[bool], root: Path) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for sample, side in zip(samples, locked, strict=True):
        box = sample.box or ("",) * 4
        writer.writerow([below(sample.path, root), sample.label, sample.source, sample.group, *box, int(side)])
    return text.getvalue().encode("utf-8", "surrogateescape")


def _from_csv(listed: bytes) -> tuple[list[Sample], list[bool]]:
    """:raises ValueError: not such a list."""
    rows = list(csv.reader(io.StringIO(listed.decode("utf-8", "surrogateescape"))))
    if not rows or tuple(rows[0]) != _COLUMNS:
        raise ValueError("columns")
    samples = []
    for path, label, source, group, *numbers, side in rows[1:]:
        if label not in LABELS or side not in ("0", "1") or len(numbers) != 4:
            raise ValueError("cell")
        box = Box(*map(int, numbers)) if any(numbers) else None
        samples.append(Sample(Path(PurePosixPath(path)), label, source, group, box))
    return samples, [row[-1] == "1" for row in rows[1:]]


def _sheet_name(number: int) -> str:
    return f"sheets/{number:04}.webp"


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """With a fixed date, so that the same content gives the same bytes."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED if name.endswith(".csv") else zipfile.ZIP_STORED
    archive.writestr(entry, data)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """:raises ValueError: larger than such a file can be."""
    if archive.getinfo(name).file_size > _MOST_IN_ONE:
        raise ValueError(name)
    return archive.read(name)


def _sha256(parts: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
