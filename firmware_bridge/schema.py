"""Every number of the protocol, and one table, `SCHEMA`, that gives every field of every message its place and size.

The rows of version 1.0, `CORE`, never change within the major version, and ends whose `SCHEMA_HASH` differs do not
talk. Later rows are told by a bit of `Capability`: an end sends only what the other said it knows.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from enum import IntEnum, IntFlag

VERSION_MAJOR, VERSION_MINOR = 1, 1
"""Version of the protocol. Ends that differ in the major number do not talk; the minor number is for people."""


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
    COMMAND = 0x0C
    CELL_RESULT = 0x10
    DIFFERENTIAL = 0x11


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


class Capability(IntFlag):
    """What an end knows beyond version 1.0: the messages, and of an instrument the commands that it carries out.

    A bit stands for one layout: a row that changes takes another bit.
    """

    COMMAND = 0x0001
    """COMMAND, COMMAND_DONE and STOP."""
    EVENT = 0x0002
    HEARTBEAT = 0x0004
    TIME_SYNC = 0x0008
    LOG = 0x0010
    INDICATOR = 0x0100
    TRIGGER = 0x0200
    STAGE = 0x0400


LATER_MESSAGES = Capability.COMMAND | Capability.EVENT | Capability.HEARTBEAT | Capability.TIME_SYNC | Capability.LOG
"""Every message beyond version 1.0: what this package's host tells in HELLO."""


def capability_names(bits: int) -> list[str]:
    """Return the capabilities among bits in words; those of another version are left out."""
    return [str(bit.name).lower() for bit in Capability if bit & bits]


class Opcode(IntEnum):
    """What a COMMAND asks for; from 0x80 on instruments have their own."""

    INDICATOR = 0x01
    """Light the indicator of a label: its code, how long in ms (0: until the next one)."""
    TRIGGER = 0x02
    """One pulse on an output: which, how long in µs."""
    STAGE_MOVE = 0x03
    """To a place, never by a distance: x, y, z in nm."""


class CommandStatus(IntEnum):
    """How a command ended."""

    RUNNING = 0
    DONE = 1
    FAILED = 2
    UNSUPPORTED = 3
    BAD_ARGUMENT = 4
    EXPIRED = 5
    STOPPED = 6
    BUSY = 7


class EventCode(IntEnum):
    """What an EVENT tells of; from 0x80 on instruments have their own."""

    BUTTON = 0x01
    LIMIT_SWITCH = 0x02
    SAMPLE_LOADED = 0x03
    SAMPLE_REMOVED = 0x04
    EMERGENCY_STOP = 0x05


class LogLevel(IntEnum):
    ERROR = 1
    WARNING = 2
    INFO = 3


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

COUNTED_LABELS = tuple(name for name in LABEL_CODES if name != UNIDENTIFIED)
"""The labels a DIFFERENTIAL counts, in the order of their fields."""

FLAG_UNIDENTIFIED = 0x01
FLAG_REDELIVERED = 0x02

REST = "rest"
"""Stands for a `struct` code where a field takes what is left of the payload."""

Fields = tuple[tuple[str, str], ...]

CORE: Mapping[MessageType, Fields] = {
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
"""The rows of version 1.0."""

SCHEMA: Mapping[MessageType, Fields] = {
    **CORE,
    MessageType.HEARTBEAT: (
        ("uptime_ms", "I"),
        ("frames", "I"),
        ("crc_errors", "I"),
        ("dropped", "I"),
        ("overruns", "I"),
    ),
    MessageType.TIME_SYNC: (("host_sent_ns", "Q"), ("received_ms", "I"), ("sent_ms", "I")),
    MessageType.LOG: (("level", "B"), ("text", REST)),
    MessageType.EVENT: (("event", "B"), ("source", "B"), ("value", "i"), ("time_ms", "I")),
    MessageType.STOP: (("stop", "H"), ("issuer", "H"), ("number", "H")),
    MessageType.COMMAND_DONE: (("issuer", "H"), ("number", "H"), ("status", "B"), ("detail", "i")),
    MessageType.COMMAND: (
        ("issuer", "H"),
        ("number", "H"),
        ("opcode", "B"),
        ("deadline_ms", "I"),
        ("argument_1", "i"),
        ("argument_2", "i"),
        ("argument_3", "i"),
    ),
}
"""Fields of every message in wire order, as (name, `struct` code); little-endian, no padding."""

SCHEMA_HASH = zlib.crc32(
    repr(
        [
            [(kind.name, int(kind), fields) for kind, fields in CORE.items()],
            list(LABEL_CODES.items()),
            [(reason.name, int(reason)) for reason in NakReason],
        ]
    ).encode()
)
"""CRC-32 of the core table, the label codes and the reasons; sent in HELLO so that two different tables never
talk.
"""
