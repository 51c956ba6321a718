"""How far photographs must be spoilt before they are not judged: ``python -m training.quality DATA``.

Photographs of the training groups, a sample of each source, blurred and smeared by parts of their width, with camera
noise after it, and held against the settings of :mod:`edge_wbc.vision.quality`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge_wbc.cli.common import say
from edge_wbc.errors import EdgeWbcError
from edge_wbc.sources.files import read_image
from edge_wbc.types import Pixels
from edge_wbc.vision.quality import judge, measure, usual
from training.datasets import locked_groups, read_all, split

PARTS = (0.003, 0.005, 0.01, 0.02)
"""Of the longer side: the deviation of the blur, the length of the smear."""
NOISE = 2.0
"""Of the camera, in grey levels."""


def blurred(pixels: Pixels, part: float, random: np.random.Generator) -> Pixels:
    """Out of focus: a Gaussian."""
    spoilt: Pixels = cv2.GaussianBlur(pixels, (0, 0), part * max(pixels.shape[:2]))
    return spoilt


def smeared(pixels: Pixels, part: float, random: np.random.Generator) -> Pixels:
    """Moved while the shutter was open: a line in a random direction."""
    reach = max(1, round(part * max(pixels.shape[:2]) / 2))
    angle = random.uniform(0, math.pi)
    x, y = round(reach * math.cos(angle)), round(reach * math.sin(angle))
    line = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    cv2.line(line, (reach - x, reach - y), (reach + x, reach + y), 1.0)
    spoilt: Pixels = cv2.filter2D(pixels, -1, line / line.sum(), borderType=cv2.BORDER_REPLICATE)
    return spoilt


def noticed(
    photographs: list[Pixels], spoil: Callable[[Pixels, float, np.random.Generator], Pixels], part: float, seed: int = 0
) -> tuple[float, float]:
    """Shares of the photographs that are not judged when spoilt: alone, and beside the same camera's sharp ones."""
    random = np.random.default_rng(seed)
    alone = beside = 0
    for pixels in photographs:
        spoilt = spoil(pixels, part, random) + random.normal(0, NOISE, pixels.shape)
        found = measure(np.clip(spoilt, 0, 255).astype(np.uint8))
        sharp = measure(pixels)
        alone += judge(found) is not None
        beside += judge(found, (sharp.detail, sharp.roundness)) is not None
    return alone / len(photographs), beside / len(photographs)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=100, help="photographs of each source")
    given = parser.parse_args()
    by_source: defaultdict[str, set[Path]] = defaultdict(set)
    try:
        training, _ = split(read_all(given.data), locked_groups())
        for sample in training:
            by_source[sample.source].add(sample.path)
        for source, paths in sorted(by_source.items()):
            _report(source, _sample(sorted(paths), given.count))
    except EdgeWbcError as error:
        parser.exit(error.exit_code, f"{error}\n")
    return 0


def _sample(paths: list[Path], count: int) -> list[Pixels]:
    chosen = np.random.default_rng(0).permutation(len(paths))[:count]
    return [read_image(paths[i]) for i in chosen]


def _report(source: str, photographs: list[Pixels]) -> None:
    found = [measure(pixels) for pixels in photographs]
    told = Counter(str(judge(one)) for one in found)
    together = Counter(str(judge(one, usual(found))) for one in found)
    say(f"{source}: {len(found)} as they are: {dict(told)}; beside the usual of all of them: {dict(together)}")
    least = ", ".join(
        f"{name} {min(getattr(one, name) for one in found):.2f}" for name in ("light", "colour", "detail", "roundness")
    )
    say(f"  least: {least}")
    for spoil in (blurred, smeared):
        for part in PARTS:
            alone, beside = noticed(photographs, spoil, part)
            say(f"  {spoil.__name__} by {part:.1%}: {alone:.0%} noticed alone, {beside:.0%} beside sharp ones")


if __name__ == "__main__":
    sys.exit(main())
