"""Images and videos as they lie on disks: whole, broken off, grey, too deep, too large."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_wbc.errors import SourceError
from edge_wbc.sources.base import open_source
from edge_wbc.sources.files import ImageFiles, open_images, read_image
from edge_wbc.types import Frame, Refused

PIXELS = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8), (5, 5), 0)
PROGRESSIVE = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]


def encoded(suffix: str, pixels: np.ndarray = PIXELS, options: list[int] | None = None) -> bytes:
    return cv2.imencode(suffix, pixels, options or [])[1].tobytes()


def with_thumbnail(jpeg: bytes) -> bytes:
    """A JPEG that holds a whole smaller one in its APP1 segment, as cameras write it."""
    small = encoded(".jpg", PIXELS[:40, :40])
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(small)) + small + jpeg[2:]


WHOLE = {
    "baseline.jpg": encoded(".jpg"),
    "progressive.jpg": encoded(".jpg", options=PROGRESSIVE),
    "thumbnail.jpg": with_thumbnail(encoded(".jpg")),
    "whole.png": encoded(".png"),
    "whole.bmp": encoded(".bmp"),
    "whole.tif": encoded(".tif"),
}


@pytest.mark.parametrize("name", list(WHOLE))
def test_a_whole_image_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(WHOLE[name])
    pixels = read_image(tmp_path / name)
    assert pixels.shape == PIXELS.shape
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - PIXELS).mean() < (8 if name.endswith("jpg") else 1e-9)


@pytest.mark.parametrize("name", ["baseline.jpg", "whole.png"])
def test_bytes_after_the_end_do_no_harm(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(WHOLE[name] + bytes(100))
    assert read_image(tmp_path / name).shape == PIXELS.shape


@pytest.mark.parametrize("name", list(WHOLE))
def test_an_image_that_breaks_off_is_refused_wherever_it_does(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    data = WHOLE[name]
    for part in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        path.write_bytes(data[: max(4, int(part * len(data)))])
        with pytest.raises(SourceError, match=r"breaks off before its end; copy it again|not an image") as caught:
            read_image(path)
        assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["baseline.jpg", "progressive.jpg", "thumbnail.jpg", "whole.png"])
def test_the_last_bytes_matter(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(WHOLE[name][:-9])
    with pytest.raises(SourceError, match="breaks off before its end"):
        read_image(path)


def test_an_alpha_channel_is_left_out(tmp_path: Path) -> None:
    alpha = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 7, np.uint8)])
    (tmp_path / "a.png").write_bytes(encoded(".png", alpha))
    pixels = read_image(tmp_path / "a.png")
    assert np.array_equal(pixels, PIXELS)
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("empty.jpg", b"", "the file is empty"),
        ("text.jpg", b"Dear reader,\n", "not an image"),
        ("deep.png", encoded(".png", PIXELS.astype(np.uint16) * 256), "16-bit image"),
        ("float.tif", encoded(".tif", PIXELS.astype(np.float32)), "32-bit image"),
        ("grey.jpg", encoded(".jpg", PIXELS[..., 0]), "grey image"),
        ("grey.png", encoded(".png", PIXELS[..., 0]), "grey image"),
        ("dot.png", encoded(".png", PIXELS[:1, :1]), "1×1 pixels; a frame needs at least 32×32"),
        ("strip.png", encoded(".png", PIXELS[:31]), "120×31 pixels"),
    ],
)
def test_what_is_no_colour_frame_is_refused(name: str, data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(SourceError, match=says) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_the_smallest_frame_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(".png", PIXELS[:32, :32]))
    assert read_image(tmp_path / "a.png").shape == (32, 32, 3)


def test_a_gigantic_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: takes no room
    with pytest.raises(SourceError, match=r"1099\.5 GB is no single frame"):
        read_image(path)


def test_a_picture_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    (tmp_path / "bomb.png").write_bytes(data + chunk(b"IEND", b""))
    with pytest.raises(SourceError, match="million pixels"):
        read_image(tmp_path / "bomb.png")


def test_a_folder_gives_its_images_by_name_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "sub/c.jpg", "notes.txt", "a.manifest.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(".png"))
    (tmp_path / "folder.png").mkdir()
    source = open_source(str(tmp_path))
    assert isinstance(source, ImageFiles)
    assert [path.relative_to(tmp_path).as_posix() for path in source.paths] == ["a.PNG", "b.png", "sub/c.jpg"]
    assert len(source) == 3


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SourceError, match="no image in this folder; give one with"):
        open_source(str(tmp_path))


def test_bad_images_are_refused_and_good_ones_given(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(b"" if number == 1 else encoded(".png"))
    found = list(open_images([tmp_path]).frames())
    assert [type(item) for item in found] == [Frame, Refused, Frame, Frame]
    assert [item.index for item in found] == [0, 1, 2, 3]
    assert isinstance(found[1], Refused)
    assert found[1].origin == str(tmp_path / "1.png")
    assert "the file is empty" in found[1].reason


def test_an_image_that_vanishes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(".png"))
    source = open_images([tmp_path])
    (tmp_path / "a.png").unlink()
    (refused,) = source.frames()
    assert isinstance(refused, Refused)
    assert "no such file" in refused.reason


def test_names_need_not_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"gr\xfcn.png")
    path.write_bytes(encoded(".png"))
    (frame,) = open_images([tmp_path]).frames()
    assert isinstance(frame, Frame)
    assert frame.origin == str(path)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_a_path_that_is_not_there_is_refused_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError):
        open_source(f"{tmp_path}/no-such-{name}")


def write_video(path: Path, frames: int = 30) -> bytes:
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v")), 25, (128, 96)
    )
    rng = np.random.default_rng(2)
    for _ in range(frames):
        writer.write(rng.integers(0, 256, (96, 128, 3), np.uint8))
    writer.release()
    return path.read_bytes()


@pytest.mark.parametrize("name", ["slide.avi", "slide.mp4", "slide.mkv"])
def test_every_frame_of_a_video_is_given(name: str, tmp_path: Path) -> None:
    write_video(tmp_path / name)
    found = list(open_source(str(tmp_path / name)).frames())
    assert [type(item) for item in found] == [Frame] * 30


def test_a_video_that_breaks_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "slide.avi"
    data = write_video(path)
    path.write_bytes(data[: len(data) // 2])
    *frames, last = open_source(str(path)).frames()
    assert all(isinstance(frame, Frame) for frame in frames)
    assert 10 <= len(frames) <= 20
    assert isinstance(last, Refused)
    assert last.index == len(frames)
    assert f"breaks off after frame {len(frames)} of 30" in last.reason


@pytest.mark.parametrize("name", ["empty.mp4", "text.mp4", "half.mp4", os.fsdecode(b"gr\xfcn.mp4")])
def test_what_is_no_video_is_refused(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    data = write_video(tmp_path / "whole.mp4")
    path.write_bytes({"empty.mp4": b"", "text.mp4": b"Dear reader", "half.mp4": data[: len(data) // 2]}.get(name, data))
    with pytest.raises(SourceError) as caught:
        list(open_source(str(path)).frames())
    assert str(path) in str(caught.value)
    assert capfd.readouterr().err == "", "FFmpeg adds nothing of its own"


def test_frames_of_a_video_too_small_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 16))
    for _ in range(3):
        writer.write(np.zeros((16, 64, 3), np.uint8))
    writer.release()
    found = list(open_source(str(path)).frames())
    assert [type(item) for item in found] == [Refused] * 3
    assert all(isinstance(item, Refused) and "64×16 pixels" in item.reason for item in found)
