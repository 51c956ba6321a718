"""What can go wrong on the serial link. Every message is one line: what happened, then what to do.

LinkError
├── PortAbsentError     no such port, or the path is not a serial port
├── PortDeniedError     this user may not open the port
├── PortBusyError       another program holds the port
├── PortLostError       the port vanished while it was open
├── NoAnswerError       nothing on the port answers, or it stopped answering
├── QueueFullError      more messages wait for an answer than the queue holds
├── OutboxError         the outbox cannot be opened, read or written
│   ├── OutboxBusyError     another program holds the outbox
│   └── OutboxFullError     more messages wait in the outbox than it may hold
├── CommandFailedError  the instrument has not done what a command asked for
├── CommandInDoubtError nobody can know whether a command was carried out
└── ProtocolError       both ends talk, but do not agree, or a value does not fit its field
"""

from __future__ import annotations


class LinkError(Exception):
    """Base of every error that this package raises on purpose."""


class PortAbsentError(LinkError):
    """There is no such port, or the path is not a serial port."""


class PortDeniedError(LinkError):
    """This user may not open the port."""


class PortBusyError(LinkError):
    """Another program holds the port."""


class PortLostError(LinkError):
    """The port vanished while it was open."""


class NoAnswerError(LinkError):
    """Nothing on the port answers HELLO, or the instrument stopped answering."""

    @classmethod
    def to_hello(cls, port: str, timeout_s: float) -> NoAnswerError:
        """Nothing answered a greeting for so many seconds."""
        return cls(
            f"no instrument answered on {port} within {timeout_s:g} s; check its cable, its power and the baud rate"
        )


class QueueFullError(LinkError):
    """More messages wait for an answer than the queue holds."""


class OutboxError(LinkError):
    """The outbox cannot be opened, read or written."""


class OutboxBusyError(OutboxError):
    """Another program holds the outbox."""


class OutboxFullError(OutboxError):
    """More messages wait in the outbox than it may hold."""


class CommandFailedError(LinkError):
    """The instrument has not done what a command asked for.

    ``status`` is a `schema.CommandStatus`, ``detail`` the instrument's own word on it.
    """

    def __init__(self, message: str, status: int, detail: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class CommandInDoubtError(LinkError):
    """Nobody can know whether a command was carried out; it is not repeated."""


class ProtocolError(LinkError):
    """The two ends do not agree, or a value does not fit its field."""
