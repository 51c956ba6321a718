"""The C library with its control part, through ctypes: a `CReceiver` that takes commands and has a clock."""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable

from firmware_bridge.messages import CellResult, Command, Differential
from firmware_bridge.protocol import Frame, FrameDecoder
from firmware_bridge.schema import LATER_MESSAGES, Capability, CommandStatus
from tests.firmware_bridge.firmware.library import CReceiver, Library, _Link

CAPABILITIES = LATER_MESSAGES | Capability.INDICATOR | Capability.STAGE
_STATE_BYTES = 128


class _Command(c.Structure):
    _fields_ = (
        ("issuer", c.c_uint16),
        ("number", c.c_uint16),
        ("opcode", c.c_uint8),
        ("deadline_ms", c.c_uint32),
        ("arguments", c.c_int32 * 3),
    )


_BEGIN = c.CFUNCTYPE(c.c_uint8, c.c_void_p, c.POINTER(_Command), c.POINTER(c.c_int32))
_STOP = c.CFUNCTYPE(None, c.c_void_p)
_OVERRUNS = c.CFUNCTYPE(c.c_uint32, c.c_void_p)


class _Control(c.Structure):
    _fields_ = (
        ("receive", c.c_void_p),
        ("state", c.c_void_p),
        ("commands", c.c_uint16),
        ("silence_stop_ms", c.c_uint32),
        ("begin", _BEGIN),
        ("stop", _STOP),
        ("overruns", _OVERRUNS),
    )


class CInstrument(CReceiver):
    """An instrument in C. ``begun`` and ``stops`` are what its callbacks were called with."""

    def __init__(
        self,
        library: Library,
        *,
        boot_id: int = 1,
        unique_id: bytes = b"",
        window_bytes: int = 2048,
        commands: Capability = Capability.INDICATOR | Capability.STAGE,
        silence_stop_ms: int = 0,
        begin: Callable[[Command], tuple[int, int]] = lambda _: (CommandStatus.RUNNING, 0),
    ) -> None:
        """:param begin: returns status and detail."""
        self.begun: list[Command] = []
        self.stops = 0
        self.overruns = 0
        self.begin = begin
        self._state = (c.c_uint64 * (_STATE_BYTES // 8))()
        self._control = _Control(
            c.cast(library.c.ewbc_control_receive, c.c_void_p),
            c.addressof(self._state),
            commands,
            silence_stop_ms,
            _BEGIN(self._begin),
            _STOP(self._stop),
            _OVERRUNS(lambda _: self.overruns),
        )
        self._tick = library.c.ewbc_link_tick
        self._tick.argtypes, self._tick.restype = (c.POINTER(_Link), c.c_uint32), None
        self._done = library.c.ewbc_link_command_done
        self._done.argtypes, self._done.restype = (c.POINTER(_Link), c.c_uint8, c.c_int32), None
        self._event = library.c.ewbc_link_event
        self._event.argtypes, self._event.restype = (c.POINTER(_Link), c.c_uint8, c.c_uint8, c.c_int32), c.c_bool
        self._log = library.c.ewbc_link_log
        self._log.argtypes, self._log.restype = (c.POINTER(_Link), c.c_uint8, c.c_char_p), None
        super().__init__(
            library,
            boot_id=boot_id,
            unique_id=unique_id,
            window_bytes=window_bytes,
            control=c.addressof(self._control),
        )

    def receive(self, frame: Frame) -> tuple[Frame | None, CellResult | Differential | None]:
        """As `Receiver.receive`; counts the frame, as whoever frames by other means is told to."""
        self.link.decoder.frames += 1
        return super().receive(frame)

    def tick(self, now_ms: int) -> list[Frame]:
        """Return what it says of its own accord."""
        self.written = b""
        self._tick(self.link, now_ms)
        return FrameDecoder().feed(self.written)

    def done(self, status: int, detail: int = 0) -> None:
        self._done(self.link, status, detail)

    def event(self, code: int, source: int, value: int) -> bool:
        return bool(self._event(self.link, code, source, value))

    def log(self, level: int, text: bytes) -> list[Frame]:
        self.written = b""
        self._log(self.link, level, text)
        return FrameDecoder().feed(self.written)

    def _begin(self, _: int | None, command: c._Pointer[_Command], detail: c._Pointer[c.c_int32]) -> int:
        asked = command.contents
        given = Command(asked.issuer, asked.number, asked.opcode, asked.deadline_ms, *asked.arguments)
        self.begun.append(given)
        status, detail[0] = self.begin(given)
        return status

    def _stop(self, _: int | None) -> None:
        self.stops += 1
