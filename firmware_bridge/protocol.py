"""The frame codec, without input or output.

    00 | COBS( type u8 | connection u16 | seq u32 | payload ≤ 64 | crc32 u32 ) | 00        little-endian

The checksum is CRC-32/ISO-HDLC, zlib's, over type … payload. COBS (Cheshire and Baker 1999) removes the
zeros, so that 00 can only be a delimiter; a body below 255 bytes grows by one. The leading 00 ends whatever
noise or half written frame came before.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from cobs import cobs  # type: ignore[import-untyped, unused-ignore]

MAX_PAYLOAD = 64
"""Largest payload in bytes; from the frame's definition in the protocol."""

OVERHEAD = 14
"""Bytes that a frame adds to its payload: two delimiters, one for COBS, 7 of header, 4 of checksum."""

SEQ_MASK = 0xFFFFFFFF
"""Sequence numbers are u32 and wrap around."""

_HALF = 1 << 31
_HEADER = struct.Struct("<BHI")
_CHECKSUM = struct.Struct("<I")
_SMALLEST_BODY = _HEADER.size + _CHECKSUM.size
_LARGEST_BODY = _SMALLEST_BODY + MAX_PAYLOAD
_LARGEST_CODED = _LARGEST_BODY + 1


def seq_distance(seq: int, base: int) -> int:
    """How far ``seq`` lies after ``base``, negative when before it, over the wrap of u32 (as RFC 1982)."""
    distance = (seq - base) & SEQ_MASK
    return distance - (SEQ_MASK + 1) if distance >= _HALF else distance


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it travels.

    ``type`` is a u8 that need not be a known message type, ``connection`` a u16, ``seq`` a u32 (0 for
    messages that are not sequenced) and ``payload`` at most 64 bytes.
    """

    type: int
    connection: int
    seq: int
    payload: bytes = b""


def encode_frame(frame: Frame) -> bytes:
    """Return the frame as bytes on the wire, both delimiters included.

    :raises ValueError: the payload is longer than 64 bytes.
    :raises struct.error: type, connection or seq does not fit its field.
    """
    if len(frame.payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload of {len(frame.payload)} bytes does not fit; send {MAX_PAYLOAD} at most")
    body = _HEADER.pack(frame.type, frame.connection, frame.seq) + frame.payload
    coded: bytes = cobs.encode(body + _CHECKSUM.pack(zlib.crc32(body)))
    return b"\0" + coded + b"\0"


class FrameDecoder:
    """Turns bytes in pieces of any size into frames, holding back at most one frame's worth of bytes.

    A frame that does not check is counted and dropped. The counters only rise.
    """

    __slots__ = ("_partial", "_skipping", "crc_errors", "frames", "malformed", "oversize")

    def __init__(self) -> None:
        self._partial = b""
        self._skipping = False
        self.frames = 0
        """Frames returned."""
        self.crc_errors = 0
        """Dropped: the checksum was wrong."""
        self.malformed = 0
        """Dropped: not COBS, or too short for a frame."""
        self.oversize = 0
        """Dropped: more bytes between two delimiters than any frame has."""

    @property
    def held_bytes(self) -> int:
        """Bytes kept for the next call, at most 76."""
        return len(self._partial)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and return the frames they complete, in order."""
        first, *rest = data.split(b"\0")
        self._extend(first)
        frames: list[Frame] = []
        for piece in rest:
            if self._partial:
                frame = self._decode(self._partial)
                if frame is not None:
                    frames.append(frame)
            self._partial = b""
            self._skipping = False
            self._extend(piece)
        self.frames += len(frames)
        return frames

    def _extend(self, piece: bytes) -> None:
        if self._skipping:
            return
        if len(self._partial) + len(piece) > _LARGEST_CODED:
            self._partial = b""
            self._skipping = True
            self.oversize += 1
        else:
            self._partial += piece

    def _decode(self, coded: bytes) -> Frame | None:
        try:
            body = cobs.decode(coded)
        except cobs.DecodeError:
            self.malformed += 1
            return None
        if not _SMALLEST_BODY <= len(body) <= _LARGEST_BODY:
            self.malformed += 1
            return None
        if _CHECKSUM.unpack_from(body, len(body) - _CHECKSUM.size)[0] != zlib.crc32(body[: -_CHECKSUM.size]):
            self.crc_errors += 1
            return None
        kind, connection, seq = _HEADER.unpack_from(body)
        return Frame(kind, connection, seq, body[_HEADER.size : -_CHECKSUM.size])
