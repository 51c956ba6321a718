"""Arithmetic on boxes."""

from __future__ import annotations

from collections.abc import Sequence

from edge_wbc.types import Box


def common(a: Box, b: Box) -> int:
    """Pixels that both cover."""
    across = min(a.xmin + a.width, b.xmin + b.width) - max(a.xmin, b.xmin)
    down = min(a.ymin + a.height, b.ymin + b.height) - max(a.ymin, b.ymin)
    return max(0, across) * max(0, down)


def iou(a: Box, b: Box) -> float:
    """Intersection over union, 0 to 1."""
    both = common(a, b)
    return both / (a.width * a.height + b.width * b.height - both) if both else 0.0


def match(found: Sequence[Box], known: Sequence[Box], at: float) -> list[tuple[int, int]]:
    """Pairs (index in ``found``, index in ``known``) with IoU ≥ ``at``, each used once, the best overlaps first."""
    pairs = sorted(
        ((iou(f, k), i, j) for i, f in enumerate(found) for j, k in enumerate(known)), key=lambda pair: -pair[0]
    )
    matched: dict[int, int] = {}
    for overlap, i, j in pairs:
        if overlap >= at and i not in matched and j not in matched.values():
            matched[i] = j
    return sorted(matched.items())


def part_shared(a: Box, b: Box) -> float:
    """Intersection over the smaller of the two, 0 to 1."""
    both = common(a, b)
    return both / min(a.width * a.height, b.width * b.height) if both else 0.0


def clipped(box: Box, size: tuple[int, int]) -> Box:
    """What of a box lies within a frame of (width, height); width or height 0 where nothing does."""
    left, top = min(max(0, box.xmin), size[0]), min(max(0, box.ymin), size[1])
    right, bottom = min(box.xmin + box.width, size[0]), min(box.ymin + box.height, size[1])
    return Box(left, top, max(0, right - left), max(0, bottom - top))


def grown(box: Box, share: float) -> Box:
    """A box with a part of its longer side added on each side."""
    around = round(share * max(box.width, box.height))
    return Box(box.xmin - around, box.ymin - around, box.width + 2 * around, box.height + 2 * around)


def inside(box: Box, size: tuple[int, int], margin_px: int = 1) -> bool:
    """Whether a box keeps at least ``margin_px`` from the border of a frame of (width, height)."""
    return (
        box.xmin >= margin_px
        and box.ymin >= margin_px
        and box.xmin + box.width <= size[0] - margin_px
        and box.ymin + box.height <= size[1] - margin_px
    )


def assign(found: Sequence[Box], known: Sequence[Box], at: float) -> list[tuple[int | None, bool]]:
    """For each box found, the index of the known one it is (None if new), and whether it is only a part of it.

    They are the same from ``at`` on, a part of the smaller; each known box is found once, the best overlaps first.
    """
    pairs = sorted(
        (-iou(box, other), i, j)
        for i, box in enumerate(found)
        for j, other in enumerate(known)
        if part_shared(box, other) >= at
    )
    given: list[tuple[int | None, bool]] = [(None, False)] * len(found)
    taken: set[int] = set()
    for only_part in (False, True):
        for _, i, j in pairs:
            if given[i][0] is None and (only_part or j not in taken):
                given[i] = j, only_part
                taken.add(j)
    return given


def close(a: Box, b: Box, reach: float) -> bool:
    """Whether what lies between two boxes is less than this part of the longest side among them."""
    reach *= max(a.width, a.height, b.width, b.height)
    across = max(a.xmin, b.xmin) - min(a.xmin + a.width, b.xmin + b.width)
    down = max(a.ymin, b.ymin) - min(a.ymin + a.height, b.ymin + b.height)
    return max(across, down) < reach
