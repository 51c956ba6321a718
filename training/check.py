"""What is wrong with a folder of labelled images, before anything is trained on it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_wbc.errors import SourceError, reason
from edge_wbc.sources.files import IMAGE_SUFFIXES, read_image
from edge_wbc.types import CLASSES
from training.datasets import Sample, label_of

SETS = ("kaggle", "bccd", "pbc", "chula", "raabin")
"""Folders of a data folder laid out as for training."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders that give no cell, though their place says they should."""

    unknown: tuple[Path, ...]
    """Hold images, and no class has their name."""
    empty: tuple[Path, ...]
    """Named after a class, without an image."""
    aside: tuple[Path, ...]
    """Hold images beside the sets of a folder laid out as for training."""

    def warnings(self) -> list[str]:
        """A line for each kind that there is."""
        lines = []
        if self.unknown:
            lines.append(f"{_listed(self.unknown)}: passed over, no class has this name; name it {', '.join(CLASSES)}")
        if self.empty:
            lines.append(f"{_listed(self.empty)}: no image in it, so nothing is learnt of this class")
        if self.aside:
            lines.append(f"{_listed(self.aside)}: passed over, only {', '.join(SETS)} beside it are read")
        return lines


def folders(root: Path) -> Folders:
    """Look at the names and the contents of the class folders of a data folder."""
    sets = [name for name in SETS[:-1] if (root / name).is_dir()]
    unknown: list[Path] = []
    empty: list[Path] = []
    for parent in [root / "kaggle" / "TRAIN", root / "pbc"] if sets else [root]:
        for folder in _subfolders(parent):
            if label_of(folder.name) is None:
                unknown += [folder] if _holds_image(folder) else []
            elif not _holds_image(folder):
                empty.append(folder)
    aside = [folder for folder in _subfolders(root) if folder.name not in SETS and _holds_image(folder)] if sets else []
    return Folders(tuple(unknown), tuple(empty), tuple(aside))


def digests(samples: Iterable[Sample], known: Mapping[Path, str] | None = None) -> dict[Path, str]:
    """SHA-256 of each image file, in the order of the samples.

    :raises SourceError: a file can't be read.
    """
    found = dict(known or {})
    for sample in samples:
        if sample.path not in found:
            try:
                found[sample.path] = hashlib.sha256(sample.path.read_bytes()).hexdigest()
            except OSError as error:
                raise SourceError(f"{sample.path}: {reason(error)}; check the path") from None
    return found


def refuse_doubles(samples: Sequence[Sample], files: Mapping[Path, str], locked: Collection[str]) -> None:
    """Refuse one image under two labels, and one image on both sides of the split.

    :param files: SHA-256 of each file.
    :param locked: groups that never train.
    :raises SourceError: naming both files.
    """
    labels: dict[object, Sample] = {}
    for sample in samples:
        first = labels.setdefault((files[sample.path], sample.box), sample)
        if first.label != sample.label:
            raise SourceError(
                f"{first.path} ({first.label}) and {sample.path} ({sample.label}) are one image under two labels; "
                "take the wrong one away"
            )
    sides: dict[str, Sample] = {}
    for sample in samples:
        first = sides.setdefault(files[sample.path], sample)
        if (first.group in locked) != (sample.group in locked):
            one, other = (first, sample) if first.group in locked else (sample, first)
            raise SourceError(
                f"{one.path} is in a locked group ({one.group}) and the same image is to be trained on as {other.path} "
                f"({other.group}): that is a leak; take {other.path} away, or give it the group {one.group}"
            )


def with_others(error: SourceError, samples: Iterable[Sample]) -> SourceError:
    """What is said of an unreadable image, with how many more of the images can't be read."""
    bad = []
    for path in dict.fromkeys(sample.path for sample in samples):
        try:
            read_image(path)
        except SourceError as found:
            bad.append(found)
    if len(bad) < 2:
        return bad[0] if bad else error
    return SourceError(f"{bad[0]}; {len(bad) - 1} more can't be read, the next is {str(bad[1]).partition(': ')[0]}")


def cells_sha256(samples: Iterable[Sample], root: Path) -> str:
    """Of a list of cells in its order: path below ``root``, label, group and box of each."""
    digest = hashlib.sha256()
    for sample in samples:
        path = below(sample.path, root)
        box = "" if sample.box is None else " ".join(map(str, sample.box))
        digest.update(f"{path}\t{sample.label}\t{sample.group}\t{box}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def below(path: Path, root: Path) -> str:
    """A path as seen from ``root``, with forward slashes; as it is, if it lies elsewhere."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _subfolders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _holds_image(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())


def _listed(paths: Sequence[Path], most: int = 3) -> str:
    named = ", ".join(map(str, paths[:most]))
    return f"{named} and {len(paths) - most} more" if len(paths) > most else named
