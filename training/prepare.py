"""From a data folder or a pack to what a training run takes: checked cells, the locked ones apart, and crops."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import ParseError

from edge_wbc.errors import SourceError, UsageError
from edge_wbc.types import Pixels
from training.augment import SEEN
from training.check import cells_sha256, digests, folders, refuse_doubles, with_others
from training.crops import stored_crops, stored_px
from training.datasets import Sample, locked_groups, read_all, read_kaggle
from training.negatives import read_negatives
from training.pack import read_pack

MODELS = ("leukonet", "leukonet-4")
"""What is trained by these names: nine classes on everything; the paper's four classes on the paper's images alone."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Checked cells, and crops of them where they come with them."""

    samples: list[Sample]
    locked: list[bool]
    """Which of them never train."""
    root: Path
    images_sha256: str
    """Of the content of every image, in the order of the list; of a pack, of the pack."""
    quality: int | None = None
    """WebP quality of a pack's crops."""
    crops: Pixels | None = None
    """uint8 (len(samples), S, S, 3) BGR; None: still to be cut."""

    @property
    def count(self) -> int:
        """Cells to train on."""
        return len(self.samples) - sum(self.locked)

    def some(self, chosen: Sequence[int]) -> Cells:
        """Those at these places of the list."""
        crops = None if self.crops is None else self.crops[list(chosen)]
        return replace(
            self, samples=[self.samples[i] for i in chosen], locked=[self.locked[i] for i in chosen], crops=crops
        )

    def training(self) -> Cells:
        """Those that train."""
        return self.some([i for i, locked in enumerate(self.locked) if not locked])

    def few(self, count: int = 64) -> Cells:
        """About so many of them, from all over the list."""
        return self.some(range(0, len(self.samples), max(1, len(self.samples) // count)))

    def check_size(self, size: int) -> None:
        """:raises UsageError: the crops they come with are for networks that see another size."""
        if self.crops is not None and self.crops.shape[1] != stored_px(size):
            packed = round(self.crops.shape[1] * SEEN)
            raise UsageError(
                f"the pack holds crops for networks that see {packed}×{packed} pixels, this one sees {size}×{size}; "
                f"write one with --pack FILE --size {size}"
            )

    def cut(self, size: int, progress: Callable[[int], None]) -> Pixels:
        """The stored crops of all, for a network that sees ``size`` pixels.

        :raises SourceError: an image can't be read; the number of others is told.
        """
        if self.crops is not None:
            return self.crops
        try:
            return stored_crops(self.samples, progress, size)
        except SourceError as error:
            raise with_others(error, self.samples) from None

    def cells_sha256(self) -> str:
        """Of the list in its order: path below the root, label, group, box."""
        return cells_sha256(self.samples, self.root)


def read_folder(root: Path, model: str, notice: Callable[[str], None]) -> Cells:
    """List and check the cells of a data folder.

    :param model: one of ``MODELS``.
    :param notice: called with a line on each kind of folder that gives no cell.
    :raises SourceError: no cells; images, labels or boxes that can't be read; one image under two labels; one image
        in a locked group and in another.
    """
    for line in folders(root).warnings():
        notice(line)
    locked = locked_groups()
    with _tables_of(root):
        samples = _listed(root, model)
    files = _digests(samples)
    refuse_doubles(samples, files, locked)
    if model == "leukonet":
        samples += _negatives(root, samples)
        files = _digests(samples, files)
        refuse_doubles(samples, files, locked)
    content = hashlib.sha256("".join(files.values()).encode()).hexdigest()
    return Cells(samples, [sample.group in locked for sample in samples], root, content)


def read_packed(path: Path, model: str) -> Cells:
    """The cells of a pack; a group that this version locks stays out, too.

    :raises SourceError: not a pack, damaged, or without cells for this model.
    """
    pack = read_pack(path)
    locked = locked_groups()
    sides = [side or sample.group in locked for sample, side in zip(pack.samples, pack.locked, strict=True)]
    cells = Cells(pack.samples, sides, Path(), pack.sha256, pack.quality, pack.crops)
    if model == "leukonet":
        return cells
    papers = [i for i, sample in enumerate(pack.samples) if sample.source == "kaggle"]
    if not papers:
        raise SourceError(f"{path}: none of the paper's images in it, and {model} is trained on them alone")
    return cells.some(papers)


def join_same_images(cells: Cells) -> Cells:
    """One group, and one slide, for files of the same content, so that no split parts them."""
    if cells.crops is not None:
        files = [hashlib.sha256(crop.tobytes()).hexdigest() for crop in cells.crops]
    else:
        found = digests(cells.samples)
        files = [found[sample.path] for sample in cells.samples]
    firsts: dict[str, Sample] = {}
    joined = []
    for sample, file in zip(cells.samples, files, strict=True):
        first = firsts.setdefault(file, sample)
        joined.append(replace(sample, group=first.group, slide=first.slide))
    return replace(cells, samples=joined)


def _listed(root: Path, model: str) -> list[Sample]:
    if model == "leukonet":
        return read_all(root)
    if not (root / "kaggle" / "TRAIN").is_dir():
        raise SourceError(f"{root}: no folder kaggle/TRAIN in it, and {model} is trained on the paper's images alone")
    return read_kaggle(root / "kaggle" / "TRAIN", root / "kaggle_train_originals.csv")


def _negatives(root: Path, samples: Sequence[Sample]) -> list[Sample]:
    try:
        with _tables_of(root):
            return read_negatives(root)
    except SourceError as error:
        raise with_others(error, samples) from None


def _digests(samples: Sequence[Sample], known: Mapping[Path, str] | None = None) -> dict[Path, str]:
    try:
        return digests(samples, known)
    except SourceError as error:
        raise with_others(error, samples) from None


@contextmanager
def _tables_of(root: Path) -> Iterator[None]:
    """:raises SourceError: lists of labels or boxes that can't be read."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, csv.Error, ParseError) as error:
        missing = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise SourceError(f"{root}: its labels or boxes can't be read ({missing}); check them") from None
