"""Host side of the serial link to laboratory instruments, and a simulated instrument.

`protocol` frames bytes, `messages` gives them meaning, `delivery` makes each take effect once,
`transport` opens the port, `link` puts them together, `simulator` is the other end.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firmware_bridge.errors import (
        LinkError,
        NoAnswerError,
        PortAbsentError,
        PortBusyError,
        PortDeniedError,
        PortLostError,
        ProtocolError,
        QueueFullError,
    )
    from firmware_bridge.link import InstrumentLink, LinkCounters
    from firmware_bridge.messages import COUNTED_LABELS, LABEL_CODES, UNIDENTIFIED, CellResult, Differential

__all__ = [
    "COUNTED_LABELS",
    "LABEL_CODES",
    "UNIDENTIFIED",
    "CellResult",
    "Differential",
    "InstrumentLink",
    "LinkCounters",
    "LinkError",
    "NoAnswerError",
    "PortAbsentError",
    "PortBusyError",
    "PortDeniedError",
    "PortLostError",
    "ProtocolError",
    "QueueFullError",
]

_LINK = ("InstrumentLink", "LinkCounters")
_MESSAGES = ("COUNTED_LABELS", "LABEL_CODES", "UNIDENTIFIED", "CellResult", "Differential")


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that the command line shows its help at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "link" if name in _LINK else "messages" if name in _MESSAGES else "errors"
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
