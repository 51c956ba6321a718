"""The messages and their table."""

from __future__ import annotations

import dataclasses
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware_bridge
from firmware_bridge import errors
from firmware_bridge.messages import (
    Ack,
    CellResult,
    Differential,
    Hello,
    HelloAck,
    Message,
    Nak,
    NewStream,
    decode_message,
)
from firmware_bridge.protocol import MAX_PAYLOAD
from firmware_bridge.schema import CORE, COUNTED_LABELS, LABEL_CODES, SCHEMA, SCHEMA_HASH, MessageType, is_sequenced

SEEDED = settings(derandomize=True, database=None, deadline=None)

U8, U16, U32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)

MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Hello, U8, U8, U32, U32, U32),
    st.builds(
        HelloAck,
        version_major=U8,
        version_minor=U8,
        capabilities=U32,
        unique_id=st.binary(min_size=12, max_size=12),
        firmware_version=st.binary(min_size=3, max_size=3),
        boot_id=U32,
        stream_id=U32,
        last_applied_seq=U32,
        window_bytes=U16,
        largest_payload=U8,
        persistence=U8,
    ),
    st.builds(NewStream, U32),
    st.builds(Ack, U32, U16),
    st.builds(Nak, U8, U32),
    st.builds(
        CellResult,
        cell_id=U32,
        time_ns=st.integers(0, 2**64 - 1),
        label=st.sampled_from(sorted(LABEL_CODES)),
        probability=U16.map(lambda steps: steps / 65535),
        box=st.tuples(U16, U16, U16, U16),
        redelivered=st.booleans(),
    ),
    st.builds(Differential, st.fixed_dictionaries(dict.fromkeys(COUNTED_LABELS, U32)), U32, U32),
)

CELL = CellResult(7, 1_700_000_000_000_000_000, "eosinophil", 0.5, (10, 20, 30, 40))


@SEEDED
@given(MESSAGES)
def test_a_message_comes_back(message: Message) -> None:
    payload = message.encode()
    assert len(payload) <= MAX_PAYLOAD
    assert decode_message(message.TYPE, payload) == message


@SEEDED
@given(U8, st.binary(max_size=MAX_PAYLOAD))
def test_any_payload_is_decoded_or_refused_by_name(kind: int, payload: bytes) -> None:
    try:
        message = decode_message(kind, payload)
    except errors.ProtocolError as error:
        refusal = str(error)
        assert refusal.endswith("bring both ends to one version")
    else:
        assert len(message.encode()) == len(payload)
        assert int(message.TYPE) == kind


def test_the_wire_format_changes_only_on_purpose() -> None:
    assert CELL.encode().hex() == "0700000000002a36fe9c9717020000800a0014001e002800"
    assert SCHEMA_HASH == 0x8754040C


def test_the_plain_messages_have_the_fields_of_the_table() -> None:
    for cls in (Hello, HelloAck, NewStream, Ack, Nak):
        assert [field.name for field in dataclasses.fields(cls)] == [name for name, _ in SCHEMA[cls.TYPE]]


def test_only_what_takes_effect_is_sequenced() -> None:
    assert [kind.name for kind in MessageType if is_sequenced(kind)] == [
        "CELL_RESULT",
        "DIFFERENTIAL",
    ]


def test_an_unidentified_cell_says_so_in_label_and_flag() -> None:
    payload = dataclasses.replace(CELL, label="unidentified", redelivered=True).encode()
    assert (payload[12], payload[13]) == (255, 0b11)
    with pytest.raises(errors.ProtocolError, match="unknown"):
        decode_message(MessageType.CELL_RESULT, payload[:13] + b"\0" + payload[14:])


def test_box_and_probability_are_clamped() -> None:
    wild = dataclasses.replace(CELL, probability=1.0000001, box=(-5, 70_000, 3, 4))
    decoded = decode_message(MessageType.CELL_RESULT, wild.encode())
    assert isinstance(decoded, CellResult)
    assert (decoded.probability, decoded.box) == (1.0, (0, 65535, 3, 4))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (dataclasses.replace(CELL, label="Neutrophil"), "no label 'Neutrophil'"),
        (dataclasses.replace(CELL, probability=float("nan")), "wrong value"),
        (dataclasses.replace(CELL, cell_id=2**32), "does not fit"),
        (Differential({"unidentified": 1}, 1, 0), "'unidentified' is counted"),
        (Differential({"basophil": -1}, 1, 0), "does not fit"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_one_line(message: Message, words: str) -> None:
    with pytest.raises(errors.ProtocolError, match=words) as caught:
        message.encode()
    assert "\n" not in str(caught.value)


def test_the_public_names_are_there() -> None:
    assert all(getattr(firmware_bridge, name) is not None for name in firmware_bridge.__all__)
    assert sorted(name for name in vars(errors) if name.endswith("Error")) == [
        name for name in firmware_bridge.__all__ if name.endswith("Error")
    ]


RELEASED = {
    "HEARTBEAT": 0xED152B60,
    "TIME_SYNC": 0x68A0D1AD,
    "LOG": 0x462807FE,
    "EVENT": 0x5C67A3EF,
    "STOP": 0xD98C3DDC,
    "COMMAND_DONE": 0x55E39034,
    "COMMAND": 0x7ED26D35,
}


def test_a_row_that_was_released_never_changes() -> None:
    """Old and new versions talk because a changed row takes another type and another bit of `Capability`."""
    later = {kind.name: zlib.crc32(repr((int(kind), fields)).encode()) for kind, fields in SCHEMA.items()}
    assert {name: crc for name, crc in later.items() if name in RELEASED} == RELEASED
    assert set(later) - set(RELEASED) == {kind.name for kind in CORE}
    assert SCHEMA_HASH == 0x8754040C, "ends of version 1 with another hash do not talk: that is another major version"
