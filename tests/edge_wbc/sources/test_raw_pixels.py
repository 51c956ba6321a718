"""Pixels of industrial cameras, made by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_wbc.errors import SourceError
from edge_wbc.sources.raw_pixels import RawFormat, raw_format, to_bgr

BGR = (60, 120, 200)
FIRST_TWO = {"RG": (2, 1, 1, 0), "GR": (1, 2, 0, 1), "GB": (1, 0, 2, 1), "BG": (0, 1, 1, 2)}
"""Channels of BGR at the four pixels of a mosaic's square, row by row."""


def given(kind: str, bits: int) -> np.ndarray:
    """A picture of one colour as a camera of this kind gives it."""
    if kind.startswith("Bayer"):
        eight = np.zeros((32, 40), np.uint8)
        for i, channel in enumerate(FIRST_TWO[kind[5:]]):
            eight[i // 2 :: 2, i % 2 :: 2] = BGR[channel]
    elif kind == "Mono":
        eight = np.full((32, 40), 77, np.uint8)
    else:
        order = {"R": 2, "G": 1, "B": 0}
        eight = np.stack([np.full((32, 40), BGR[order[one]] if one in order else 9, np.uint8) for one in kind], axis=2)
    return eight if bits == 8 else (eight.astype(np.uint16) << (bits - 8)) | 1


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["RGB", "BGR", "RGBa", "BGRa", "BayerRG", "BayerGR", "BayerGB", "BayerBG"])
def test_colours_come_out_as_they_are(kind: str, bits: int) -> None:
    read = raw_format(f"{kind}{bits}")
    assert read == RawFormat(kind, bits)
    frame = to_bgr(given(kind, bits), read)
    assert (frame.shape, frame.dtype) == ((32, 40, 3), np.uint8)
    assert (frame[4:-4, 4:-4] == BGR).all()
    assert frame.flags.c_contiguous


def test_a_mosaic_is_not_shifted() -> None:
    """An edge stays where it is."""
    picture = np.zeros((32, 40, 3), np.uint8)
    picture[:, 20:] = 200
    mosaic = np.zeros((32, 40), np.uint8)
    for i, channel in enumerate(FIRST_TWO["RG"]):
        mosaic[i // 2 :: 2, i % 2 :: 2] = picture[i // 2 :: 2, i % 2 :: 2, channel]
    frame = to_bgr(mosaic, RawFormat("BayerRG", 8))
    assert cv2.absdiff(frame, picture)[4:-4, list(range(4, 18)) + list(range(22, 36))].max() == 0


@pytest.mark.parametrize("bits", [8, 12])
def test_grey_becomes_three_equal_channels(bits: int) -> None:
    assert (to_bgr(given("Mono", bits), raw_format(f"Mono{bits}")) == 77).all()


def test_values_beyond_what_is_said_are_white() -> None:
    assert (to_bgr(np.full((32, 40), 65535, np.uint16), RawFormat("Mono", 12)) == 255).all()


@pytest.mark.parametrize("name", ["Mono12p", "Mono10Packed", "BayerRG12p", "YUV422_8", "Coord3D_C16", "RGB8Planar", ""])
def test_other_formats_are_refused_with_what_to_choose(name: str) -> None:
    with pytest.raises(SourceError, match=r"is not read here; choose RGB8, BGR8 or BayerRG8"):
        raw_format(name)


def test_what_is_not_of_the_format_is_refused() -> None:
    with pytest.raises(SourceError, match="16-bit pixels of 1 values are not Mono8"):
        to_bgr(np.zeros((32, 40), np.uint16), RawFormat("Mono", 8))
    with pytest.raises(SourceError, match="8-bit pixels of 3 values are not RGBa8"):
        to_bgr(np.zeros((32, 40, 3), np.uint8), RawFormat("RGBa", 8))
