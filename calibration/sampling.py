"""Which crops calibrate: as many of every class, source and photograph as there are, the same for the same cells."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from training.check import below, digests
from training.datasets import Sample

_NOTHING = object()


def choose(samples: Sequence[Sample], count: int, seed: int) -> list[Sample]:
    """At most ``count`` cells, class by class in turn, of a class source by source, of a source photograph by
    photograph; within a photograph by a hash, so that the order of the list does not matter."""
    shuffled = sorted(samples, key=lambda sample: hashlib.sha256(f"{seed}/{_line(sample)}".encode()).digest())
    by = (lambda sample: sample.label, lambda sample: sample.source, lambda sample: sample.group)
    return list(_in_turn(shuffled, by))[:count]


def every_second_group(samples: Sequence[Sample], seed: int) -> frozenset[str]:
    """Of each class, by the first sample of a group, every second one in the order of a hash."""
    of: dict[str, str] = {}
    for sample in samples:
        of.setdefault(sample.group, sample.label)
    turn: dict[str, int] = {}
    held = set()
    for group in sorted(of, key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest()):
        turn[of[group]] = turn.get(of[group], 0) + 1
        if turn[of[group]] % 2 == 0:
            held.add(group)
    return frozenset(held)


def listed(samples: Sequence[Sample], root: Path) -> list[dict[str, object]]:
    """What goes into the manifest: each cell's file below ``root``, its hash, its box and class, in order.

    :raises SourceError: a file can't be read.
    """
    files = digests(samples)
    return [
        {"file": below(item.path, root), "sha256": files[item.path], "box": item.box, "label": item.label}
        for item in samples
    ]


def _line(sample: Sample) -> str:
    return f"{sample.source}/{sample.label}/{sample.path.name}/{sample.box}"


def _in_turn(samples: Sequence[Sample], by: Sequence[Callable[[Sample], Hashable]]) -> Iterator[Sample]:
    """One of each part, then the next of each; the parts of a part likewise."""
    if not by:
        yield from samples
        return
    parts: dict[Hashable, list[Sample]] = {}
    for sample in samples:
        parts.setdefault(by[0](sample), []).append(sample)
    turns = (_in_turn(part, by[1:]) for part in parts.values())
    for turn in zip_longest(*turns, fillvalue=_NOTHING):
        yield from (sample for sample in turn if isinstance(sample, Sample))
