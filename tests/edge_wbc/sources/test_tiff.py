"""TIFF of several pages, and OME-TIFF, written by OpenCV and by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_wbc.sources.base import open_source
from edge_wbc.types import Frame, Refused


def ome_tiff(pixels: np.ndarray, description: str) -> bytes:
    """An uncompressed RGB TIFF with a description, little-endian."""
    height, width, samples = pixels.shape
    text = description.encode() + b"\0"
    depth = pixels.dtype.itemsize * 8
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    at = 8
    bits_at = at + len(data)
    text_at = bits_at + 6
    directory_at = text_at + len(text) + len(text) % 2
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, samples, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (270, 2, len(text), text_at),
        (273, 4, 1, at),
        (277, 3, 1, samples),
        (278, 4, 1, height),
        (279, 4, 1, len(data)),
    ]
    out = b"II*\0" + struct.pack("<I", directory_at) + data + struct.pack("<3H", *[depth] * samples) + text
    out += b"\0" * (directory_at - len(out)) + struct.pack("<H", len(tags))
    return out + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)


def ome(bits: int | None) -> str:
    told = "" if bits is None else f' SignificantBits="{bits}"'
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels DimensionOrder="XYCZT" ID="Pixels:0"{told} SizeC="3" SizeT="1" Type="uint16"/></Image></OME>'
    )


PIXELS = np.random.default_rng(1).integers(0, 256, (48, 64, 3)).astype(np.uint16)


def items(path: Path) -> list[Frame | Refused]:
    return list(open_source(str(path)).frames())


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_sixteen_bits_that_hold_fewer_become_eight(bits: int, tmp_path: Path) -> None:
    (tmp_path / "a.ome.tif").write_bytes(ome_tiff(PIXELS << (bits - 8), ome(bits)))
    (frame,) = items(tmp_path / "a.ome.tif")
    assert isinstance(frame, Frame)
    assert np.array_equal(frame.pixels, PIXELS[:, :, ::-1].astype(np.uint8))


def test_samples_beyond_the_bits_told_stay_white(tmp_path: Path) -> None:
    (tmp_path / "a.ome.tif").write_bytes(ome_tiff(np.full((48, 64, 3), 60_000, np.uint16), ome(12)))
    (frame,) = items(tmp_path / "a.ome.tif")
    assert isinstance(frame, Frame)
    assert frame.pixels.min() == 255


@pytest.mark.parametrize("description", ["", ome(None), ome(3), '<OME><Pixels SignificantBits="no"/></OME>'])
def test_sixteen_bits_of_which_nothing_is_told_are_refused(description: str, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(ome_tiff(PIXELS, description))
    (refused,) = items(tmp_path / "a.tif")
    assert isinstance(refused, Refused)
    assert "16-bit image; save it with 8 bits a channel" in refused.reason


def test_pages_are_frames_and_one_that_cannot_be_used_is_refused_alone(tmp_path: Path) -> None:
    pages = [np.full((48, 64, 3), 30, np.uint8), np.full((48, 64), 60, np.uint8), np.full((48, 64, 3), 90, np.uint8)]
    cv2.imwritemulti(str(tmp_path / "b.tif"), pages)
    cv2.imwrite(str(tmp_path / "c.png"), pages[0])
    first, second, third, fourth = items(tmp_path)
    assert [item.index for item in (first, second, third, fourth)] == [0, 1, 2, 3]
    assert isinstance(first, Frame)
    assert isinstance(second, Refused)
    assert "b.tif page 2: grey image" in second.reason
    assert isinstance(third, Frame)
    assert third.pixels[0, 0, 0] == 90
    assert third.origin == str(tmp_path / "b.tif")
    assert fourth.origin == str(tmp_path / "c.png")


def test_a_tiff_that_breaks_off_between_pages(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    cv2.imwritemulti(str(tmp_path / "whole.tif"), [noise, noise, noise])
    data = (tmp_path / "whole.tif").read_bytes()
    for part in (0.2, 0.5, 0.8, 0.99):
        (tmp_path / "cut.tif").write_bytes(data[: int(part * len(data))])
        found = items(tmp_path / "cut.tif")
        assert found
        assert all(np.array_equal(item.pixels, noise) for item in found if isinstance(item, Frame))
        assert sum(isinstance(item, Frame) for item in found) < 3
