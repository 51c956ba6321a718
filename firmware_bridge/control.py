"""The host's half of what is not a stream: one command at a time, stops, events, heartbeat, the instrument's clock.

Without input or output; time is given, in seconds of any steady clock. `docs/protocol.md`, "Commands, stops, events",
is what this does. Requests are made from any thread by `begin` and `stop`, everything else belongs to the link's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from firmware_bridge.clock import InstrumentClock
from firmware_bridge.errors import CommandFailedError, CommandInDoubtError
from firmware_bridge.messages import (
    Ack,
    Command,
    CommandDone,
    Heartbeat,
    HelloAck,
    InstrumentEvent,
    Log,
    Message,
    Stop,
    TimeSync,
)
from firmware_bridge.protocol import seq_distance
from firmware_bridge.schema import Capability, CommandStatus

COMMAND_PERIOD_S = 0.1
"""An unanswered or running command is asked for so often."""
STOP_PERIOD_S = 0.05
HEARTBEAT_PERIOD_S = 1.0
ANSWER_GRACE_S = 0.5
"""So long after its deadline a command may still say how it ended."""


@dataclass(slots=True)
class Asked:
    """A command under way. ``deadline`` on the host's clock."""

    message: Command
    deadline: float
    boot_id: int | None = None
    """Of the instrument that it was first sent to; None: it was not sent yet."""
    due: float = 0.0
    status: CommandStatus | None = None
    """How it ended."""
    detail: int = 0
    stopped: bool = False
    """A STOP came after it."""
    in_doubt: bool = False
    """The instrument started anew meanwhile."""

    @property
    def ended(self) -> bool:
        return self.status is not None or self.in_doubt


@dataclass(slots=True)
class Halt:
    """A STOP under way."""

    message: Stop
    due: float = 0.0
    sent: bool = False
    answered: bool = False


class Control:
    """Call order: `greeted` when the instrument has answered HELLO, then `take` and `receive` in turn, `lost` when it
    is gone.
    """

    def __init__(self, issuer: int) -> None:
        self.command: Asked | None = None
        self.halt: Halt | None = None
        self.told: list[tuple[InstrumentEvent, float | None] | Log] = []
        """Events, each once with its time on the host's clock if that is known, and logs; the caller empties it."""
        self.heartbeat: Heartbeat | None = None
        """What the instrument said last of its end of the link."""
        self.changed = False
        """Whether a command or a stop has ended; the caller sets it back."""
        self._issuer = issuer
        self._number = 0
        self._stops = 0
        self._instrument: HelloAck | None = None
        self._online = False
        self._clock = InstrumentClock()
        self._next_heartbeat = 0.0
        self._unanswered_since: float | None = None
        self._last_event: int | None = None
        self._acks: list[int] = []

    def begin(self, opcode: int, arguments: tuple[int, int, int], deadline: float) -> Asked:
        """A command to be carried out before ``deadline`` on the host's clock; one at a time."""
        assert self.command is None
        self._number = self._number % 0xFFFF + 1
        message = Command(self._issuer, self._number, opcode, 0, *arguments)
        message.encode()
        self.command = Asked(message, deadline)
        return self.command

    def withdraw(self, asked: Asked) -> None:
        """Nobody waits for this command any more."""
        if self.command is asked:
            self.command = None

    def stop(self) -> Halt:
        """A STOP, before everything; a command under way is not begun any more."""
        self._stops = (self._stops + 1) & 0xFFFF
        message = Stop(self._stops, self._issuer, self._number)
        if (asked := self.command) is not None:
            asked.stopped, asked.deadline, asked.due = True, 0.0, 0.0
        if (halt := self.halt) is not None:  # whoever waits for the one before waits for this one
            halt.message, halt.due, halt.sent = message, 0.0, False
            return halt
        self.halt = Halt(message)
        return self.halt

    @property
    def capabilities(self) -> Capability:
        """What the instrument knows."""
        return Capability(self._instrument.capabilities if self._instrument else 0)

    @property
    def stop_waits(self) -> bool:
        """Whether a STOP is to go out for the first time."""
        return self.halt is not None and not self.halt.sent

    @property
    def fresh(self) -> bool:
        """Whether a request has not been looked at yet."""
        return self.stop_waits or (self._online and self.command is not None and not self.command.due)

    def greeted(self, instrument: HelloAck, now: float) -> None:
        """The instrument has answered a HELLO: the first, or another one."""
        before, self._instrument = self._instrument, instrument
        if before is None or (before.boot_id, before.unique_id) != (instrument.boot_id, instrument.unique_id):
            self._last_event = None
            self._clock = InstrumentClock()
        if (asked := self.command) is not None and asked.boot_id not in (None, instrument.boot_id):
            asked.in_doubt = self.changed = True
            self.command = None
        self._online = True
        self._unanswered_since = None
        self._next_heartbeat = now
        self._acks.clear()

    def lost(self) -> None:
        """The connection is over; a command under way goes on with the next one."""
        self._online = False
        self._unanswered_since = None
        self._acks.clear()

    def take(self, now: float, told: Callable[[], Heartbeat], period_s: float = 0.0) -> Iterator[Message]:
        """Give what is to be sent now.

        :param told: what the host has received, for a HEARTBEAT.
        :param period_s: ask for a command's end no more often than this.
        """
        if (halt := self.halt) is not None and now >= halt.due:
            halt.due, halt.sent = now + STOP_PERIOD_S, True
            yield halt.message
        if not self._online or self._instrument is None:
            return
        while self._acks:
            yield Ack(self._acks.pop(0), 0)
        asked = self.command
        if asked is not None and now >= asked.due:
            left_ms = round((asked.deadline - now) * 1000)
            if left_ms > 0 or asked.boot_id is not None:  # what is too late to begin is only asked for
                asked.boot_id = self._instrument.boot_id
                asked.due = now + max(COMMAND_PERIOD_S, period_s)
                yield replace(asked.message, deadline_ms=min(max(0, left_ms), 0xFFFFFFFF))
            else:
                self._ended(asked, CommandStatus.EXPIRED)
        if Capability.HEARTBEAT in self.capabilities and now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_PERIOD_S
            if self._unanswered_since is None:
                self._unanswered_since = now
            yield told()
            if Capability.TIME_SYNC in self.capabilities:
                yield TimeSync(round(now * 1e9), 0, 0)

    def receive(self, message: Message, seq: int, now: float) -> None:
        """Take a message of the present connection; those of the stream are without effect."""
        if isinstance(message, CommandDone):
            self._command_done(message)
        elif isinstance(message, Stop):
            if self.halt is not None and message == self.halt.message:
                self.halt.answered = self.changed = True
                self.halt = None
        elif isinstance(message, InstrumentEvent):
            self._event(message, seq)
        elif isinstance(message, Log):
            self.told.append(message)
        elif isinstance(message, Heartbeat):
            self.heartbeat = message
            self._unanswered_since = None
        elif isinstance(message, TimeSync):
            self._clock.measured(message, now)

    def silent_s(self, now: float) -> float:
        """Seconds that a HEARTBEAT has been without an answer."""
        return 0.0 if self._unanswered_since is None else now - self._unanswered_since

    def wait_s(self, now: float) -> float | None:
        """Seconds until `take` has something; None while there is nothing to wait for."""
        due = [waiting.due for waiting in (self.halt, self.command if self._online else None) if waiting is not None]
        if self._online and Capability.HEARTBEAT in self.capabilities:
            due.append(self._next_heartbeat)
        if self._acks:
            due.append(now)
        return max(0.0, min(due) - now) if due else None

    def _command_done(self, done: CommandDone) -> None:
        asked = self.command
        if asked is None or (done.issuer, done.number) != (asked.message.issuer, asked.message.number):
            return
        try:
            status = CommandStatus(done.status)
        except ValueError:
            status = CommandStatus.FAILED
        if status is not CommandStatus.RUNNING:
            self._ended(asked, status, done.detail)

    def _ended(self, asked: Asked, status: CommandStatus, detail: int = 0) -> None:
        if asked.stopped and status is CommandStatus.EXPIRED:
            status = CommandStatus.STOPPED
        asked.status, asked.detail = status, detail
        self.changed = True
        self.command = None

    def _event(self, event: InstrumentEvent, number: int) -> None:
        self._acks.append(number)
        if self._last_event is not None and seq_distance(number, self._last_event) <= 0:
            return  # again, or held back on its way
        self._last_event = number
        self.told.append((event, self._clock.host_time(event.time_ms)))


_ADVICE = {
    CommandStatus.FAILED: "look at the instrument",
    CommandStatus.UNSUPPORTED: "update its firmware",
    CommandStatus.BAD_ARGUMENT: "correct the values",
    CommandStatus.EXPIRED: "give it more time",
    CommandStatus.STOPPED: "give it again when nothing is in the way",
    CommandStatus.BUSY: "wait until it has finished what it does",
}


def outcome(name: str, asked: Asked) -> int:
    """Return the detail of a command that was done; whoever waited for it has waited long enough.

    :raises CommandFailedError: it was not done.
    :raises CommandInDoubtError: nobody can know.
    """
    if asked.status is CommandStatus.DONE:
        return asked.detail
    if asked.status is not None:
        raise CommandFailedError(
            f"the instrument has not carried out {name}: {asked.status.name.lower().replace('_', ' ')} "
            f"(detail {asked.detail}); {_ADVICE[asked.status]}",
            asked.status,
            asked.detail,
        )
    if asked.boot_id is None:
        raise CommandFailedError(
            f"{name} was not sent in time, the instrument was away; give it again", CommandStatus.EXPIRED
        )
    raise CommandInDoubtError(
        f"{name} may have been carried out or not: the instrument, or the way to it, was lost meanwhile; "
        "look at it before you go on"
    )
