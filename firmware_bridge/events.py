"""What a link tells of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from firmware_bridge.errors import LinkError
from firmware_bridge.messages import HelloAck, InstrumentEvent
from firmware_bridge.store import Doubt


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """What the link has done since it was opened.

    ``sent`` and ``acknowledged`` count messages, each once; ``retransmitted`` counts frames sent again;
    ``naks`` refusals; ``crc_errors`` frames from the instrument that failed their checksum; ``pending`` messages
    that wait; ``reconnects`` greetings after the first; ``in_doubt`` messages that came into doubt.
    """

    sent: int
    acknowledged: int
    retransmitted: int
    naks: int
    crc_errors: int
    pending: int = 0
    reconnects: int = 0
    in_doubt: int = 0


@dataclass(frozen=True, slots=True)
class Connected:
    """The instrument answered: for the first time, or again."""

    instrument: HelloAck


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The instrument is gone; it is looked for, and what is sent meanwhile waits."""

    reason: LinkError


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Nobody can know whether these messages took effect: the instrument forgot, or was cut off."""

    doubts: Sequence[Doubt]


@dataclass(frozen=True, slots=True)
class Reported:
    """Something happened at the instrument: ``event.name`` says what, ``event.source`` which button or switch.

    ``time_ns`` is UTC since 1970: the moment by the instrument's clock, or of arrival where it has none.
    """

    event: InstrumentEvent
    time_ns: int


@dataclass(frozen=True, slots=True)
class Logged:
    """A line from the instrument for people; ``level`` is a `LogLevel`."""

    level: int
    text: str


Event: TypeAlias = Connected | Disconnected | InDoubt | Reported | Logged
