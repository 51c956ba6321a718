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
from firmware_bridge.receiver_control import ControlReceiver
from firmware_bridge.schema import (
    LATER_MESSAGES,
    SCHEMA_HASH,
    VERSION_MAJOR,
    VERSION_MINOR,
    Capability,
    CommandStatus,
    EventCode,
    LogLevel,
    MessageType,
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
        "control": _control(),
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


def _control() -> list[dict[str, Any]]:
    """What an instrument with every capability (boot id 9, stages take 300 ms, all else is done at once) answers at a
    time, and says of its own accord then; its button is pressed where ``button`` stands.
    """
    arrives: list[int] = []

    def begin(command: Command) -> CommandStatus:
        if command.opcode != Opcode.STAGE_MOVE:
            return CommandStatus.DONE if command.opcode == Opcode.TRIGGER else CommandStatus.UNSUPPORTED
        arrives[:] = [now_ms + 300]
        return CommandStatus.RUNNING

    decoder = FrameDecoder()
    control = ControlReceiver(begin, arrives.clear, LATER_MESSAGES | Capability.TRIGGER | Capability.STAGE)
    receiver = Receiver(boot_id=9, unique_id=b"vectors", control=control, decoder=decoder)
    turns: list[dict[str, Any]] = []
    for name, now_ms, said in _control_turns():
        if said is None and name.startswith("button"):
            control.event(EventCode.BUTTON, 1, 1, now_ms)
        if arrives and now_ms >= arrives[0]:
            arrives.clear()
            control.done(CommandStatus.DONE, 7)
        answers: list[Frame] = []
        for frame in decoder.feed(encode_frame(said) if said is not None else b""):
            answer, _ = receiver.receive(frame, now_ms)
            answers += [answer] if answer is not None else []
        answers += receiver.tick(now_ms)
        turns.append(
            {
                "name": name,
                "at_ms": now_ms,
                "host": None if said is None else encode_frame(said).hex(),
                "instrument": [encode_frame(answer).hex() for answer in answers],
            }
        )
    return turns


def _control_turns() -> list[tuple[str, int, Frame | None]]:
    here, there, elsewhere = 0x0A0B, 0x0C0D, 0x0E0F
    hello = Hello(VERSION_MAJOR, VERSION_MINOR, LATER_MESSAGES, SCHEMA_HASH, 0x11223344)

    def command(number: int, opcode: int, deadline_ms: int, issuer: int = 0xBEEF) -> Frame:
        return Frame(MessageType.COMMAND, here, 0, Command(issuer, number, opcode, deadline_ms, 1, 2, 3).encode())

    def stop(connection: int, stop: int, issuer: int, number: int) -> Frame:
        return Frame(MessageType.STOP, connection, 0, Stop(stop, issuer, number).encode())

    return [
        ("button pressed before any host is there", 0, None),
        ("HELLO: then the event that waited", 10, Frame(MessageType.HELLO, here, 0, hello.encode())),
        ("not yet again", 200, None),
        ("again after 250 ms", 260, None),
        ("acknowledged, by another number: without effect", 270, Frame(MessageType.ACK, here, 0, Ack(2, 0).encode())),
        ("acknowledged", 280, Frame(MessageType.ACK, here, 0, Ack(1, 0).encode())),
        ("and no more", 600, None),
        ("HEARTBEAT", 700, Frame(MessageType.HEARTBEAT, here, 0, Heartbeat(1, 2, 3, 4, 5).encode())),
        ("TIME_SYNC", 701, Frame(MessageType.TIME_SYNC, here, 0, TimeSync(77, 0, 0).encode())),
        ("a trigger, done at once", 710, command(1, Opcode.TRIGGER, 1000)),
        ("the same again: told, not done again", 720, command(1, Opcode.TRIGGER, 990)),
        ("a stage: running", 800, command(2, Opcode.STAGE_MOVE, 1000)),
        ("another one meanwhile: busy", 810, command(3, Opcode.TRIGGER, 1000)),
        ("one that was held back: no answer", 820, command(1, Opcode.TRIGGER, 880)),
        ("there: told of its own accord", 1100, None),
        ("once", 1110, None),
        ("asked again: told again", 1120, command(2, Opcode.STAGE_MOVE, 680)),
        ("too late to begin", 1200, command(3, Opcode.STAGE_MOVE, 0)),
        ("a stage with too little time", 1300, command(4, Opcode.STAGE_MOVE, 100)),
        ("ended by the instrument", 1400, None),
        ("a stage, to be stopped", 1500, command(5, Opcode.STAGE_MOVE, 5000)),
        ("STOP, from a connection that nobody knows", 1510, stop(elsewhere, 1, 0xBEEF, 6)),
        ("STOP again: answered again", 1520, stop(here, 1, 0xBEEF, 6)),
        ("a command that it outdated, held back", 1530, command(6, Opcode.TRIGGER, 5000)),
        ("the next one is good", 1540, command(7, Opcode.TRIGGER, 5000)),
        ("another program's first", 1550, command(1, Opcode.TRIGGER, 5000, issuer=0xCAFE)),
        ("an opcode that it does not know", 1560, command(2, 0x80, 5000, issuer=0xCAFE)),
        ("STOP of the first program: outdates nothing of the second", 1570, stop(here, 2, 0xBEEF, 9)),
        ("so this is good", 1580, command(3, Opcode.TRIGGER, 5000, issuer=0xCAFE)),
        ("a COMMAND of another size", 1590, Frame(MessageType.COMMAND, here, 0, b"\0" * 20)),
        ("HELLO of a host of version 1.0", 1600, Frame(MessageType.HELLO, there, 0, _HELLO.encode())),
        ("button: this host is not told", 1610, None),
    ]


if __name__ == "__main__":
    print(json.dumps(vectors(), indent=1))  # noqa: T201
