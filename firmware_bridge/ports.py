"""Which ports there are, what they are called whatever they are plugged into, and where their outbox is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BY_ID = "/dev/serial/by-id"
BY_PATH = "/dev/serial/by-path"
"""Where adapters have no serial number of their own, udev names the socket they are plugged into."""


@dataclass(frozen=True, slots=True)
class PortInfo:
    """A port that is plugged in: ``name`` is the stable one, ``device`` the one of this moment."""

    name: str
    device: str
    description: str
    serial_number: str | None


def list_ports() -> list[PortInfo]:
    """Return the serial ports of this machine that have hardware behind them, USB first."""
    found = [
        PortInfo(_named(port.device, port.serial_number), port.device, port.description, port.serial_number)
        for port in _comports()
        if port.vid is not None or port.description not in (None, "n/a", "")
    ]
    return sorted(found, key=lambda port: (port.serial_number is None, port.name))


def stable_name(port: str) -> str:
    """Return the by-id or by-path name of a port, which stays when it is plugged in again, or else its own.

    By-id needs a serial number: two adapters without one would take the name from each other.
    """
    if "://" in port or "\0" in port:
        return port
    device = os.path.realpath(port)
    if not os.path.isdir(BY_ID) and not os.path.isdir(BY_PATH):
        return port
    number = next((found.serial_number for found in _comports() if found.device == device), None)
    name = _named(device, number)
    return port if name == device else name


def _named(device: str, serial_number: str | None) -> str:
    for folder in (BY_ID, BY_PATH) if serial_number else (BY_PATH, BY_ID):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            path = os.path.join(folder, name)
            if os.path.realpath(path) == device:
                return path
    return device


def _comports() -> list[Any]:
    from serial.tools.list_ports import comports

    return list(comports())


def outbox_folder() -> Path:
    """Return where outboxes are unless the user says otherwise: in the user's state folder."""
    import platformdirs  # 10 ms, which `--help` need not wait for

    return platformdirs.user_state_path("edge-wbc") / "outbox"


def default_outbox(port: str) -> Path | None:
    """Return where the outbox of a port is unless the user says otherwise, by the port's stable name. None for a
    pseudo-terminal: the next one of that name is another instrument.
    """
    name = stable_name(port)
    if "://" not in name and os.path.realpath(name.replace("\0", "")).startswith("/dev/pts/"):
        return None
    plain = re.sub(r"[^\w.-]+", "_", name.removeprefix(BY_ID).removeprefix(BY_PATH).removeprefix("/dev/")).strip("_")
    return outbox_folder() / f"{plain}.sqlite"
