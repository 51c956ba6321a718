"""Which frames are fit to be judged."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_wbc.sources.base import open_source
from edge_wbc.types import Frame, Pixels
from edge_wbc.vision.quality import ENOUGH, REASONS, Judge, judge, measure
from edge_wbc.vision.reduced import reduced


def fields(uri: str, count: int) -> list[Pixels]:
    frames = open_source(uri).frames()
    return [frame.pixels for frame, _ in zip(frames, range(count), strict=False) if isinstance(frame, Frame)]


@pytest.fixture(scope="module")
def sharp() -> list[Pixels]:
    """Fields of three slides, each of another stain."""
    return [pixels for seed in (11, 12, 13) for pixels in fields(f"smear://?seed={seed}&cells=20", 8)]


def moved(pixels: Pixels, length_px: int) -> Pixels:
    kernel = np.zeros((length_px, length_px), np.float32)
    kernel[length_px // 2] = 1 / length_px
    return cv2.filter2D(pixels, -1, kernel, borderType=cv2.BORDER_REPLICATE).astype(np.uint8)


def noisy(pixels: Pixels) -> Pixels:
    noise = np.random.default_rng(1).normal(0, 2, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def softer(pixels: Pixels) -> Pixels:
    """Out of focus by about a hundredth of the width."""
    return noisy(cv2.GaussianBlur(pixels, (0, 0), 7))


SPOILT: dict[str, Callable[[Pixels], Pixels]] = {
    "dark": lambda pixels: pixels // 8,
    "bright": lambda pixels: np.maximum(pixels, 250),
    "colourless": lambda pixels: cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
    "blurred": lambda pixels: noisy(cv2.GaussianBlur(pixels, (0, 0), 13)),
    "moving": lambda pixels: moved(pixels, 25),
}


def test_sharp_fields_are_judged(sharp: list[Pixels]) -> None:
    assert [judge(measure(pixels)) for pixels in sharp] == [None] * len(sharp)


@pytest.mark.parametrize("reason", SPOILT)
def test_a_spoilt_field_is_told_why(sharp: list[Pixels], reason: str) -> None:
    told = [judge(measure(SPOILT[reason](pixels))) for pixels in sharp]
    assert told == [reason] * len(sharp)
    assert [judge(measure(reduced(SPOILT[reason](pixels)))) for pixels in sharp] == told
    assert reason in REASONS


@pytest.mark.parametrize("size", [(2560, 1920), (320, 240), (90, 70)])
def test_the_size_of_a_frame_does_not_matter(sharp: list[Pixels], size: tuple[int, int]) -> None:
    for pixels in sharp[:4]:
        sized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        assert judge(measure(np.asarray(sized, np.uint8))) is None


def test_a_camera_is_held_against_itself(sharp: list[Pixels]) -> None:
    soft = softer(sharp[0])
    assert Judge(continuous=True).reason(soft) is None, "alone it might be as sharp as this microscope gets"
    judged = Judge(continuous=True)
    assert [judged.reason(pixels) for pixels in sharp[:ENOUGH]] == [None] * ENOUGH
    assert judged.reason(soft) == "blurred"
    still = Judge(continuous=False)
    assert {still.reason(pixels) for pixels in (*sharp[:ENOUGH], soft)} == {None}, "other images say nothing of it"


def test_a_slide_that_is_softer_throughout_is_judged_after_all(sharp: list[Pixels]) -> None:
    judged = Judge(continuous=True)
    for pixels in sharp[:ENOUGH]:
        judged.reason(pixels)
    told = [judged.reason(softer(sharp[0])) for _ in range(40)]
    assert told[0] == "blurred"
    assert told[-1] is None


def test_nothing_is_learnt_from_black_frames(sharp: list[Pixels]) -> None:
    judged = Judge(continuous=True)
    for pixels in sharp[:ENOUGH]:
        judged.reason(pixels)
    assert {judged.reason(np.zeros_like(sharp[0])) for _ in range(200)} == {"dark"}
    assert judged.reason(softer(sharp[0])) == "blurred"


def test_an_empty_place_is_nobodys_fault() -> None:
    assert Judge(continuous=True).reason(noisy(np.full((480, 640, 3), 220, np.uint8))) is None
