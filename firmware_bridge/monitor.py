"""Sits between a host and an instrument, passes every byte on as it is, and prints the frames that go by."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Any

from firmware_bridge.errors import LinkError, ProtocolError
from firmware_bridge.messages import Nak, decode_message
from firmware_bridge.ports import stable_name
from firmware_bridge.protocol import Frame, FrameDecoder
from firmware_bridge.schema import MessageType, reason_name
from firmware_bridge.serving import Printer, offered_port, stop_signals
from firmware_bridge.transport_url import open_port

_READ_BYTES = 4096
_LOOK_S = 0.05
TO_INSTRUMENT, TO_HOST = "→", "←"


class Monitor:
    """Decodes both directions, without ports: bytes in, lines out."""

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._decoders = {TO_INSTRUMENT: FrameDecoder(), TO_HOST: FrameDecoder()}
        self.frames: dict[str, Counter[str]] = {TO_INSTRUMENT: Counter(), TO_HOST: Counter()}
        self.bytes: Counter[str] = Counter()

    def feed(self, direction: str, data: bytes, at_s: float) -> list[str]:
        """Take bytes of one direction and return a line a frame."""
        self.bytes[direction] += len(data)
        return [self._line(direction, frame, at_s) for frame in self._decoders[direction].feed(data)]

    def totals(self) -> dict[str, Any]:
        """Return what has gone by in each direction, faults included."""
        names = {TO_INSTRUMENT: "to_instrument", TO_HOST: "to_host"}
        return {
            names[direction]: {
                "bytes": self.bytes[direction],
                "frames": dict(self.frames[direction]),
                "crc_errors": decoder.crc_errors,
                "malformed": decoder.malformed,
                "oversize": decoder.oversize,
            }
            for direction, decoder in self._decoders.items()
        }

    def last_line(self) -> str:
        if self._as_json:
            return json.dumps({"type": "total", **self.totals()})
        parts = []
        for name, total in self.totals().items():
            frames = ", ".join(f"{kind} {count}" for kind, count in total["frames"].items()) or "no frames"
            faults = f"crc errors {total['crc_errors']}, malformed {total['malformed']}, oversize {total['oversize']}"
            parts.append(f"{name.replace('_', ' ')}: {frames}; {faults}")
        return "\n".join(parts)

    def _line(self, direction: str, frame: Frame, at_s: float) -> str:
        try:
            kind = MessageType(frame.type).name
        except ValueError:
            kind = f"0x{frame.type:02x}"
        self.frames[direction][kind] += 1
        fields = self._fields(frame)
        if self._as_json:
            record = {
                "type": "frame",
                "time_s": round(at_s, 4),
                "to": "instrument" if direction == TO_INSTRUMENT else "host",
            }
            return json.dumps({**record, "kind": kind, "connection": frame.connection, "seq": frame.seq, **fields})
        words = " ".join(f"{name}={value}" for name, value in fields.get("fields", fields).items())
        return f"{at_s:9.3f} {direction} {kind:<13} {frame.connection:04x} {frame.seq:>6}  {words}"

    def _fields(self, frame: Frame) -> dict[str, Any]:
        try:
            message = decode_message(frame.type, frame.payload)
        except ProtocolError:
            return {"payload": frame.payload.hex()}
        values = asdict(message)
        if isinstance(message, Nak):
            values["reason"] = reason_name(message.reason)
        plain = {name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()}
        return {"fields": plain}


def monitor(port: str, *, baud: int, link: str | None, as_json: bool) -> None:
    """Open the instrument's port, offer a pseudo-terminal in its place, and carry bytes until SIGTERM or SIGINT.

    :raises LinkError: the instrument's port does not open, or vanished.
    :raises FileExistsError: ``link`` names something that is not a symbolic link.
    :raises OSError: there is no pseudo-terminal left.
    """
    watching = Monitor(as_json=as_json)
    with ExitStack() as stack, suppress(BrokenPipeError):
        printer = Printer(sys.stdout.fileno())
        stop = stack.enter_context(stop_signals())
        instrument = open_port(stable_name(port), baud)
        stack.callback(instrument.close)
        here = stack.enter_context(offered_port(printer, link=link, as_json=as_json))
        began = time.monotonic()
        poll = select.poll()
        for descriptor in (here, instrument.readable, stop):
            poll.register(descriptor, select.POLLIN)
        try:
            while stop not in (ready := [descriptor for descriptor, _ in poll.poll(_LOOK_S * 1000)]):
                at_s = time.monotonic() - began
                if here in ready:
                    data = os.read(here, _READ_BYTES)
                    instrument.write(data)
                    printer.add(*watching.feed(TO_INSTRUMENT, data, at_s))
                if instrument.readable in ready:
                    data = instrument.read(0.0)
                    with suppress(BlockingIOError):  # no host takes it: lost, as on a wire
                        os.write(here, data)
                    printer.add(*watching.feed(TO_HOST, data, at_s))
                printer.offer()
        except LinkError:
            printer.add(watching.last_line())
            printer.finish()
            raise
        printer.add(watching.last_line())
        printer.finish()
