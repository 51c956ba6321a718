"""Readers of labelled cells, and the groups that never train.

A *group* is all that shows the same spot of the same slide: images of one group never stand on both sides of a split.
"""

from __future__ import annotations

import csv
import hashlib
import json
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_wbc.errors import SourceError
from edge_wbc.review.lessons import LIST, read_list
from edge_wbc.sources.files import IMAGE_SUFFIXES, images_below
from edge_wbc.types import CLASSES, LABELS, NOT_A_CELL, Box
from edge_wbc.vision.crop import MARGIN

LOCKED_SHARE = 0.1
SPLITS = Path(__file__).with_name("splits.json")
FOLDS = Path(__file__).with_name("folds.json")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_ALIASES = {"ig": "immature granulocyte", "immature_granulocyte": "immature granulocyte"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled cell."""

    path: Path
    label: str
    source: str
    """Data set it came from: decides how samples are weighed and reported."""
    group: str
    """``origin/name``; two sources that show the same photographs share the origin."""
    box: Box | None
    """Where the cell is; None: the image shows one cell, to be located."""
    is_crop: bool = False
    """The image is what a network saw, as a session recorded it: nothing is located or cut in it."""
    slide: str = ""
    """``origin/name`` of the slide the group is on, where that is known."""


def label_of(name: str) -> str | None:
    """The label a folder or column name stands for, without regard to case; None if it is none."""
    label = name.strip().lower()
    label = _ALIASES.get(label, label)
    return label if label in LABELS else None


def read_class_folders(root: Path, source: str | None = None) -> list[Sample]:
    """A folder of class folders with one cell an image; every image is a group of its own.

    :raises SourceError: not a folder, or no subfolder bears a class name.
    """
    if not root.is_dir():
        raise SourceError(f"{root} is not a folder; give a folder that holds one folder a class")
    name = source or root.name
    samples = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        label = label_of(folder.name)
        if label is not None:
            samples += [Sample(path, label, name, f"{name}/{path.stem}", None) for path in _images(folder)]
    if not samples:
        raise SourceError(
            f"{root} holds no image in a folder named after a class; name the folders " + ", ".join(CLASSES)
        )
    return samples


def read_taught(root: Path) -> list[Sample]:
    """A folder that `edge-wbc sessions teach` wrote: crops, grouped by field, with the slides they are on.

    :raises SourceError: its list can't be read, or does not fit the images.
    """
    name, rows = root.resolve().name, read_list(root)
    if other := [one.margin for one in rows if one.margin not in (None, MARGIN)]:
        raise SourceError(
            f"{root}: its crops are {other[0]:g} times as wide as the cell, those of networks trained here "
            f"{MARGIN:g} times; teach sessions that such a network recorded"
        )
    samples = [
        Sample(
            path=root / one.file,
            label=one.label,
            source=name,
            group=f"{name}/{one.session}/{one.field}",
            box=None,
            is_crop=True,
            slide=f"{name}/{one.slide}",
        )
        for one in rows
    ]
    there, listed = set(images_below(root)), {sample.path for sample in samples}
    if missing := sorted(listed - there):
        raise SourceError(
            f"{missing[0]}: listed in {LIST} and not there, with {len(missing) - 1} more; teach its session again"
        )
    if strange := sorted(there - listed):
        raise SourceError(
            f"{strange[0]}: not listed in {LIST}, with {len(strange) - 1} more; change classes in the review and teach "
            "its session again, or take the image away"
        )
    if not samples:
        raise SourceError(f"{root}: no cell was taught to it; teach a session in which cells have a class")
    return samples


def read_kaggle(root: Path, originals: Path) -> list[Sample]:
    """Kaggle's Blood Cell Images: ``CLASS/*.jpeg``, grouped by the BCCD photograph each was made from.

    :param originals: CSV with columns class, file, original, group.
    :raises SourceError: an image's photograph is not in ``originals``, or that file is not there.
    """
    if not originals.is_file():
        raise SourceError(f"{originals}: no such file; it says which photograph each image was made from")
    with originals.open(newline="") as lines:
        groups = {(row["class"], row["file"]): row["group"] for row in csv.DictReader(lines)}
    samples = []
    for sample in read_class_folders(root, "kaggle"):
        key = (sample.path.parent.name, sample.path.name)
        if key not in groups:
            raise SourceError(f"{sample.path}: {originals.name} does not say which photograph it shows; add it there")
        samples.append(Sample(sample.path, sample.label, "kaggle", f"bccd/{groups[key]}", None))
    return samples


def read_voc(root: Path) -> list[Sample]:
    """BCCD: ``images/*.jpg``, ``annotations/*.xml`` (VOC), ``labels.csv`` with image, label, group.

    Only photographs with exactly one class and one white-cell box are unambiguous; the others are left out.
    """
    samples = []
    with (root / "labels.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            label = label_of(row["label"])
            boxes = voc_boxes(root / "annotations" / f"{row['image']}.xml")
            if label is not None and len(boxes) == 1:
                path = root / "images" / f"{row['image']}.jpg"
                samples.append(Sample(path, label, "bccd", f"bccd/{row['group']}", boxes[0]))
    return samples


def voc_boxes(path: Path, name: str = "WBC") -> list[Box]:
    """The boxes of one kind in a VOC annotation."""
    boxes = []
    for item in ElementTree.parse(path).getroot().iter("object"):
        if item.findtext("name") == name:
            boxes.append(corners({side: item.findtext(f"bndbox/{side}", "0") for side in _SIDES}))
    return boxes


def corners(row: Mapping[str, str]) -> Box:
    """The box between ``xmin``, ``ymin``, ``xmax`` and ``ymax``, to the nearest pixel."""
    left, top, right, bottom = (round(float(row[side])) for side in _SIDES)
    return Box(left, top, right - left, bottom - top)


def read_boxes(root: Path, source: str) -> list[Sample]:
    """Whole fields with ``boxes.csv``: image, slide, xmin, ymin, xmax, ymax, label. Grouped by slide."""
    samples = []
    with (root / "boxes.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            label = label_of(row["label"])
            if label is None:
                raise SourceError(
                    f"{root / 'boxes.csv'}: {row['label']!r} is no class; use one of {', '.join(CLASSES)}"
                )
            samples.append(
                Sample(root / "images" / row["image"], label, source, f"{source}/{row['slide']}", corners(row))
            )
    return samples


def read_all(root: Path) -> list[Sample]:
    """Every labelled cell below a folder that holds any of ``kaggle/TRAIN``, ``bccd``, ``pbc`` and ``chula``.

    A folder that sessions were taught to is read by its list, one laid out otherwise as class folders.

    :raises SourceError: nothing labelled is found.
    """
    if (root / LIST).is_file():
        return read_taught(root)
    samples: list[Sample] = []
    if (root / "kaggle" / "TRAIN").is_dir():
        samples += read_kaggle(root / "kaggle" / "TRAIN", root / "kaggle_train_originals.csv")
    if (root / "bccd" / "labels.csv").is_file():
        samples += read_voc(root / "bccd")
    if (root / "pbc").is_dir():
        samples += read_class_folders(root / "pbc", "pbc")
    if (root / "chula" / "boxes.csv").is_file():
        samples += read_boxes(root / "chula", "chula")
    return samples or read_class_folders(root)


def lock_groups(samples: Iterable[Sample]) -> list[str]:
    """Choose the groups that nothing shipped is trained on: a tenth of the groups of each origin and class of cell.

    Rounded, at least one where a class has three groups or more, none where it has fewer (that would take the class
    out of training). Chosen by the order of a hash, so that the choice depends on no list's order.
    """
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    for sample in samples:
        if sample.label != NOT_A_CELL:
            groups[sample.group.split("/")[0], sample.label].add(sample.group)
    locked: set[str] = set()
    for (_, label), names in sorted(groups.items()):
        count = max(1, round(LOCKED_SHARE * len(names))) if len(names) >= 3 else 0
        locked.update(sorted(names, key=lambda name: hashlib.sha256(f"{label}/{name}".encode()).digest())[:count])
    return sorted(locked)


def locked_groups(path: Path = SPLITS) -> frozenset[str]:
    """The committed choice of ``lock_groups``."""
    return frozenset(json.loads(path.read_text())["locked"])


def split(samples: Sequence[Sample], locked: frozenset[str]) -> tuple[list[Sample], list[Sample]]:
    """Samples to train on, and samples of locked groups."""
    training = [sample for sample in samples if sample.group not in locked]
    return training, [sample for sample in samples if sample.group in locked]


def deal_folds(samples: Iterable[Sample], count: int = 5) -> dict[str, int]:
    """Deal groups to folds, class by class, in the order of a hash: each fold gets as many groups of a class, give
    or take one. A group with cells of several classes is dealt with the class it shows most."""
    cells: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        cells[sample.group][sample.label] += 1
    classes: dict[str, list[str]] = defaultdict(list)
    for group, labels in cells.items():
        classes[max(sorted(labels), key=lambda label: labels[label])].append(group)
    dealt: dict[str, int] = {}
    for _, groups in sorted(classes.items()):
        for group in sorted(groups, key=lambda name: hashlib.sha256(f"fold/{name}".encode()).digest()):
            dealt[group] = len(dealt) % count
    return dict(sorted(dealt.items()))


def folds(path: Path = FOLDS) -> dict[str, int]:
    """The committed folds of the paper's images: group → 0 to 4."""
    return {str(group): int(fold) for group, fold in json.loads(path.read_text())["fold"].items()}


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
