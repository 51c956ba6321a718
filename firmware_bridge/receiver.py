"""The instrument's half of delivery, without input or output: accepts the next message only."""

from __future__ import annotations

from firmware_bridge.errors import ProtocolError
from firmware_bridge.messages import (
    Ack,
    CellResult,
    Differential,
    Hello,
    HelloAck,
    Message,
    Nak,
    NewStream,
    Stop,
    decode_message,
)
from firmware_bridge.protocol import MAX_PAYLOAD, SEQ_MASK, Frame, FrameDecoder, seq_distance
from firmware_bridge.receiver_control import ControlReceiver
from firmware_bridge.schema import (
    SCHEMA_HASH,
    VERSION_MAJOR,
    VERSION_MINOR,
    Capability,
    MessageType,
    NakReason,
    Persistence,
    is_sequenced,
)

_NEEDS: dict[int, Capability] = {
    MessageType.COMMAND: Capability.COMMAND,
    MessageType.ACK: Capability.EVENT,
    MessageType.HEARTBEAT: Capability.HEARTBEAT,
    MessageType.TIME_SYNC: Capability.TIME_SYNC,
}


class Receiver:
    """The instrument's half: accepts the next sequence number only, and remembers the last one per stream."""

    def __init__(
        self,
        *,
        boot_id: int,
        unique_id: bytes = b"",
        window_bytes: int = 2048,
        control: ControlReceiver | None = None,
        decoder: FrameDecoder | None = None,
    ) -> None:
        """:param control: commands and events; without it the instrument is one of version 1.0."""
        self.decoder = decoder or FrameDecoder()
        """Where the frames come from, for a HEARTBEAT."""
        self._control = control
        self._boot_id = boot_id
        self._unique_id = unique_id
        self._window_bytes = window_bytes
        self.persistence = Persistence.RAM_ONLY
        self.connection = 0
        self.stream_id = 0
        self.last_applied_seq = 0

    def receive(self, frame: Frame, now_ms: int = 0) -> tuple[Frame | None, CellResult | Differential | None]:
        """Return the answer to a frame, if it gets one, and the message to apply now, if there is one.

        :param now_ms: the instrument's clock.
        """
        if self._control is not None:
            self._control.heard(now_ms)
        if frame.type == MessageType.HELLO:
            return self._hello(frame), None
        if frame.type == MessageType.STOP and self._control is not None and frame.connection:
            return self._stop(frame), None
        if not self.connection or frame.connection != self.connection:
            return None, None
        if is_sequenced(frame.type):
            return self._sequenced(frame)
        if frame.type == MessageType.NEW_STREAM:
            return self._new_stream(frame), None
        return self._beside(frame, now_ms), None

    def tick(self, now_ms: int) -> list[Frame]:
        """Return what the instrument says of its own accord now."""
        if self._control is None:
            return []
        said = self._control.tick(now_ms, bool(self.connection))
        return [Frame(message.TYPE, self.connection, seq, message.encode()) for message, seq in said]

    def _beside(self, frame: Frame, now_ms: int) -> Frame | None:
        control = self._control
        if control is None or frame.type not in _NEEDS or _NEEDS[frame.type] not in control.capabilities:
            return self._nak(NakReason.UNSUPPORTED)
        try:
            message = decode_message(frame.type, frame.payload)
        except ProtocolError:
            return self._nak(NakReason.MALFORMED)
        answer = control.receive(message, now_ms, self.decoder)
        return None if answer is None else self._answer(answer)

    def _stop(self, frame: Frame) -> Frame | None:
        assert self._control is not None
        try:
            message = decode_message(frame.type, frame.payload)
        except ProtocolError:
            return self._nak(NakReason.MALFORMED) if frame.connection == self.connection else None
        assert isinstance(message, Stop)
        answer = self._control.stopped_by(message)
        return Frame(MessageType.STOP, frame.connection, 0, answer.encode())

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
        capabilities = 0
        if self._control is not None:
            self._control.host = Capability(hello.capabilities)
            capabilities = int(self._control.capabilities)
        answer = HelloAck(
            version_major=VERSION_MAJOR,
            version_minor=VERSION_MINOR,
            capabilities=capabilities,
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

    def _answer(self, message: Message) -> Frame:
        return Frame(message.TYPE, self.connection, 0, message.encode())
