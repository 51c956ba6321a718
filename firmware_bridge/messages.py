"""The messages that frames carry. One table, `SCHEMA`, gives every field its place and size.

Numbers are assigned to every message of the protocol; those without a row in `SCHEMA` are not implemented
yet.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, TypeAlias

from firmware_bridge.errors import ProtocolError

VERSION_MAJOR, VERSION_MINOR = 1, 0
"""Version of the protocol. Ends that differ in the major number do not talk."""


class MessageType(IntEnum):
    """The number of every message. 0x10 … 0x1F are sequenced: they take a seq and are applied in order,
    once.
    """

    HELLO = 0x01
    HELLO_ACK = 0x02
    NEW_STREAM = 0x03
    ACK = 0x04
    NAK = 0x05
    HEARTBEAT = 0x06
    TIME_SYNC = 0x07
    LOG = 0x08
    EVENT = 0x09
    STOP = 0x0A
    COMMAND_DONE = 0x0B
    CELL_RESULT = 0x10
    DIFFERENTIAL = 0x11
    COMMAND = 0x12


def is_sequenced(kind: int) -> bool:
    """Whether a message of this type, known or not, takes a sequence number."""
    return 0x10 <= kind <= 0x1F


class NakReason(IntEnum):
    """Why the instrument refused. Only a gap is mended by sending again."""

    GAP = 1
    UNSUPPORTED = 2
    MALFORMED = 3
    NO_STREAM = 4
    VERSION = 5


def reason_name(reason: int) -> str:
    """Return a reason in words, or its number where it is not of this version."""
    try:
        return NakReason(reason).name.lower()
    except ValueError:
        return str(reason)


class Persistence(IntEnum):
    """What the instrument remembers over a loss of power, told in HELLO_ACK."""

    ATOMIC = 1
    COMMIT_BEFORE = 2
    RAM_ONLY = 3


UNIDENTIFIED = "unidentified"

LABEL_CODES: Mapping[str, int] = {
    "neutrophil": 1,
    "eosinophil": 2,
    "basophil": 3,
    "lymphocyte": 4,
    "monocyte": 5,
    "immature granulocyte": 6,
    "erythroblast": 7,
    "platelet": 8,
    "not_a_cell": 9,
    UNIDENTIFIED: 255,
}
"""Label names and their fixed codes on the wire."""

_LABEL_NAMES = {code: name for name, code in LABEL_CODES.items()}

COUNTED_LABELS = tuple(name for name in LABEL_CODES if name != UNIDENTIFIED)
"""The labels a DIFFERENTIAL counts, in the order of their fields."""

_FLAG_UNIDENTIFIED = 0x01
_FLAG_REDELIVERED = 0x02
_U16_MAX = 0xFFFF

SCHEMA: Mapping[MessageType, tuple[tuple[str, str], ...]] = {
    MessageType.HELLO: (
        ("version_major", "B"),
        ("version_minor", "B"),
        ("capabilities", "I"),
        ("schema_hash", "I"),
        ("stream_id", "I"),
    ),
    MessageType.HELLO_ACK: (
        ("version_major", "B"),
        ("version_minor", "B"),
        ("capabilities", "I"),
        ("unique_id", "12s"),
        ("firmware_version", "3s"),
        ("boot_id", "I"),
        ("stream_id", "I"),
        ("last_applied_seq", "I"),
        ("window_bytes", "H"),
        ("largest_payload", "B"),
        ("persistence", "B"),
    ),
    MessageType.NEW_STREAM: (("stream_id", "I"),),
    MessageType.ACK: (("seq", "I"), ("window_bytes", "H")),
    MessageType.NAK: (("reason", "B"), ("expected_seq", "I")),
    MessageType.CELL_RESULT: (
        ("cell_id", "I"),
        ("time_ns", "Q"),
        ("label", "B"),
        ("flags", "B"),
        ("probability", "H"),
        ("box_xmin", "H"),
        ("box_ymin", "H"),
        ("box_width", "H"),
        ("box_height", "H"),
    ),
    MessageType.DIFFERENTIAL: (
        *((name, "I") for name in COUNTED_LABELS),
        ("total", "I"),
        ("unidentified", "I"),
    ),
}
"""Fields of every implemented message in wire order, as (name, `struct` code); little-endian, no padding."""

_STRUCTS = {kind: struct.Struct("<" + "".join(code for _, code in fields)) for kind, fields in SCHEMA.items()}

SCHEMA_HASH = zlib.crc32(
    repr(
        [
            [(kind.name, int(kind), fields) for kind, fields in SCHEMA.items()],
            list(LABEL_CODES.items()),
            [(reason.name, int(reason)) for reason in NakReason],
        ]
    ).encode()
)
"""CRC-32 of the table, the label codes and the reasons; sent in HELLO so that two different tables never
talk.
"""


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
        flags = _FLAG_UNIDENTIFIED if self.label == UNIDENTIFIED else 0
        if self.redelivered:
            flags |= _FLAG_REDELIVERED
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


def redelivered(kind: int, payload: bytes) -> bytes:
    """Return the payload with its flag set that it may have taken effect before; a DIFFERENTIAL has no flag."""
    if kind != MessageType.CELL_RESULT:
        return payload
    flagged = bytearray(payload)
    flagged[_FLAGS_AT] |= _FLAG_REDELIVERED
    return bytes(flagged)


Message: TypeAlias = Hello | HelloAck | NewStream | Ack | Nak | CellResult | Differential
_PLAIN = {cls.TYPE: cls for cls in (Hello, HelloAck, NewStream, Ack, Nak)}


def decode_message(kind: int, payload: bytes) -> Message:
    """Return the message in a frame's payload.

    :raises ProtocolError: the type is not implemented, the payload has another length than the schema says,
        or a label or a flag means nothing.
    """
    try:
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


def _cell_result(values: tuple[int, ...]) -> CellResult:
    cell_id, time_ns, code, flags, steps, xmin, ymin, width, height = values
    label = _LABEL_NAMES.get(code)
    if label is None or bool(flags & _FLAG_UNIDENTIFIED) != (label == UNIDENTIFIED):
        raise ProtocolError(f"label code {code} with flags {flags} is unknown; bring both ends to one version")
    redelivered = bool(flags & _FLAG_REDELIVERED)
    return CellResult(cell_id, time_ns, label, steps / _U16_MAX, (xmin, ymin, width, height), redelivered)
