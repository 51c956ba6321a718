"""Which ports there are, what they are called whatever they are plugged into, and where their outbox is."""

from __future__ import annotations

import os
import re
from pathlib import Path

BY_ID = "/dev/serial/by-id"
BY_PATH = "/dev/serial/by-path"
"""Where adapters have no serial number of their own, udev names the socket they are plugged into."""


def stable_name(port: str) -> str:
    """Return the by-id or by-path name of a port, which stays when it is plugged in again, or else its own."""
    if "://" in port or "\0" in port:
        return port
    device = os.path.realpath(port)
    for folder in (BY_ID, BY_PATH):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            path = os.path.join(folder, name)
            if os.path.realpath(path) == device:
                return path
    return port


def default_outbox(port: str) -> Path | None:
    """Return where the outbox of a port is unless the user says otherwise: in the user's state folder, by the port's
    stable name. None for a pseudo-terminal: the next one of that name is another instrument.
    """
    import platformdirs  # 10 ms, which `--help` need not wait for

    name = stable_name(port)
    if "://" not in name and os.path.realpath(name.replace("\0", "")).startswith("/dev/pts/"):
        return None
    plain = re.sub(r"[^\w.-]+", "_", name.removeprefix(BY_ID).removeprefix("/dev/")).strip("_")
    return platformdirs.user_state_path("edge-wbc") / "outbox" / f"{plain}.sqlite"
