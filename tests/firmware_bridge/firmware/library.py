"""The C library on this machine, through ctypes, in the shape of the Python classes it has to equal."""

from __future__ import annotations

import ctypes as c
from pathlib import Path

from firmware_bridge.messages import CellResult, Differential
from firmware_bridge.protocol import MAX_PAYLOAD, OVERHEAD, Frame, FrameDecoder
from firmware_bridge.schema import COUNTED_LABELS, LABEL_CODES, MessageType

MAX_BODY = MAX_PAYLOAD + OVERHEAD - 3
_PAYLOAD_AT = 9
_LABEL_NAMES = {code: name for name, code in LABEL_CODES.items()}
_FLAG_REDELIVERED = 2


class _Frame(c.Structure):
    _fields_ = (
        ("type", c.c_uint8),
        ("length", c.c_uint8),
        ("connection", c.c_uint16),
        ("seq", c.c_uint32),
        ("payload", c.POINTER(c.c_uint8)),
    )


class _Decoder(c.Structure):
    _fields_ = (
        ("frames", c.c_uint32),
        ("crc_errors", c.c_uint32),
        ("malformed", c.c_uint32),
        ("oversize", c.c_uint32),
        ("coded", c.c_uint8),
        ("left", c.c_uint8),
        ("body", c.c_uint8 * MAX_BODY),
    )


class _Cell(c.Structure):
    _fields_ = (
        ("cell_id", c.c_uint32),
        ("time_ns", c.c_uint64),
        ("label", c.c_uint8),
        ("flags", c.c_uint8),
        ("probability", c.c_uint16),
        ("box", c.c_uint16 * 4),
    )


class _Differential(c.Structure):
    _fields_ = (
        ("counts", c.c_uint32 * len(COUNTED_LABELS)),
        ("total", c.c_uint32),
        ("unidentified", c.c_uint32),
    )


class _As(c.Union):
    _fields_ = (("cell", _Cell), ("differential", _Differential))


class _Message(c.Structure):
    _fields_ = (("type", c.c_uint8), ("as_", _As))


_APPLY = c.CFUNCTYPE(c.c_bool, c.c_void_p, c.c_uint32, c.POINTER(_Message))
_START_STREAM = c.CFUNCTYPE(c.c_bool, c.c_void_p, c.c_uint32)
_WRITE = c.CFUNCTYPE(None, c.c_void_p, c.POINTER(c.c_uint8), c.c_uint8)


class _Device(c.Structure):
    _fields_ = (
        ("unique_id", c.c_uint8 * 12),
        ("firmware_version", c.c_uint8 * 3),
        ("persistence", c.c_uint8),
        ("window_bytes", c.c_uint16),
        ("apply", _APPLY),
        ("start_stream", _START_STREAM),
        ("write", _WRITE),
        ("control", c.c_void_p),
    )


class _Link(c.Structure):
    _fields_ = (
        ("device", c.POINTER(_Device)),
        ("context", c.c_void_p),
        ("boot_id", c.c_uint32),
        ("stream_id", c.c_uint32),
        ("last_seq", c.c_uint32),
        ("connection", c.c_uint16),
        ("ack_due", c.c_bool),
        ("decoder", _Decoder),
    )


class Library:
    """The shared library. Each holds its own copy, mutated or not."""

    def __init__(self, build: Path) -> None:
        self.c = c.CDLL(str(build / "host" / "libedgewbc.so"))
        self.c.ewbc_crc32.restype = c.c_uint32
        self.c.ewbc_crc32.argtypes = (c.c_uint32, c.c_char_p, c.c_uint16)
        self.c.ewbc_decode.restype = c.c_bool
        self.c.ewbc_decode.argtypes = (c.POINTER(_Decoder), c.c_uint8, c.POINTER(_Frame))
        self.c.ewbc_encode.restype = c.c_uint8
        self.c.ewbc_encode.argtypes = (c.c_char_p, c.c_uint8, c.c_uint16, c.c_uint32, c.c_uint8)
        self.c.ewbc_message_decode.restype = c.c_uint8
        self.c.ewbc_message_decode.argtypes = (c.POINTER(_Frame), c.POINTER(_Message))
        self.c.ewbc_link_init.restype = None
        self.c.ewbc_link_init.argtypes = (
            c.POINTER(_Link),
            c.POINTER(_Device),
            c.c_void_p,
            c.c_uint32,
            c.c_uint32,
            c.c_uint32,
        )
        self.c.ewbc_link_byte.restype = None
        self.c.ewbc_link_byte.argtypes = (c.POINTER(_Link), c.c_uint8)
        self.c.ewbc_link_idle.restype = None
        self.c.ewbc_link_idle.argtypes = (c.POINTER(_Link),)
        self.c.ewbc_link_receive.restype = c.c_uint8
        self.c.ewbc_link_receive.argtypes = (c.POINTER(_Link), c.POINTER(_Frame), c.c_char_p)

    def encode(self, frame: Frame) -> bytes:
        out = c.create_string_buffer(b"\xaa" * _PAYLOAD_AT + frame.payload, MAX_PAYLOAD + OVERHEAD + 1)
        out[-1] = b"\x55"
        size = self.c.ewbc_encode(out, frame.type, frame.connection, frame.seq, len(frame.payload))
        assert out[-1] == b"\x55", "written past the frame"
        return out.raw[:size]


class CDecoder:
    """`FrameDecoder`, in C."""

    def __init__(self, library: Library) -> None:
        self._c = library.c
        self._decoder = _Decoder()

    def feed(self, data: bytes) -> list[Frame]:
        frames, frame = [], _Frame()
        for byte in data:
            if self._c.ewbc_decode(self._decoder, byte, frame):
                payload = bytes(frame.payload[: frame.length])
                frames.append(Frame(frame.type, frame.connection, frame.seq, payload))
        return frames

    @property
    def counters(self) -> tuple[int, int, int, int]:
        decoder = self._decoder
        return decoder.frames, decoder.crc_errors, decoder.malformed, decoder.oversize


class CReceiver:
    """`Receiver`, in C, with what it was given to apply and what it wrote."""

    def __init__(
        self,
        library: Library,
        *,
        boot_id: int,
        unique_id: bytes = b"",
        window_bytes: int = 2048,
        persistence: int = 3,
        stream_id: int = 0,
        last_seq: int = 0,
        control: int | None = None,
    ) -> None:
        self._c = library.c
        self.applied: list[tuple[int, CellResult | Differential]] = []
        self.streams: list[int] = []
        self.written = b""
        self.willing = True
        """What apply and start_stream return."""
        self._device = _Device(
            (c.c_uint8 * 12)(*unique_id),
            (c.c_uint8 * 3)(0, 1, 0),
            persistence,
            window_bytes,
            _APPLY(self._apply),
            _START_STREAM(self._start_stream),
            _WRITE(self._write),
            control,
        )
        self.link = _Link()
        self._c.ewbc_link_init(self.link, self._device, None, boot_id, stream_id, last_seq)

    def receive(self, frame: Frame) -> tuple[Frame | None, CellResult | Differential | None]:
        """As `Receiver.receive`."""
        payload = (c.c_uint8 * max(1, len(frame.payload)))(*frame.payload)
        given = _Frame(frame.type, len(frame.payload), frame.connection, frame.seq, payload)
        out = c.create_string_buffer(MAX_PAYLOAD + OVERHEAD)
        before = len(self.applied)
        size = self._c.ewbc_link_receive(self.link, given, out)
        answers = FrameDecoder().feed(out.raw[:size])
        assert len(answers) == (size > 0)
        applied = [message for _, message in self.applied[before:]]
        assert len(applied) <= 1
        return answers[0] if answers else None, applied[0] if applied else None

    def feed(self, data: bytes) -> bytes:
        """Take bytes as a board's loop does and return what it writes."""
        self.written = b""
        for byte in data:
            self._c.ewbc_link_byte(self.link, byte)
        self._c.ewbc_link_idle(self.link)
        return self.written

    def _apply(self, _: int | None, seq: int, message: c._Pointer[_Message]) -> bool:
        if self.willing:
            self.applied.append((seq, _from_c(message.contents)))
        return self.willing

    def _start_stream(self, _: int | None, stream_id: int) -> bool:
        if self.willing:
            self.streams.append(stream_id)
        return self.willing

    def _write(self, _: int | None, data: c._Pointer[c.c_uint8], length: int) -> None:
        self.written += bytes(data[:length])


def _from_c(message: _Message) -> CellResult | Differential:
    if message.type == MessageType.CELL_RESULT:
        cell = message.as_.cell
        xmin, ymin, width, height = cell.box
        return CellResult(
            cell.cell_id,
            cell.time_ns,
            _LABEL_NAMES[cell.label],
            cell.probability / 0xFFFF,
            (xmin, ymin, width, height),
            bool(cell.flags & _FLAG_REDELIVERED),
        )
    assert message.type == MessageType.DIFFERENTIAL
    counted = message.as_.differential
    return Differential(dict(zip(COUNTED_LABELS, counted.counts, strict=True)), counted.total, counted.unidentified)
