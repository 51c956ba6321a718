"""The vectors, the codec and the page that documents them are of one mind."""

from __future__ import annotations

import dataclasses
import json
import re
import struct
import zlib
from pathlib import Path

import pytest
from cobs import cobs

from firmware_bridge.messages import decode_message
from firmware_bridge.protocol import FrameDecoder
from firmware_bridge.receiver import Receiver
from firmware_bridge.receiver_control import ControlReceiver
from firmware_bridge.schema import (
    LABEL_CODES,
    REST,
    SCHEMA,
    Capability,
    CommandStatus,
    EventCode,
    MessageType,
    NakReason,
    Opcode,
)
from firmware_bridge.vectors import vectors

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMITTED = json.loads((DOCS / "protocol-vectors.json").read_text())
PAGE = (DOCS / "protocol.md").read_text()


def test_the_committed_file_is_what_the_code_gives():
    assert json.loads(json.dumps(vectors())) == COMMITTED, (
        "python -m firmware_bridge.vectors > docs/protocol-vectors.json"
    )


@pytest.mark.parametrize("frame", COMMITTED["frames"], ids=lambda frame: frame["name"])
def test_frames_by_hand(frame):
    """Put together here from the page's words alone."""
    body = struct.pack("<BHI", frame["type"], frame["connection"], frame["seq"]) + bytes.fromhex(frame["payload"])
    body += struct.pack("<I", zlib.crc32(body))
    wire = bytes.fromhex(frame["wire"])
    assert wire == b"\0" + cobs.encode(body) + b"\0"
    assert len(wire) == len(frame["payload"]) // 2 + 14


@pytest.mark.parametrize("message", COMMITTED["messages"], ids=lambda message: message["name"])
def test_messages_come_back(message):
    found = decode_message(message["type"], bytes.fromhex(message["payload"]))
    assert found.encode().hex() == message["payload"]


def test_every_implemented_message_and_most_faults_are_in_them():
    assert {message["type"] for message in COMMITTED["messages"]} == set(map(int, SCHEMA))
    assert {"crc_errors", "malformed", "oversize"} == {
        kind for stream in COMMITTED["streams"] for kind in ("crc_errors", "malformed", "oversize") if stream[kind]
    }
    naks = {
        decode_message(frame.type, frame.payload).reason
        for turn in COMMITTED["dialogue"]
        if turn["instrument"]
        for frame in FrameDecoder().feed(bytes.fromhex(turn["instrument"]))
        if frame.type == MessageType.NAK
    }
    assert naks == set(NakReason)
    assert sum(turn["applied"] for turn in COMMITTED["dialogue"]) == 2


def test_the_page_has_the_table_of_the_code():
    words = {"B": "u8", "H": "u16", "I": "u32", "i": "i32", "Q": "u64", REST: "0–63 bytes"}
    for kind, fields in SCHEMA.items():
        shown = ", ".join(f"{name} {words.get(code) or f'{struct.calcsize(code)} bytes'}" for name, code in fields)
        size: int | str = struct.calcsize("<" + "".join(code for _, code in fields if code != REST))
        size = f"{size}–64" if fields[-1][1] == REST else size
        row = rf"^\| {kind.name} \| 0x{kind:02X} \| [→←↔] \| {re.escape(shown)} \| {size} \|$"
        assert re.search(row, PAGE, re.MULTILINE), f"{kind.name}: {shown}"


def test_the_page_has_the_labels_reasons_and_numbers_of_the_code():
    text = " ".join(PAGE.split())
    assert ", ".join(f"{code} {name}" for name, code in LABEL_CODES.items()) in text
    assert ", ".join(f"{reason:d} {reason.name.lower().replace('_', ' ')}" for reason in NakReason) in text
    for names in (CommandStatus, EventCode):
        assert ", ".join(f"{code:d} {code.name.lower().replace('_', ' ')}" for code in names) in text
    for opcode in Opcode:
        assert f"| {opcode:d} {opcode.name.lower().replace('_', ' ')} |" in text
    for bit in Capability:
        assert f"| 0x{bit:04X} | {bit.name} |" in text


def test_the_dialogue_of_commands_shows_every_way_one_ends_but_failing():
    frames = [
        frame
        for turn in COMMITTED["control"]
        for answer in turn["instrument"]
        for frame in FrameDecoder().feed(bytes.fromhex(answer))
    ]
    ends = {decode_message(f.type, f.payload).status for f in frames if f.type == MessageType.COMMAND_DONE}
    assert ends == set(CommandStatus) - {CommandStatus.FAILED, CommandStatus.BAD_ARGUMENT}
    assert {MessageType.STOP, MessageType.EVENT, MessageType.HEARTBEAT, MessageType.TIME_SYNC} <= {
        frame.type for frame in frames
    }
    by_name = {turn["name"]: turn["instrument"] for turn in COMMITTED["control"]}
    assert len(by_name["HELLO: then the event that waited"]) == 2
    assert by_name["one that was held back: no answer"] == by_name["button: this host is not told"] == []


def test_what_was_released_as_1_0_is_answered_alike_today():
    """Only the minor version in HELLO_ACK differs."""
    released = json.loads(Path(__file__).with_name("vectors-1.0.json").read_text())
    receiver = Receiver(
        boot_id=9,
        unique_id=b"vectors",
        window_bytes=2048,
        control=ControlReceiver(lambda command: CommandStatus.DONE, lambda: None, Capability(0)),
    )
    for turn in released["dialogue"]:
        (frame,) = FrameDecoder().feed(bytes.fromhex(turn["host"]))
        answer, applied = receiver.receive(frame)
        assert (applied is not None) == turn["applied"], turn["name"]
        if answer is None:
            assert turn["instrument"] is None, turn["name"]
            continue
        (expected,) = FrameDecoder().feed(bytes.fromhex(turn["instrument"]))
        if expected.type == MessageType.HELLO_ACK:
            expected = dataclasses.replace(expected, payload=expected.payload[:1] + b"\1" + expected.payload[2:])
        assert answer == expected, turn["name"]
    assert {kind: released[kind] for kind in ("schema_hash", "streams", "frames")} == {
        kind: COMMITTED[kind] for kind in ("schema_hash", "streams", "frames")
    }
    today = {message["name"]: message for message in COMMITTED["messages"]}
    for message in released["messages"]:
        if message["name"] != "HELLO":
            assert message == today[message["name"]]
