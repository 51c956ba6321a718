"""Asks an instrument what it is, and leaves it as it was: no stream is started, nothing is applied."""

from __future__ import annotations

import time
from typing import Any

from firmware_bridge.errors import NoAnswerError
from firmware_bridge.host import Host
from firmware_bridge.messages import HelloAck
from firmware_bridge.ports import stable_name
from firmware_bridge.schema import Persistence, capability_names
from firmware_bridge.store import MemoryStore
from firmware_bridge.transport_url import open_port


def ask(port: str, *, baud: int = 115200, timeout_s: float = 3.0) -> HelloAck:
    """Greet an instrument until it answers, and return what it tells of itself.

    :raises LinkError: the port does not open, nothing answers in time, or it speaks another version.
    """
    opened = open_port(stable_name(port), baud)
    try:
        host = Host(MemoryStore(), baud)
        host.connect()
        deadline = time.monotonic() + timeout_s
        while host.instrument is None:
            now = time.monotonic()
            if now >= deadline:
                raise NoAnswerError.to_hello(port, timeout_s)
            data = host.take(now)
            if data:
                opened.write(data)
            host.receive(opened.read(min(host.wait_s(now) or 0.0, deadline - now)), time.monotonic())
        return host.instrument
    finally:
        opened.close()


def described(instrument: HelloAck) -> dict[str, Any]:
    """Return what an instrument told as plain values."""
    try:
        persistence = Persistence(instrument.persistence).name
    except ValueError:
        persistence = str(instrument.persistence)
    unique_id = instrument.unique_id.rstrip(b"\0")
    return {
        "unique_id": unique_id.decode()
        if unique_id.isascii() and unique_id.decode().isprintable()
        else unique_id.hex(),
        "firmware": ".".join(map(str, instrument.firmware_version)),
        "protocol": f"{instrument.version_major}.{instrument.version_minor}",
        "capabilities": capability_names(instrument.capabilities),
        "persistence": persistence,
        "window_bytes": instrument.window_bytes,
        "largest_payload": instrument.largest_payload,
        "boot_id": instrument.boot_id,
        "stream_id": instrument.stream_id,
        "last_applied_seq": instrument.last_applied_seq,
    }
