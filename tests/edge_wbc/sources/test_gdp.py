"""The GStreamer Data Protocol: any bytes whatever end in frames, an end or a refusal."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_wbc.sources.gdp import BUFFER, CAPS, HEADER, NO_TIME, NotGdp, Reader

CAPS_34_8 = b"video/x-raw, format=(string)BGR, width=(int)34, height=(int)8, framerate=(fraction)30/1\0"
EVENT = 0x284E


def packet(kind: int, payload: bytes, pts: int = NO_TIME) -> bytes:
    return HEADER.pack(1, 0, 1, kind, len(payload), pts) + payload


def reader(data: bytes) -> Reader:
    stream = io.BytesIO(data)
    return Reader(lambda into: stream.readinto(memoryview(into)) == len(into), lambda: 7)


def test_the_header_is_of_62_bytes() -> None:
    assert HEADER.size == 62


def test_the_padding_of_rows_is_left_out() -> None:
    rows = np.random.default_rng(1).integers(0, 256, (8, 104), np.uint8)  # 3 × 34 = 102, padded to 104
    read = reader(packet(EVENT, b"GstEventStreamStart") + packet(CAPS, CAPS_34_8) + packet(BUFFER, rows.tobytes(), 5))
    buffer = read.next()
    assert buffer is not None
    assert np.array_equal(buffer.pixels, rows[:, :102].reshape(8, 34, 3))
    assert buffer.pixels.flags.c_contiguous
    assert (buffer.pts_ns, buffer.arrived_ns) == (5, 7)
    assert read.next() is None


def test_a_buffer_without_a_time() -> None:
    buffer = reader(packet(CAPS, CAPS_34_8) + packet(BUFFER, bytes(104 * 8))).next()
    assert buffer is not None
    assert buffer.pts_ns is None


@pytest.mark.parametrize("part", [1, 61, 62, 100])
def test_a_stream_that_breaks_off_ends(part: int) -> None:
    read = reader(packet(CAPS, CAPS_34_8) + packet(BUFFER, bytes(104 * 8))[:part])
    assert read.next() is None


@pytest.mark.parametrize(
    "data",
    [
        b"GStreamer says hello on the wrong pipe; it is longer than one header, which is 62 bytes",
        packet(BUFFER, bytes(104 * 8)),
        packet(CAPS, CAPS_34_8) + packet(BUFFER, bytes(102 * 8)),
        packet(CAPS, CAPS_34_8.replace(b"BGR", b"I420")),
        packet(CAPS, CAPS_34_8.replace(b"BGR", b"BGRx")),
        packet(CAPS, b"audio/x-raw\0"),
        HEADER.pack(1, 0, 1, BUFFER, 2**32 - 1, 0),
        HEADER.pack(1, 0, 1, EVENT, 2**31, 0),
    ],
    ids=["text", "no caps", "too short", "other format", "four bytes a pixel", "sound", "huge image", "huge event"],
)
def test_what_is_no_bgr_video_is_refused(data: bytes) -> None:
    with pytest.raises(NotGdp):
        reader(data).next()


@given(st.binary(max_size=300))
def test_any_bytes_end(data: bytes) -> None:
    read = reader(packet(CAPS, CAPS_34_8) + data)
    try:
        while read.next() is not None:
            pass
    except NotGdp:
        pass
