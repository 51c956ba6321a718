"""Whether a frame is fit to be judged: light, colour, focus, motion.

Settings were chosen on photographs of the training groups, which are all taken for sharp; docs/counting.md has what is
noticed. One photograph says little of its own sharpness, so a camera's frames are held against its usual ones as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edge_wbc.types import Pixels

FOCUS_PX, MOTION_PX = 160, 320
"""The longer side is brought to this: noise averages out, and magnifications become alike."""
LIGHT_PX = 40
"""Light and colour are read from so many of a row's pixels."""
DARKEST = 40
"""Median of the brightest channel, 0 to 255, below which the lamp is off or the cap is on. Training images: from
115."""
WHITE, MOST_WHITE = 250, 0.5
"""Part of the frame at or above this grey level in all channels, from which colours can't be trusted. Training images:
to 0.0002."""
LEAST_CONTRAST = 4.0
"""Standard deviation in grey levels below which a frame shows an empty place: no focus or stain to be told."""
LEAST_COLOUR = 8
"""95th percentile of brightest minus darkest channel, 0 to 255, below which no stain can be told. Training: from 28."""
LEAST_DETAIL = 0.35
"""Fine over coarse detail in any frame. Training images: from 0.41."""
OF_USUAL_DETAIL = 0.65
"""The same beside what the camera's frames usually have."""
LEAST_ROUND = 0.5
"""Fine detail along the direction that has least of it, over that with most: a moving frame loses it in one direction.
Training images: from 0.6."""
OF_USUAL_ROUND = 0.72
REMEMBERED, ENOUGH = 150, 10
"""Frames that say what is usual: the last so many, blurred ones among them, so that a slide that is softer throughout
is judged after all; and so many at least."""

REASONS = {
    "dark": "black; check the lamp, the cap and the exposure",
    "bright": "blown out; lower the lamp or the exposure",
    "colourless": "without colour; use a colour camera and a stained slide",
    "blurred": "out of focus; refocus",
    "moving": "smeared by motion; move the stage slower, or expose shorter",
}
"""Why a frame is not judged → what it is, and what to do."""

_Grey: TypeAlias = npt.NDArray[np.uint8]
_KERNELS = tuple(
    tuple(np.array(kernel, np.float32) for kernel in pair)
    for pair in (
        (((0, 0, 0), (-1, 2, -1), (0, 0, 0)), ((0, -1, 0), (0, 2, 0), (0, -1, 0))),
        (((-1, 0, 0), (0, 2, 0), (0, 0, -1)), ((0, 0, -1), (0, 2, 0), (-1, 0, 0))),
    )
)
"""Second differences across and down, and along the two diagonals: their mean over a frame is 0."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured on one frame."""

    light: float
    """Median of the brightest channel, 0 to 255."""
    white: float
    """Part of the frame that is blown out."""
    colour: float
    """95th percentile of brightest minus darkest channel, 0 to 255."""
    contrast: float
    """Standard deviation of the green channel, in grey levels."""
    detail: float
    """Fine over coarse detail."""
    roundness: float
    """Fine detail along the direction that has least of it, over that with most; 1 where it was not asked for."""


def measure(pixels: Pixels, *, motion: bool = True) -> Quality:
    """Measure a frame: about as long as locating takes, without ``motion`` half of that.

    :param pixels: (height, width, 3) uint8 BGR, any size; reduced is as good.
    """
    step = max(1, max(pixels.shape[:2]) // LIGHT_PX)
    blue, green, red = cv2.split(pixels[::step, ::step])
    most, least = cv2.max(cv2.max(blue, green), red), cv2.min(cv2.min(blue, green), red)
    plane = cv2.extractChannel(_to_length(pixels, MOTION_PX), 1)
    fine = cv2.GaussianBlur(_to_length(plane, FOCUS_PX), (3, 3), 0.7)
    smooth = cv2.GaussianBlur(fine, (9, 9), 1.5)
    halved = cv2.resize(smooth, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    coarse = _difference(halved, cv2.GaussianBlur(halved, (9, 9), 2))
    return Quality(
        light=_percentile(most, 0.5),
        white=float((least >= WHITE).mean()),
        colour=_percentile(cv2.subtract(most, least), 0.95),
        contrast=_deviation(fine),
        detail=_difference(fine, smooth) / max(coarse, 0.1),
        roundness=_roundness(plane) if motion else 1.0,
    )


def _to_length(plane: _Grey, length_px: int) -> _Grey:
    height, width = plane.shape[:2]
    scale = min(1.0, length_px / max(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    return plane if scale == 1 else np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def _roundness(green: _Grey) -> float:
    fine = cv2.GaussianBlur(green, (3, 3), 0)
    straight, slanted = ([cv2.norm(cv2.filter2D(fine, cv2.CV_16S, one)) for one in pair] for pair in _KERNELS)
    return min(min(pair) / max(*pair, 1e-3) for pair in (straight, slanted))


def _deviation(plane: npt.NDArray[np.integer]) -> float:
    return float(cv2.meanStdDev(plane)[1][0, 0])


def _percentile(plane: _Grey, share: float) -> float:
    return float(np.sort(plane, axis=None)[int(share * (plane.size - 1))])


def _difference(first: _Grey, second: _Grey) -> float:
    """Root mean square."""
    return float(cv2.norm(first, second, cv2.NORM_L2) / np.sqrt(first.size))


class Judge:
    """Says which frames of one session are not to be judged. Used by one thread, where it is ``continuous``.

    :param continuous: frames follow one another, as a camera's: what is usual counts, and motion is looked for.
    """

    def __init__(self, continuous: bool) -> None:
        self._continuous = continuous
        self._usual: deque[Quality] = deque(maxlen=REMEMBERED)

    def reason(self, pixels: Pixels) -> str | None:
        """A key of :data:`REASONS`, or None for a good frame."""
        found = measure(pixels, motion=self._continuous)
        reason = judge(found, usual(self._usual) if len(self._usual) >= ENOUGH else None)
        if self._continuous and found.contrast >= LEAST_CONTRAST and judge(found) is None:
            self._usual.append(found)
        return reason


def usual(frames: Collection[Quality]) -> tuple[float, float]:
    """Median detail and roundness."""
    return median(frame.detail for frame in frames), median(frame.roundness for frame in frames)


def judge(found: Quality, beside: tuple[float, float] | None = None) -> str | None:
    """Why a frame is not to be judged, or None.

    :param beside: the usual detail and roundness.
    """
    detail, roundness = (0.0, 0.0) if beside is None else beside
    if found.light < DARKEST:
        return "dark"
    if found.white > MOST_WHITE:
        return "bright"
    if found.contrast < LEAST_CONTRAST:
        return None
    if found.colour < LEAST_COLOUR:
        return "colourless"
    if found.roundness < max(LEAST_ROUND, OF_USUAL_ROUND * roundness):
        return "moving"
    if found.detail < max(LEAST_DETAIL, OF_USUAL_DETAIL * detail):
        return "blurred"
    return None
