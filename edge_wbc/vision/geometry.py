"""Arithmetic on boxes."""

from __future__ import annotations

from collections.abc import Sequence

from edge_wbc.types import Box


def iou(a: Box, b: Box) -> float:
    """Intersection over union, 0 to 1."""
    across = min(a.xmin + a.width, b.xmin + b.width) - max(a.xmin, b.xmin)
    down = min(a.ymin + a.height, b.ymin + b.height) - max(a.ymin, b.ymin)
    if across <= 0 or down <= 0:
        return 0.0
    both = across * down
    return both / (a.width * a.height + b.width * b.height - both)


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
