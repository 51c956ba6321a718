"""Checks that hold for the library, and must not hold for one with a rule taken out."""

from __future__ import annotations

from firmware_bridge.messages import CellResult, Hello, NewStream
from firmware_bridge.protocol import Frame, encode_frame
from firmware_bridge.schema import SCHEMA_HASH, MessageType
from tests.firmware_bridge.firmware.library import CDecoder, CReceiver, Library


def cell(cell_id: int, seq: int, connection: int = 7) -> Frame:
    result = CellResult(cell_id, 0, "monocyte", 1.0, (0, 0, 1, 1))
    return Frame(MessageType.CELL_RESULT, connection, seq, result.encode())


def greet(receiver: CReceiver, connection: int) -> None:
    hello = Hello(1, 0, 0, SCHEMA_HASH, 5)
    answer, _ = receiver.receive(Frame(MessageType.HELLO, connection, 0, hello.encode()))
    assert answer is not None
    assert answer.type == MessageType.HELLO_ACK


def greeted(library: Library) -> CReceiver:
    receiver = CReceiver(library, boot_id=1)
    greet(receiver, 7)
    receiver.receive(Frame(MessageType.NEW_STREAM, 7, 0, NewStream(5).encode()))
    return receiver


def dedupe_check(library: Library) -> None:
    receiver = greeted(library)
    for seq in (1, 1, 2, 1, 2, 3):
        receiver.receive(cell(seq, seq))
    assert [seq for seq, _ in receiver.applied] == [1, 2, 3]


def connection_check(library: Library) -> None:
    receiver = greeted(library)
    receiver.receive(cell(1, 1))
    greet(receiver, 8)
    assert receiver.receive(cell(99, 2, connection=7)) == (None, None)
    receiver.receive(cell(2, 2, connection=8))
    assert [seq for seq, _ in receiver.applied] == [1, 2]
    assert [getattr(message, "cell_id") for _, message in receiver.applied] == [1, 2]  # noqa: B009


def crc_check(library: Library) -> None:
    frame = cell(1, 1)
    data = encode_frame(frame)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert CDecoder(library).feed(bytes(flipped)) in ([], [frame])
