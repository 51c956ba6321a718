"""The instrument's half of delivery, without input or output: accepts the next message only."""

from __future__ import annotations

from firmware_bridge.errors import ProtocolError
from firmware_bridge.messages import Ack, CellResult, Differential, Hello, HelloAck, Nak, NewStream, decode_message
from firmware_bridge.protocol import MAX_PAYLOAD, SEQ_MASK, Frame, seq_distance
from firmware_bridge.schema import (
    SCHEMA_HASH,
    VERSION_MAJOR,
    VERSION_MINOR,
    MessageType,
    NakReason,
    Persistence,
    is_sequenced,
)


class Receiver:
    """The instrument's half: accepts the next sequence number only, and remembers the last one per stream."""

    def __init__(self, *, boot_id: int, unique_id: bytes = b"", window_bytes: int = 2048) -> None:
        self._boot_id = boot_id
        self._unique_id = unique_id
        self._window_bytes = window_bytes
        self.persistence = Persistence.RAM_ONLY
        self.connection = 0
        self.stream_id = 0
        self.last_applied_seq = 0

    def receive(self, frame: Frame) -> tuple[Frame | None, CellResult | Differential | None]:
        """Return the answer to a frame, if it gets one, and the message to apply now, if there is one."""
        if frame.type == MessageType.HELLO:
            return self._hello(frame), None
        if not self.connection or frame.connection != self.connection:
            return None, None
        if is_sequenced(frame.type):
            return self._sequenced(frame)
        if frame.type == MessageType.NEW_STREAM:
            return self._new_stream(frame), None
        return self._nak(NakReason.UNSUPPORTED), None

    def _sequenced(self, frame: Frame) -> tuple[Frame, CellResult | Differential | None]:
        if not self.stream_id:
            return self._nak(NakReason.NO_STREAM), None
        distance = seq_distance(frame.seq, self.last_applied_seq)
        if distance <= 0:
            return self._ack(), None
        if distance > 1:
            return self._nak(NakReason.GAP), None
        if frame.type not in (MessageType.CELL_RESULT, MessageType.DIFFERENTIAL):
            return self._nak(NakReason.UNSUPPORTED), None
        try:
            message = decode_message(frame.type, frame.payload)
        except ProtocolError:
            return self._nak(NakReason.MALFORMED), None
        assert isinstance(message, (CellResult, Differential))
        self.last_applied_seq = frame.seq
        return self._ack(), message

    def _hello(self, frame: Frame) -> Frame | None:
        if not frame.connection:
            return None
        try:
            hello = decode_message(frame.type, frame.payload)
        except ProtocolError:
            hello = None
        if not isinstance(hello, Hello) or hello.version_major != VERSION_MAJOR or hello.schema_hash != SCHEMA_HASH:
            nak = Nak(NakReason.VERSION, 0)
            return Frame(MessageType.NAK, frame.connection, 0, nak.encode())
        self.connection = frame.connection
        answer = HelloAck(
            version_major=VERSION_MAJOR,
            version_minor=VERSION_MINOR,
            capabilities=0,
            unique_id=self._unique_id,
            firmware_version=bytes((0, 1, 0)),
            boot_id=self._boot_id,
            stream_id=self.stream_id,
            last_applied_seq=self.last_applied_seq,
            window_bytes=self._window_bytes,
            largest_payload=MAX_PAYLOAD,
            persistence=self.persistence,
        )
        return self._answer(answer)

    def _new_stream(self, frame: Frame) -> Frame:
        try:
            message = decode_message(frame.type, frame.payload)
        except ProtocolError:
            return self._nak(NakReason.MALFORMED)
        assert isinstance(message, NewStream)
        if message.stream_id != self.stream_id:
            self.stream_id = message.stream_id
            self.last_applied_seq = 0
        return self._ack()

    def _ack(self) -> Frame:
        return self._answer(Ack(self.last_applied_seq, self._window_bytes))

    def _nak(self, reason: NakReason) -> Frame:
        return self._answer(Nak(reason, (self.last_applied_seq + 1) & SEQ_MASK))

    def _answer(self, message: HelloAck | Ack | Nak) -> Frame:
        return Frame(message.TYPE, self.connection, 0, message.encode())
