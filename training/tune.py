"""Going on from a trained network with a few labelled cells of one's own, and whether it helped."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from edge_wbc.errors import SourceError, UsageError
from edge_wbc.manifest import sha256
from edge_wbc.types import Pixels
from training import weights
from training.augment import centre
from training.check import Folders
from training.datasets import Sample, deal_folds
from training.leukonet import Leukonet

HELD_OUT = 5
"""One of so many groups is held out, of classes that have at least so many."""
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Start:
    """A trained network to go on from."""

    name: str
    network: Leukonet
    labels: tuple[str, ...]
    sha256: str
    """Of the weights file."""


def open_start(name: str) -> Start:
    """Load the weights of a shipped model by its name, or a weights file.

    :raises UsageError: neither.
    :raises ModelError: the file can't be used.
    """
    shipped = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.safetensors"))}
    path = shipped.get(name, Path(name))
    if not path.is_file():
        raise UsageError(f"--from {name}: neither a shipped model ({', '.join(shipped)}) nor a weights file; name one")
    network, labels, _ = weights.load(path)
    return Start(path.stem, network, labels, sha256(path))


def refuse_unknown(samples: Sequence[Sample], found: Folders, start: Start) -> None:
    """:raises SourceError: cells of a class that the network does not have."""
    strange = [sample for sample in samples if sample.label not in start.labels]
    names = [str(folder) for folder in found.unknown] + [f"{cell.path} ({cell.label})" for cell in strange]
    if names:
        raise SourceError(
            f"{names[0]}: no class of {start.name}; it knows {', '.join(start.labels)}: name its folder so, or take "
            "it away"
        )


def absent(samples: Sequence[Sample], labels: Sequence[str]) -> list[str]:
    """Labels without a cell."""
    present = {sample.label for sample in samples}
    return [label for label in labels if label not in present]


def hold_out(samples: Sequence[Sample]) -> list[bool]:
    """Which cells are held out: a fifth of the groups, and none that shows a class with fewer than five groups."""
    groups: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        groups[sample.label].add(sample.group)
    scarce = {sample.group for sample in samples if len(groups[sample.label]) < HELD_OUT}
    dealt = deal_folds([sample for sample in samples if sample.group not in scarce], HELD_OUT)
    return [dealt.get(sample.group) == HELD_OUT - 1 for sample in samples]


def hold_out_slides(samples: Sequence[Sample]) -> list[bool] | None:
    """Which cells are held out where it is known of each which slide it is on: whole slides, a fifth of the cells or
    more.

    Slides are taken in the order of a hash, but one without which less than half of the cells of some class, or none,
    would be left to train. None: there is no slide that may be taken.
    """
    slides: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        slides[sample.slide][sample.label] += 1
    if "" in slides:
        return None
    whole = Counter(sample.label for sample in samples)
    left, held = Counter(whole), set[str]()
    for slide in sorted(slides, key=lambda name: hashlib.sha256(f"hold out/{name}".encode()).digest()):
        if HELD_OUT * (len(samples) - left.total()) >= len(samples):
            break
        if all(left[label] - slides[slide][label] >= max(1, count / 2) for label, count in whole.items()):
            left -= slides[slide]
            held.add(slide)
    return [sample.slide in held for sample in samples] if held else None


def right(network: Leukonet, labels: Sequence[str], crops: Pixels, samples: Sequence[Sample]) -> list[bool]:
    """Of each cell, whether the network names it rightly, whatever its certainty.

    :param crops: uint8 (len(samples), size / SEEN, size / SEEN, 3) BGR.
    """
    named: list[bool] = []
    with torch.inference_mode():
        for first in range(0, len(samples), _BATCH):
            seen = centre(torch.from_numpy(crops[first : first + _BATCH]), network.architecture.size)
            for sample, index in zip(samples[first : first + _BATCH], network(seen).argmax(1).tolist(), strict=True):
                named.append(labels[index] == sample.label)
    return named
