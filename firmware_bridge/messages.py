"""The messages that frames carry, as values: fields ↔ payload. `schema` has the table."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from firmware_bridge.errors import ProtocolError
from firmware_bridge.protocol import MAX_PAYLOAD
from firmware_bridge.schema import (
    COUNTED_LABELS,
    FLAG_REDELIVERED,
    FLAG_UNIDENTIFIED,
    LABEL_CODES,
    REST,
    SCHEMA,
    UNIDENTIFIED,
    EventCode,
    MessageType,
)

_LABEL_NAMES = {code: name for name, code in LABEL_CODES.items()}
_U16_MAX = 0xFFFF

_STRUCTS = {
    kind: struct.Struct("<" + "".join(code for _, code in fields if code != REST)) for kind, fields in SCHEMA.items()
}

_FLAGS_AT = struct.calcsize("<IQB")


def _pack(kind: MessageType, values: Sequence[object]) -> bytes:
    try:
        return _STRUCTS[kind].pack(*values)
    except struct.error as error:
        raise ProtocolError(f"a value does not fit its field of {kind.name} ({error}); correct it") from error


class _Plain:
    """A message whose attributes are its fields on the wire."""

    __slots__ = ()
    TYPE: ClassVar[MessageType]

    def encode(self) -> bytes:
        """Return the payload.

        :raises ProtocolError: a value does not fit its field.
        """
        return _pack(self.TYPE, [getattr(self, name) for name, _ in SCHEMA[self.TYPE]])


@dataclass(frozen=True, slots=True)
class Hello(_Plain):
    """Host → instrument: who asks, and which stream it means. Stream ids are never 0."""

    TYPE: ClassVar[MessageType] = MessageType.HELLO
    version_major: int
    version_minor: int
    capabilities: int
    schema_hash: int
    stream_id: int


@dataclass(frozen=True, slots=True)
class HelloAck(_Plain):
    """Instrument → host: who answers, and where its stream stands.

    ``stream_id`` is 0 while it knows none. ``firmware_version`` is major, minor, patch in three bytes.
    ``window_bytes`` is how many bytes of frames may be unacknowledged, delimiters included.
    """

    TYPE: ClassVar[MessageType] = MessageType.HELLO_ACK
    version_major: int
    version_minor: int
    capabilities: int
    unique_id: bytes
    firmware_version: bytes
    boot_id: int
    stream_id: int
    last_applied_seq: int
    window_bytes: int
    largest_payload: int
    persistence: int


@dataclass(frozen=True, slots=True)
class NewStream(_Plain):
    """Host → instrument: start this stream, its first seq is 1. Without effect on a stream already
    current.
    """

    TYPE: ClassVar[MessageType] = MessageType.NEW_STREAM
    stream_id: int


@dataclass(frozen=True, slots=True)
class Ack(_Plain):
    """Instrument → host: everything up to ``seq`` is applied; ``window_bytes`` may follow it
    unacknowledged.
    """

    TYPE: ClassVar[MessageType] = MessageType.ACK
    seq: int
    window_bytes: int


@dataclass(frozen=True, slots=True)
class Nak(_Plain):
    """Instrument → host: refused, for a `NakReason`; everything before ``expected_seq`` is applied."""

    TYPE: ClassVar[MessageType] = MessageType.NAK
    reason: int
    expected_seq: int


@dataclass(frozen=True, slots=True)
class CellResult:
    """Host → instrument: the prediction for one cell.

    ``time_ns`` is UTC in ns since 1970. ``label`` is a name of `LABEL_CODES`. ``probability`` is 0 … 1,
    sent in steps of 1/65535 and clamped. ``box`` is xmin, ymin, width, height in pixels of the frame, each
    clamped to 0 … 65535. ``redelivered`` says that it may have taken effect before.
    """

    TYPE: ClassVar[MessageType] = MessageType.CELL_RESULT
    cell_id: int
    time_ns: int
    label: str
    probability: float
    box: tuple[int, int, int, int]
    redelivered: bool = False

    def encode(self) -> bytes:
        """Return the payload of 24 bytes.

        :raises ProtocolError: the label is not of the protocol, the probability is not a number, or the id
            or the time does not fit.
        """
        code = LABEL_CODES.get(self.label)
        if code is None:
            raise ProtocolError(f"there is no label {self.label!r}; use one of {', '.join(LABEL_CODES)}")
        flags = FLAG_UNIDENTIFIED if self.label == UNIDENTIFIED else 0
        if self.redelivered:
            flags |= FLAG_REDELIVERED
        try:
            steps = round(min(max(self.probability, 0.0), 1.0) * _U16_MAX)
            xmin, ymin, width, height = (min(max(int(value), 0), _U16_MAX) for value in self.box)
        except (TypeError, ValueError, OverflowError) as error:
            raise ProtocolError(f"cell {self.cell_id} has a wrong value ({error}); correct it") from error
        return _pack(self.TYPE, (self.cell_id, self.time_ns, code, flags, steps, xmin, ymin, width, height))


@dataclass(frozen=True, slots=True)
class Differential:
    """Host → instrument: counts of cells, not percentages.

    ``counts`` maps names of `COUNTED_LABELS` to counts; a name left out counts 0.
    """

    TYPE: ClassVar[MessageType] = MessageType.DIFFERENTIAL
    counts: Mapping[str, int]
    total: int
    unidentified: int

    def encode(self) -> bytes:
        """Return the payload of 44 bytes.

        :raises ProtocolError: a label is not of the protocol, or a count does not fit.
        """
        unknown = [name for name in self.counts if name not in COUNTED_LABELS]
        if unknown:
            raise ProtocolError(f"no label {unknown[0]!r} is counted; use one of {', '.join(COUNTED_LABELS)}")
        return _pack(self.TYPE, (*(self.counts.get(name, 0) for name in COUNTED_LABELS), self.total, self.unidentified))


@dataclass(frozen=True, slots=True)
class Heartbeat(_Plain):
    """Both ways: the sender is alive, and what it has received so far.

    ``uptime_ms`` since its start. ``frames`` that checked, ``crc_errors``, ``dropped`` (not COBS, too short or too
    long) and ``overruns`` (bytes lost because nobody read them in time), all modulo 2³².
    """

    TYPE: ClassVar[MessageType] = MessageType.HEARTBEAT
    uptime_ms: int
    frames: int
    crc_errors: int
    dropped: int
    overruns: int


@dataclass(frozen=True, slots=True)
class TimeSync(_Plain):
    """Both ways: the host's question with ``host_sent_ns`` of its own clock and zeros, and the answer with the
    instrument's clock in ms since its start when the question came and when the answer left.
    """

    TYPE: ClassVar[MessageType] = MessageType.TIME_SYNC
    host_sent_ns: int
    received_ms: int
    sent_ms: int


@dataclass(frozen=True, slots=True)
class Log:
    """Instrument → host: a line for people, which may get lost. At most 63 bytes of UTF-8 are sent."""

    TYPE: ClassVar[MessageType] = MessageType.LOG
    level: int
    text: str

    def encode(self) -> bytes:
        """Return the payload, the text cut to what fits.

        :raises ProtocolError: the level does not fit.
        """
        text = self.text.encode()[: MAX_PAYLOAD - _STRUCTS[self.TYPE].size]
        return _pack(self.TYPE, (self.level,)) + text.decode(errors="ignore").encode()


@dataclass(frozen=True, slots=True)
class InstrumentEvent(_Plain):
    """Instrument → host: something happened there.

    ``event`` is an `EventCode` or the instrument's own from 0x80 on, ``source`` which button or switch, ``time_ms``
    the instrument's clock. Its number travels as the frame's seq.
    """

    TYPE: ClassVar[MessageType] = MessageType.EVENT
    event: int
    source: int
    value: int
    time_ms: int

    @property
    def name(self) -> str:
        """The event in words."""
        try:
            return EventCode(self.event).name.lower()
        except ValueError:
            return f"event {self.event}"


@dataclass(frozen=True, slots=True)
class Stop(_Plain):
    """Host → instrument, and back when it has stopped: end what moves, and carry out no command up to ``number`` of
    ``issuer``. ``stop`` tells one from the next.
    """

    TYPE: ClassVar[MessageType] = MessageType.STOP
    stop: int
    issuer: int
    number: int


@dataclass(frozen=True, slots=True)
class CommandDone(_Plain):
    """Instrument → host: how far a command has come. ``detail`` is the instrument's own word on it."""

    TYPE: ClassVar[MessageType] = MessageType.COMMAND_DONE
    issuer: int
    number: int
    status: int
    detail: int


@dataclass(frozen=True, slots=True)
class Command(_Plain):
    """Host → instrument: do this within ``deadline_ms`` from now, once.

    ``issuer`` is a random number of the host's link that is not 0, ``number`` rises by one a command. What the
    arguments mean is told at `Opcode`.
    """

    TYPE: ClassVar[MessageType] = MessageType.COMMAND
    issuer: int
    number: int
    opcode: int
    deadline_ms: int
    argument_1: int
    argument_2: int
    argument_3: int


def redelivered(kind: int, payload: bytes) -> bytes:
    """Return the payload with its flag set that it may have taken effect before; a DIFFERENTIAL has no flag."""
    if kind != MessageType.CELL_RESULT:
        return payload
    flagged = bytearray(payload)
    flagged[_FLAGS_AT] |= FLAG_REDELIVERED
    return bytes(flagged)


Message: TypeAlias = (
    Hello
    | HelloAck
    | NewStream
    | Ack
    | Nak
    | CellResult
    | Differential
    | Heartbeat
    | TimeSync
    | Log
    | InstrumentEvent
    | Stop
    | CommandDone
    | Command
)
_PLAIN = {
    cls.TYPE: cls
    for cls in (
        *(Hello, HelloAck, NewStream, Ack, Nak),
        *(Heartbeat, TimeSync, InstrumentEvent, Stop, CommandDone, Command),
    )
}


def decode_message(kind: int, payload: bytes) -> Message:
    """Return the message in a frame's payload.

    :raises ProtocolError: the type is not implemented, the payload has another length than the schema says,
        or a label or a flag means nothing.
    """
    try:
        if kind == MessageType.LOG:
            return _log(payload)
        values = _STRUCTS[MessageType(kind)].unpack(payload)
    except (KeyError, ValueError) as error:
        raise ProtocolError(f"message type 0x{kind:02x} is unknown; bring both ends to one version") from error
    except struct.error as error:
        raise ProtocolError(f"message type 0x{kind:02x} has a wrong size; bring both ends to one version") from error
    if kind == MessageType.CELL_RESULT:
        return _cell_result(values)
    if kind == MessageType.DIFFERENTIAL:
        *counts, total, unidentified = values
        return Differential(dict(zip(COUNTED_LABELS, counts, strict=True)), total, unidentified)
    return _PLAIN[MessageType(kind)](*values)


def _log(payload: bytes) -> Log:
    (level,) = _STRUCTS[MessageType.LOG].unpack(payload[:1])
    return Log(level, payload[1:].decode(errors="replace"))


def _cell_result(values: tuple[int, ...]) -> CellResult:
    cell_id, time_ns, code, flags, steps, xmin, ymin, width, height = values
    label = _LABEL_NAMES.get(code)
    if label is None or bool(flags & FLAG_UNIDENTIFIED) != (label == UNIDENTIFIED):
        raise ProtocolError(f"label code {code} with flags {flags} is unknown; bring both ends to one version")
    redelivered = bool(flags & FLAG_REDELIVERED)
    return CellResult(cell_id, time_ns, label, steps / _U16_MAX, (xmin, ymin, width, height), redelivered)
