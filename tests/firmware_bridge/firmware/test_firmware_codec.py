"""The C codec and the C receiver against the Python ones: the same bytes, answers, effects and counters."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.firmware import generate
from firmware_bridge.messages import CellResult, Differential, Hello, HelloAck, Nak, NewStream, decode_message
from firmware_bridge.protocol import MAX_PAYLOAD, Frame, FrameDecoder, encode_frame
from firmware_bridge.receiver import Receiver
from firmware_bridge.schema import (
    COUNTED_LABELS,
    LABEL_CODES,
    SCHEMA,
    SCHEMA_HASH,
    VERSION_MINOR,
    MessageType,
    NakReason,
    Persistence,
)
from tests.firmware_bridge.firmware.checks import cell, connection_check, crc_check, dedupe_check, greeted
from tests.firmware_bridge.firmware.library import CDecoder, CReceiver, Library

SEEDED = settings(derandomize=True, database=None, deadline=None, max_examples=200)
U16, U32, U64 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, (1 << 64) - 1)
PAYLOADS = st.binary(max_size=MAX_PAYLOAD) | st.integers(0, MAX_PAYLOAD).map(bytes)
FRAMES = st.builds(Frame, type=st.integers(0, 255), connection=U16, seq=U32, payload=PAYLOADS)
CELLS = st.builds(
    CellResult,
    cell_id=U32,
    time_ns=U64,
    label=st.sampled_from(sorted(LABEL_CODES)),
    probability=U16.map(lambda steps: steps / 0xFFFF),
    box=st.tuples(U16, U16, U16, U16),
    redelivered=st.booleans(),
)
DIFFERENTIALS = st.builds(
    Differential,
    counts=st.fixed_dictionaries(dict.fromkeys(COUNTED_LABELS, U32)),
    total=U32,
    unidentified=U32,
)


def test_the_header_is_what_the_schema_says(tmp_path: Path) -> None:
    assert generate.HEADER.read_text() == generate.header(), "run firmware_bridge/firmware/generate.py"
    script = [sys.executable, generate.__file__, "--check"]
    assert subprocess.run(script, cwd=generate.HEADER.parents[3]).returncode == 0


def test_a_header_of_another_schema_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "messages.h"
    monkeypatch.setattr(generate, "HEADER", other)
    monkeypatch.setattr("firmware_bridge.schema.SCHEMA_HASH", SCHEMA_HASH ^ 1)
    assert generate.main([]) == 0
    monkeypatch.undo()
    monkeypatch.setattr(generate, "HEADER", other)
    assert generate.main(["--check"]) == 1


def test_a_schema_that_the_firmware_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {**SCHEMA, MessageType.NEW_STREAM: (("stream_id", "65s"),)}
    monkeypatch.setattr("firmware_bridge.schema.SCHEMA", schema)
    with pytest.raises(ValueError, match="NEW_STREAM has 65 bytes"):
        generate.header()


@SEEDED
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_checksum_is_zlibs(library: Library, first: bytes, second: bytes) -> None:
    crc = library.c.ewbc_crc32(0, first, len(first))
    assert crc == zlib.crc32(first)
    assert library.c.ewbc_crc32(crc, second, len(second)) == zlib.crc32(first + second)


@SEEDED
@given(U64)
def test_numbers_are_little_endian(library: Library, value: int) -> None:
    for bits in (16, 32, 64):
        out = ctypes.create_string_buffer(bits // 8)
        put, get = getattr(library.c, f"ewbc_put{bits}"), getattr(library.c, f"ewbc_get{bits}")
        put.argtypes, get.restype = (ctypes.c_char_p, ctypes.c_uint64), ctypes.c_uint64
        put(out, value % (1 << bits))
        assert out.raw == (value % (1 << bits)).to_bytes(bits // 8, "little")
        assert get(out) % (1 << bits) == value % (1 << bits)


@SEEDED
@given(FRAMES)
def test_both_encode_a_frame_alike(library: Library, frame: Frame) -> None:
    assert library.encode(frame) == encode_frame(frame)


@SEEDED
@given(st.lists(FRAMES | st.binary(max_size=200), max_size=8), st.lists(st.tuples(U16, st.integers(0, 7)), max_size=4))
def test_both_decode_a_damaged_stream_alike(
    library: Library, parts: list[Frame | bytes], flips: list[tuple[int, int]]
) -> None:
    data = bytearray(b"".join(encode_frame(part) if isinstance(part, Frame) else part for part in parts))
    for at, bit in flips:
        if data:
            data[at % len(data)] ^= 1 << bit
    ours, theirs = CDecoder(library), FrameDecoder()
    assert ours.feed(bytes(data)) == theirs.feed(bytes(data))
    assert ours.counters == (theirs.frames, theirs.crc_errors, theirs.malformed, theirs.oversize)
    # and a frame behind it all is found
    assert ours.feed(encode_frame(Frame(1, 2, 3, b"x")))[-1:] == [Frame(1, 2, 3, b"x")]


@SEEDED
@given(CELLS | DIFFERENTIALS)
def test_a_message_comes_out_as_it_went_in(library: Library, message: CellResult | Differential) -> None:
    receiver = greeted(library)
    _, applied = receiver.receive(Frame(message.TYPE, 7, 1, message.encode()))
    assert applied == message
    assert receiver.applied == [(1, message)]


def test_what_the_instrument_tells_of_itself(library: Library) -> None:
    receiver = CReceiver(
        library,
        boot_id=0x01020304,
        unique_id=b"twelve bytes",
        window_bytes=500,
        persistence=Persistence.ATOMIC,
        stream_id=5,
        last_seq=0xFFFFFFFE,
    )
    answer, _ = receiver.receive(hello_frame(9, 5))
    assert answer is not None
    assert answer.connection == 9
    assert decode_message(answer.type, answer.payload) == HelloAck(
        1,
        VERSION_MINOR,
        0,
        b"twelve bytes",
        bytes((0, 1, 0)),
        0x01020304,
        5,
        0xFFFFFFFE,
        500,
        MAX_PAYLOAD,
        Persistence.ATOMIC,
    )


def hello_frame(connection: int, stream_id: int, **changes: Any) -> Frame:
    fields = {"version_major": 1, "version_minor": 0, "capabilities": 0, "schema_hash": SCHEMA_HASH, **changes}
    return Frame(MessageType.HELLO, connection, 0, Hello(**fields, stream_id=stream_id).encode())


SEQS = st.integers(-3, 3) | st.sampled_from((1, 1, 1, 1 << 31, (1 << 31) - 1, -(1 << 31))) | U32
HELLOS = st.builds(
    hello_frame,
    st.sampled_from((0, 7, 7, 7, 8)),
    st.integers(1, 3),
    version_major=st.sampled_from((1, 1, 1, 1, 0, 2)),
    version_minor=st.integers(0, 255),
    schema_hash=st.sampled_from((SCHEMA_HASH, SCHEMA_HASH, SCHEMA_HASH, 0)),
)
STREAMS = st.builds(
    lambda connection, stream_id: Frame(MessageType.NEW_STREAM, connection, 0, NewStream(stream_id).encode()),
    st.sampled_from((7, 7, 8)),
    st.sampled_from((0, 1, 2, 2, 2)),
)
SEQUENCED = st.builds(
    lambda message, connection, seq: Frame(message.TYPE, connection, seq & 0xFFFFFFFF, message.encode()),
    CELLS | DIFFERENTIALS,
    st.sampled_from((7, 7, 7, 8)),
    SEQS,
)
SEQUENCED_BADLY = st.builds(
    lambda kind, seq, payload: Frame(kind, 7, seq & 0xFFFFFFFF, payload),
    st.sampled_from((0x10, 0x10, 0x11, 0x12, 0x1F)),
    SEQS,
    st.binary(min_size=24, max_size=24) | st.binary(min_size=44, max_size=44) | PAYLOADS,
)
OTHERS = st.builds(
    lambda kind, connection, payload: Frame(kind, connection, 0, payload),
    st.sampled_from((0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 0x20, 0xFF)),
    st.sampled_from((7, 8)),
    PAYLOADS,
)
CONVERSATIONS = st.lists(st.one_of(HELLOS, STREAMS, SEQUENCED, SEQUENCED, SEQUENCED_BADLY, OTHERS), max_size=30)


def twins(library: Library, last: int) -> tuple[Receiver, CReceiver]:
    """Both receivers, greeted, in stream 2 at a given seq."""
    theirs = Receiver(boot_id=77, unique_id=b"twelve bytes", window_bytes=300)
    ours = CReceiver(library, boot_id=77, unique_id=b"twelve bytes", window_bytes=300, stream_id=2, last_seq=last)
    theirs.stream_id, theirs.last_applied_seq = 2, last
    assert theirs.receive(hello_frame(7, 2)) == ours.receive(hello_frame(7, 2))
    return theirs, ours


def from_last(frame: Frame, last: int) -> Frame:
    """Sequence numbers of a conversation count from the last one applied."""
    if frame.type >> 4 != 1:
        return frame
    return Frame(frame.type, frame.connection, (last + frame.seq) & 0xFFFFFFFF, frame.payload)


@SEEDED
@given(st.sampled_from((0, 5, 0x7FFFFFFF, 0xFFFFFFFD, 0xFFFFFFFF)), CONVERSATIONS)
def test_both_receivers_answer_and_apply_alike(library: Library, last: int, frames: list[Frame]) -> None:
    theirs, ours = twins(library, last)
    for relative in frames:
        frame = from_last(relative, theirs.last_applied_seq)
        assert ours.receive(frame) == theirs.receive(frame)
        state = (ours.link.connection, ours.link.stream_id, ours.link.last_seq)
        assert state == (theirs.connection, theirs.stream_id, theirs.last_applied_seq)
    assert all((b - a) & 0xFFFFFFFF == 1 or b == 1 for (a, _), (b, _) in pairwise(ours.applied))


@SEEDED
@given(st.sampled_from((0, 0xFFFFFFFD)), CONVERSATIONS, st.lists(U16, max_size=8), st.lists(U16, max_size=3))
def test_both_ends_of_a_wire_behave_alike(
    library: Library, last: int, frames: list[Frame], cuts: list[int], flips: list[int]
) -> None:
    theirs, ours = twins(library, last)
    data = bytearray(b"".join(encode_frame(from_last(frame, last)) for frame in frames))
    for at in flips:
        if data:
            data[at % len(data)] ^= 0x10
    decoder = FrameDecoder()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    applied = []
    for begin, end in pairwise(edges):
        expected: list[Frame] = []
        for frame in decoder.feed(bytes(data[begin:end])):
            answer, message = theirs.receive(frame)
            if message is not None:
                applied.append(message)
            if answer is not None:
                # successive acknowledgements become one, and a greeting takes the place of the one before it
                replaces = answer.type in (MessageType.ACK, MessageType.HELLO_ACK)
                if replaces and expected and expected[-1].type == MessageType.ACK:
                    expected.pop()
                expected.append(answer)
        assert FrameDecoder().feed(ours.feed(bytes(data[begin:end]))) == expected
    assert [message for _, message in ours.applied] == applied


def test_what_the_application_cannot_take_now_is_not_acknowledged(library: Library) -> None:
    receiver = greeted(library)
    receiver.willing = False
    assert receiver.receive(cell(1, 1)) == (None, None)
    assert receiver.receive(Frame(MessageType.NEW_STREAM, 7, 0, NewStream(6).encode())) == (None, None)
    assert (receiver.link.stream_id, receiver.link.last_seq) == (5, 0)
    receiver.willing = True
    answer, applied = receiver.receive(cell(1, 1))
    assert answer is not None
    assert applied is not None
    assert receiver.link.last_seq == 1


def test_one_acknowledgement_stands_for_several_and_a_refusal_keeps_its_place(library: Library) -> None:
    receiver = greeted(library)
    data = b"".join(encode_frame(cell(n, n)) for n in (1, 2, 3, 5))
    answers = FrameDecoder().feed(receiver.feed(data))
    assert [answer.type for answer in answers] == [MessageType.ACK, MessageType.NAK]
    assert decode_message(answers[1].type, answers[1].payload) == Nak(NakReason.GAP, 4)
    assert receiver.feed(b"") == b""


def test_a_doubled_result_is_applied_once(library: Library) -> None:
    dedupe_check(library)


def test_a_result_of_an_earlier_connection_is_not_applied(library: Library) -> None:
    connection_check(library)


def test_a_flipped_bit_never_gives_another_frame(library: Library) -> None:
    crc_check(library)
