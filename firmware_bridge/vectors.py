"""Test vectors for whoever implements the protocol in another language: ``python -m firmware_bridge.vectors``.

Frames byte for byte, messages field by field, streams of bytes with what a decoder must make of them, and a dialogue
with an instrument. `docs/protocol-vectors.json` is what this prints.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict
from typing import Any

from firmware_bridge.messages import (
    Ack,
    CellResult,
    Command,
    CommandDone,
    Differential,
    Heartbeat,
    Hello,
    HelloAck,
    InstrumentEvent,
    Log,
    Message,
    Nak,
    NewStream,
    Stop,
    TimeSync,
)
from firmware_bridge.protocol import Frame, FrameDecoder, encode_frame
from firmware_bridge.receiver import Receiver
from firmware_bridge.schema import (
    SCHEMA_HASH,
    VERSION_MAJOR,
    VERSION_MINOR,
    CommandStatus,
    EventCode,
    LogLevel,
    NakReason,
    Opcode,
    Persistence,
)

_CELL = CellResult(7, 1_767_225_600_000_000_000, "basophil", 0.75, (12, 34, 80, 96))
_HELLO = Hello(VERSION_MAJOR, VERSION_MINOR, 0, SCHEMA_HASH, 0x11223344)

FRAMES = {
    "no payload": Frame(0x06, 0x0102, 0, b""),
    "zeros, the longest payload": Frame(0x08, 0xFFFF, 0xFFFFFFFF, bytes(64)),
    "no zero in it": Frame(0x7F, 0x0101, 0x01010101, bytes(range(1, 65))),
    "all ones": Frame(0xFF, 0xFFFF, 0xFFFFFFFF, b"\xff" * 64),
    "a type that nobody knows": Frame(0xEE, 1, 0, b"\0\1\0"),
}
MESSAGES: dict[str, Message] = {
    "HELLO": _HELLO,
    "HELLO_ACK": HelloAck(1, 0, 0, b"unique id 12", bytes((1, 2, 3)), 5, 0x11223344, 41, 2048, 64, Persistence.ATOMIC),
    "NEW_STREAM": NewStream(0x11223344),
    "ACK": Ack(41, 2048),
    "NAK": Nak(NakReason.GAP, 42),
    "CELL_RESULT": _CELL,
    "CELL_RESULT, redelivered": CellResult(8, 1, "monocyte", 1.0, (0, 0, 65535, 65535), redelivered=True),
    "CELL_RESULT, unidentified": CellResult(9, 2, "unidentified", 0.0, (1, 2, 3, 4)),
    "HEARTBEAT": Heartbeat(60_000, 1234, 5, 6, 70),
    "TIME_SYNC": TimeSync(123_456_789_012, 4_000, 4_001),
    "LOG": Log(LogLevel.WARNING, "lamp at 91 °C"),
    "LOG, without text": Log(LogLevel.INFO, ""),
    "EVENT": InstrumentEvent(EventCode.BUTTON, 1, 1, 60_001),
    "EVENT, of the instrument's own": InstrumentEvent(0x80, 0, -1, 0xFFFFFFFF),
    "STOP": Stop(3, 0xBEEF, 17),
    "COMMAND": Command(0xBEEF, 17, Opcode.STAGE_MOVE, 2_500, 1_000_000, -2_000_000, 0),
    "COMMAND_DONE": CommandDone(0xBEEF, 17, CommandStatus.DONE, -7),
    "DIFFERENTIAL": Differential({"neutrophil": 120, "lymphocyte": 62, "basophil": 1}, 183, 4),
}


def vectors() -> dict[str, Any]:
    """Everything, ready for JSON; bytes are hexadecimal."""
    return {
        "version": [VERSION_MAJOR, VERSION_MINOR],
        "schema_hash": SCHEMA_HASH,
        "crc32": {"of": b"123456789".hex(), "is": zlib.crc32(b"123456789")},
        "frames": [
            {
                "name": name,
                "type": frame.type,
                "connection": frame.connection,
                "seq": frame.seq,
                "payload": frame.payload.hex(),
                "wire": encode_frame(frame).hex(),
            }
            for name, frame in FRAMES.items()
        ],
        "messages": [
            {"name": name, "type": int(message.TYPE), "fields": _fields(message), "payload": message.encode().hex()}
            for name, message in MESSAGES.items()
        ],
        "streams": [_stream(name, data) for name, data in _streams().items()],
        "dialogue": _dialogue(),
    }


def _fields(message: Message) -> dict[str, Any]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(message).items()}


def _streams() -> dict[str, bytes]:
    good = encode_frame(Frame(0x10, 3, 1, _CELL.encode()))
    flipped = bytes([*good[:9], good[9] ^ 0x10, *good[10:]])
    return {
        "two frames, their delimiters shared": good + good[1:],
        "noise before a frame": b"\x5a\xa5\x17" + good,
        "half a frame, then a whole one": good[:20] + good,
        "one bit flipped, then a whole one": flipped + good,
        "too long between delimiters, then a whole one": b"\0" + b"\x42" * 300 + good,
        "too short for a frame": b"\0\3\1\2\0",
        "a length that leads past the end": b"\0\xf0\1\2\3\0",
    }


def _stream(name: str, data: bytes) -> dict[str, Any]:
    decoder = FrameDecoder()
    frames = decoder.feed(data)
    return {
        "name": name,
        "bytes": data.hex(),
        "frames": [[frame.type, frame.connection, frame.seq, frame.payload.hex()] for frame in frames],
        "crc_errors": decoder.crc_errors,
        "malformed": decoder.malformed,
        "oversize": decoder.oversize,
    }


def _dialogue() -> list[dict[str, Any]]:
    """What an instrument (boot id 9, window 2048, stream 0) answers, frame by frame; null: nothing."""
    receiver = Receiver(boot_id=9, unique_id=b"vectors", window_bytes=2048)
    cell, stale = _CELL.encode(), 0x0BAD
    asked = {
        "a result before any HELLO": Frame(0x10, 0x0A0B, 1, cell),
        "HELLO": Frame(0x01, 0x0A0B, 0, _HELLO.encode()),
        "a result without a stream": Frame(0x10, 0x0A0B, 1, cell),
        "NEW_STREAM": Frame(0x03, 0x0A0B, 0, NewStream(0x11223344).encode()),
        "the first result": Frame(0x10, 0x0A0B, 1, cell),
        "the same again: acknowledged, without effect": Frame(0x10, 0x0A0B, 1, cell),
        "a gap": Frame(0x10, 0x0A0B, 3, cell),
        "left over from another connection": Frame(0x10, stale, 2, cell),
        "a label that nobody knows": Frame(0x10, 0x0A0B, 2, bytes([*cell[:12], 99, *cell[13:]])),
        "the second result": Frame(0x10, 0x0A0B, 2, cell),
        "an unknown type": Frame(0x7E, 0x0A0B, 0, b""),
        "HELLO of a new connection": Frame(0x01, 0x0C0D, 0, _HELLO.encode()),
        "the old connection again": Frame(0x10, 0x0A0B, 3, cell),
        "HELLO of another major version": Frame(0x01, 0x0E0F, 0, Hello(99, 0, 0, SCHEMA_HASH, 1).encode()),
    }
    turns = []
    for name, frame in asked.items():
        answer, message = receiver.receive(frame)
        turns.append(
            {
                "name": name,
                "host": encode_frame(frame).hex(),
                "instrument": None if answer is None else encode_frame(answer).hex(),
                "applied": message is not None,
            }
        )
    return turns


if __name__ == "__main__":
    print(json.dumps(vectors(), indent=1))  # noqa: T201
