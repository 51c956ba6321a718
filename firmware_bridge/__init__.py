"""Host side of the serial link to laboratory instruments, and a simulated instrument.

`protocol` frames bytes, `messages` gives them meaning, `delivery` makes each take effect once, `outbox` keeps
them until they have, `host` greets and resumes, `transport` opens the port, `courier` carries between both, `link`
is what a program uses, `simulator` is the other end.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firmware_bridge.errors import (
        LinkError,
        NoAnswerError,
        OutboxBusyError,
        OutboxError,
        OutboxFullError,
        PortAbsentError,
        PortBusyError,
        PortDeniedError,
        PortLostError,
        ProtocolError,
        QueueFullError,
    )
    from firmware_bridge.events import Connected, Disconnected, Event, InDoubt, LinkCounters
    from firmware_bridge.link import Instrument, InstrumentLink
    from firmware_bridge.messages import CellResult, Differential
    from firmware_bridge.outbox import Outbox
    from firmware_bridge.ports import PortInfo, default_outbox, list_ports
    from firmware_bridge.schema import COUNTED_LABELS, LABEL_CODES, UNIDENTIFIED
    from firmware_bridge.store import Doubt

__all__ = [
    "COUNTED_LABELS",
    "LABEL_CODES",
    "UNIDENTIFIED",
    "CellResult",
    "Connected",
    "Differential",
    "Disconnected",
    "Doubt",
    "Event",
    "InDoubt",
    "Instrument",
    "InstrumentLink",
    "LinkCounters",
    "LinkError",
    "NoAnswerError",
    "Outbox",
    "OutboxBusyError",
    "OutboxError",
    "OutboxFullError",
    "PortAbsentError",
    "PortBusyError",
    "PortDeniedError",
    "PortInfo",
    "PortLostError",
    "ProtocolError",
    "QueueFullError",
    "default_outbox",
    "list_ports",
]

_MODULES = {
    "events": ("Connected", "Disconnected", "Event", "InDoubt", "LinkCounters"),
    "link": ("Instrument", "InstrumentLink"),
    "messages": ("CellResult", "Differential"),
    "schema": ("COUNTED_LABELS", "LABEL_CODES", "UNIDENTIFIED"),
    "outbox": ("Outbox",),
    "ports": ("PortInfo", "default_outbox", "list_ports"),
    "store": ("Doubt",),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that the command line shows its help at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "errors")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
