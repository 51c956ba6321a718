"""The published test vectors, through the C library: what another implementer checks, checked here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.messages import Command
from firmware_bridge.protocol import Frame, FrameDecoder, encode_frame
from firmware_bridge.schema import Capability, CommandStatus, EventCode, MessageType, Opcode
from tests.firmware_bridge.firmware.instrument import CInstrument
from tests.firmware_bridge.firmware.library import CDecoder, CReceiver, Library

RELEASED: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors-1.0.json").read_text())
"""Of version 1.0, as it was released."""

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[3] / "docs" / "protocol-vectors.json").read_text()
)


@pytest.mark.parametrize("frame", VECTORS["frames"], ids=lambda frame: frame["name"])
def test_frames(library: Library, frame: dict[str, Any]) -> None:
    made = Frame(frame["type"], frame["connection"], frame["seq"], bytes.fromhex(frame["payload"]))
    assert library.encode(made).hex() == frame["wire"]
    assert CDecoder(library).feed(bytes.fromhex(frame["wire"])) == [made]


@pytest.mark.parametrize("stream", VECTORS["streams"], ids=lambda stream: stream["name"])
def test_streams(library: Library, stream: dict[str, Any]) -> None:
    decoder = CDecoder(library)
    frames = decoder.feed(bytes.fromhex(stream["bytes"]))
    assert [[frame.type, frame.connection, frame.seq, frame.payload.hex()] for frame in frames] == stream["frames"]
    assert decoder.counters[1:] == (stream["crc_errors"], stream["malformed"], stream["oversize"])


@pytest.mark.parametrize("name", ["of this version", "of version 1.0"])
@pytest.mark.parametrize("made", [CReceiver, CInstrument])
def test_the_dialogue(library: Library, name: str, made: type[CReceiver]) -> None:
    dialogue = (VECTORS if name == "of this version" else RELEASED)["dialogue"]
    receiver = made(library, boot_id=9, unique_id=b"vectors", window_bytes=2048)
    for turn in dialogue:
        before = len(receiver.applied)
        answers = FrameDecoder().feed(receiver.feed(bytes.fromhex(turn["host"])))
        wanted = FrameDecoder().feed(bytes.fromhex(turn["instrument"] or ""))
        assert [_news_aside(frame) for frame in answers] == [_news_aside(frame) for frame in wanted], turn["name"]
        assert len(receiver.applied) - before == turn["applied"], turn["name"]


def test_the_dialogue_of_commands(library: Library) -> None:
    arrives: list[int] = []

    def begin(command: Command) -> tuple[int, int]:
        if command.opcode == Opcode.STAGE_MOVE:
            arrives[:] = [turn["at_ms"] + 300]
            return CommandStatus.RUNNING, 0
        return (CommandStatus.DONE if command.opcode == Opcode.TRIGGER else CommandStatus.UNSUPPORTED), 0

    commands = Capability.TRIGGER | Capability.STAGE
    instrument = CInstrument(library, boot_id=9, unique_id=b"vectors", commands=commands, begin=begin)
    for turn in VECTORS["control"]:
        told = instrument.tick(turn["at_ms"])
        if turn["name"].startswith("button"):
            instrument.event(EventCode.BUTTON, 1, 1)
        if arrives and turn["at_ms"] >= arrives[0]:
            arrives.clear()
            instrument.done(CommandStatus.DONE, 7)
        told += FrameDecoder().feed(instrument.feed(bytes.fromhex(turn["host"] or "")))
        told += instrument.tick(turn["at_ms"])
        assert [encode_frame(frame).hex() for frame in told] == turn["instrument"], turn["name"]


def test_the_streams_and_frames_of_version_1_0(library: Library) -> None:
    for frame in RELEASED["frames"]:
        assert CDecoder(library).feed(bytes.fromhex(frame["wire"])) == [
            Frame(frame["type"], frame["connection"], frame["seq"], bytes.fromhex(frame["payload"]))
        ]
    for stream in RELEASED["streams"]:
        decoder = CDecoder(library)
        frames = decoder.feed(bytes.fromhex(stream["bytes"]))
        assert [[frame.type, frame.connection, frame.seq, frame.payload.hex()] for frame in frames] == stream["frames"]
        assert decoder.counters[1:] == (stream["crc_errors"], stream["malformed"], stream["oversize"])


def _news_aside(frame: Frame) -> Frame:
    """Minor version and capabilities tell of what is new; nothing else has changed in an answer."""
    if frame.type != MessageType.HELLO_ACK:
        return frame
    return replace(frame, payload=frame.payload[:1] + b"?????" + frame.payload[6:])
