"""The instrument's half of what is not a stream: commands, stops, events, heartbeat, its clock, logs.

Without input or output; time is given in ms of any steady clock and wraps around as the instrument's does. What
`edge_wbc_control.c` does in C.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from firmware_bridge.messages import (
    Ack,
    Command,
    CommandDone,
    Heartbeat,
    InstrumentEvent,
    Log,
    Message,
    Stop,
    TimeSync,
)
from firmware_bridge.protocol import SEQ_MASK, FrameDecoder, seq_distance
from firmware_bridge.schema import Capability, CommandStatus

EVENT_PERIOD_MS = 250
"""An event is sent again so often until it is acknowledged."""


def number_distance(number: int, base: int) -> int:
    """How far a command's number lies after another's, over the wrap of u16."""
    return (number - base + 0x8000) % 0x10000 - 0x8000


@dataclass(slots=True)
class _Waiting:
    message: InstrumentEvent
    number: int
    due_ms: int | None = None

    def due(self, now_ms: int) -> bool:
        return self.due_ms is None or seq_distance(now_ms, self.due_ms) >= 0


class ControlReceiver:
    """One instrument's commands and events. Answers and what it says of its own accord come as (message, seq).

    :param begin: starts what a command asks for and says how that went; RUNNING: `done` will tell.
    :param stop: ends what moves.
    :param silence_stop_ms: stop when no frame was heard for so long; 0: never.
    """

    def __init__(
        self,
        begin: Callable[[Command], CommandStatus],
        stop: Callable[[], None],
        capabilities: Capability,
        *,
        silence_stop_ms: int = 0,
    ) -> None:
        self.capabilities = capabilities
        self.host = Capability(0)
        """What the host knows."""
        self._begin = begin
        self._stop = stop
        self._silence_stop_ms = silence_stop_ms
        self._heard_ms: int | None = None
        self._issuer = 0
        self._number = 0
        self._status = CommandStatus.STOPPED
        self._detail = 0
        self._until_ms = 0
        self._untold = False
        self._event: _Waiting | None = None
        self._events = 0
        self._logs: list[Log] = []

    @property
    def running(self) -> bool:
        return self._status is CommandStatus.RUNNING

    def receive(self, message: Message, now_ms: int, decoder: FrameDecoder) -> Message | None:
        """Take a message of the present connection and return its answer."""
        if isinstance(message, Command):
            return self._command(message, now_ms)
        if isinstance(message, Heartbeat):
            dropped = decoder.malformed + decoder.oversize
            return Heartbeat(now_ms, decoder.frames & SEQ_MASK, decoder.crc_errors & SEQ_MASK, dropped & SEQ_MASK, 0)
        if isinstance(message, TimeSync):
            return TimeSync(message.host_sent_ns, now_ms, now_ms)
        if isinstance(message, Ack) and self._event is not None and message.seq == self._event.number:
            self._event = None
        return None

    def stopped_by(self, message: Stop) -> Stop:
        """Obey a STOP of any connection, and return its answer."""
        self._end(CommandStatus.STOPPED)
        later = message.issuer == self._issuer and number_distance(message.number, self._number) > 0
        if message.number and (later or not self._issuer):
            self._issuer, self._number = message.issuer, message.number
            self._status, self._detail = CommandStatus.STOPPED, 0
        return message

    def heard(self, now_ms: int) -> None:
        """A frame that checks has come."""
        self._heard_ms = now_ms

    def done(self, status: CommandStatus, detail: int = 0) -> None:
        """The running command has ended."""
        if self.running:
            self._status, self._detail, self._untold = status, detail, True

    def event(self, code: int, source: int, value: int, now_ms: int) -> bool:
        """Tell the host of something; False while another event waits, or the link has no events."""
        if self._event is not None or Capability.EVENT not in self.capabilities:
            return False
        self._events = self._events % SEQ_MASK + 1
        self._event = _Waiting(InstrumentEvent(code, source, value, now_ms), self._events)
        return True

    def log(self, level: int, text: str) -> None:
        """Tell people something, if a host listens."""
        if Capability.LOG in self.host & self.capabilities:
            self._logs.append(Log(level, text))

    def tick(self, now_ms: int, connected: bool) -> list[tuple[Message, int]]:
        """Return what is to be said of its own accord now."""
        if self.running and seq_distance(now_ms, self._until_ms) >= 0:
            self._end(CommandStatus.EXPIRED)
        silent = self._heard_ms is not None and seq_distance(now_ms, self._heard_ms) >= self._silence_stop_ms
        if self._silence_stop_ms and silent:
            self._heard_ms = None
            self._end(CommandStatus.STOPPED)
        said: list[tuple[Message, int]] = []
        if not connected:
            return said
        if self._untold:
            self._untold = False
            said.append((self._told(), 0))
        if (event := self._event) is not None and Capability.EVENT in self.host and event.due(now_ms):
            event.due_ms = (now_ms + EVENT_PERIOD_MS) & SEQ_MASK
            said.append((event.message, event.number))
        logs, self._logs = self._logs, []
        return said + [(log, 0) for log in logs]

    @property
    def restless(self) -> bool:
        """Whether `tick` is to be called soon."""
        return self.running or self._untold or self._event is not None or bool(self._logs)

    def _command(self, command: Command, now_ms: int) -> CommandDone | None:
        if command.issuer == self._issuer:
            ahead = number_distance(command.number, self._number)
            if ahead == 0:
                return self._told()
            if ahead < 0:
                return None
        if self.running:
            return CommandDone(command.issuer, command.number, CommandStatus.BUSY, 0)
        self._issuer, self._number, self._detail = command.issuer, command.number, 0
        self._until_ms = (now_ms + command.deadline_ms) & SEQ_MASK
        self._status = CommandStatus.EXPIRED if not command.deadline_ms else self._begin(command)
        return self._told()

    def _told(self) -> CommandDone:
        return CommandDone(self._issuer, self._number, self._status, self._detail)

    def _end(self, status: CommandStatus) -> None:
        """End what moves; a running command ended so."""
        self._stop()
        self.done(status)
