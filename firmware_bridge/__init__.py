"""Host side of the serial link to laboratory instruments, and a simulated instrument.

`protocol` frames bytes, `schema` and `messages` give them meaning, `delivery` makes each take effect once, `outbox`
keeps them until they have, `control` gives commands and hears of events, `host` greets, resumes and joins both,
`transport` opens the port, `courier` carries between both, `link` is what a program uses, `simulator` is the other end.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firmware_bridge.commands import Indicate, MoveStage, OwnCommand, Trigger
    from firmware_bridge.errors import (
        CommandFailedError,
        CommandInDoubtError,
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
    from firmware_bridge.events import Connected, Disconnected, Event, InDoubt, LinkCounters, Logged, Reported
    from firmware_bridge.link import Instrument, InstrumentLink
    from firmware_bridge.messages import CellResult, Differential, Heartbeat, InstrumentEvent
    from firmware_bridge.outbox import Outbox
    from firmware_bridge.ports import PortInfo, default_outbox, list_ports
    from firmware_bridge.schema import (
        COUNTED_LABELS,
        LABEL_CODES,
        UNIDENTIFIED,
        Capability,
        CommandStatus,
        EventCode,
        LogLevel,
    )
    from firmware_bridge.store import Doubt

__all__ = [
    "COUNTED_LABELS",
    "LABEL_CODES",
    "UNIDENTIFIED",
    "Capability",
    "CellResult",
    "CommandFailedError",
    "CommandInDoubtError",
    "CommandStatus",
    "Connected",
    "Differential",
    "Disconnected",
    "Doubt",
    "Event",
    "EventCode",
    "Heartbeat",
    "InDoubt",
    "Indicate",
    "Instrument",
    "InstrumentEvent",
    "InstrumentLink",
    "LinkCounters",
    "LinkError",
    "LogLevel",
    "Logged",
    "MoveStage",
    "NoAnswerError",
    "Outbox",
    "OutboxBusyError",
    "OutboxError",
    "OutboxFullError",
    "OwnCommand",
    "PortAbsentError",
    "PortBusyError",
    "PortDeniedError",
    "PortInfo",
    "PortLostError",
    "ProtocolError",
    "QueueFullError",
    "Reported",
    "Trigger",
    "default_outbox",
    "list_ports",
]

_MODULES = {
    "events": ("Connected", "Disconnected", "Event", "InDoubt", "LinkCounters", "Logged", "Reported"),
    "link": ("Instrument", "InstrumentLink"),
    "commands": ("Indicate", "MoveStage", "OwnCommand", "Trigger"),
    "messages": ("CellResult", "Differential", "Heartbeat", "InstrumentEvent"),
    "schema": (
        *("COUNTED_LABELS", "LABEL_CODES", "UNIDENTIFIED"),
        *("Capability", "CommandStatus", "EventCode", "LogLevel"),
    ),
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
