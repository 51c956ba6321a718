"""The frame codec."""

from __future__ import annotations

import random
import zlib
from itertools import pairwise

import pytest
from cobs import cobs  # type: ignore[import-untyped, unused-ignore]
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.protocol import MAX_PAYLOAD, OVERHEAD, Frame, FrameDecoder, encode_frame

SEEDED = settings(derandomize=True, database=None, deadline=None)

FRAMES = st.builds(
    Frame,
    type=st.integers(0, 255),
    connection=st.integers(0, 0xFFFF),
    seq=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=MAX_PAYLOAD),
)


def feed_in_pieces(decoder: FrameDecoder, data: bytes, cuts: list[int]) -> list[Frame]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [frame for a, b in pairwise(edges) for frame in decoder.feed(data[a:b])]


def test_a_frame_on_the_wire_is_as_the_protocol_says() -> None:
    body = bytes([0x10, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12]) + b"ab\0c"
    expected = b"\0" + cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"
    assert encode_frame(Frame(0x10, 0x1234, 0x12345678, b"ab\0c")) == expected
    assert len(expected) == 4 + OVERHEAD


@SEEDED
@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 10_000), max_size=12))
def test_frames_come_back_whatever_the_pieces(frames: list[Frame], cuts: list[int]) -> None:
    decoder = FrameDecoder()
    assert feed_in_pieces(decoder, b"".join(map(encode_frame, frames)), cuts) == frames
    assert (decoder.frames, decoder.held_bytes) == (len(frames), 0)
    assert decoder.crc_errors == decoder.malformed == decoder.oversize == 0


@SEEDED
@given(FRAMES, FRAMES)
def test_a_flipped_bit_never_gives_another_frame(frame: Frame, following: Frame) -> None:
    data = encode_frame(frame)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        decoder = FrameDecoder()
        seen = decoder.feed(bytes(flipped) + encode_frame(following))
        assert seen in ([following], [frame, following])


@SEEDED
@given(FRAMES, st.binary(max_size=300))
def test_a_frame_behind_noise_is_found(frame: Frame, noise: bytes) -> None:
    decoder = FrameDecoder()
    assert decoder.feed(noise + encode_frame(frame))[-1] == frame


def test_a_half_written_frame_costs_only_itself() -> None:
    first, second = Frame(1, 2, 3, b"lost"), Frame(1, 2, 4, b"kept")
    decoder = FrameDecoder()
    assert decoder.feed(encode_frame(first)[:9] + encode_frame(second)) == [second]
    assert decoder.malformed == 1


@pytest.mark.parametrize("zeros", [False, True])
def test_the_decoder_holds_little_on_garbage(zeros: bool) -> None:
    source = random.Random(20)
    decoder = FrameDecoder()
    for _ in range(500):
        noise = source.randbytes(source.randrange(1, 2000))
        assert decoder.feed(noise if zeros else noise.replace(b"\0", b"\1")) == []
        assert decoder.held_bytes <= 76
    assert decoder.oversize > 0
    assert decoder.feed(encode_frame(Frame(1, 2, 3)))[-1:] == [Frame(1, 2, 3)]


def test_each_fault_has_its_counter() -> None:
    good = encode_frame(Frame(1, 2, 3, b"payload"))
    body = cobs.decode(good[1:-1])
    decoder = FrameDecoder()
    assert decoder.feed(b"\0" + cobs.encode(body[:-1] + bytes([body[-1] ^ 1])) + b"\0") == []
    assert decoder.feed(cobs.encode(b"short") + b"\0") == []
    assert decoder.feed(b"\x09ab\0") == []
    assert decoder.feed(b"x" * 77 + b"\0") == []
    assert (decoder.crc_errors, decoder.malformed, decoder.oversize, decoder.frames) == (1, 2, 1, 0)


def test_a_payload_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="65 bytes"):
        encode_frame(Frame(1, 2, 3, bytes(65)))
