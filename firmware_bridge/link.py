"""The host's end of the serial link, as a program uses it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from firmware_bridge.commands import InstrumentCommand
from firmware_bridge.control import ANSWER_GRACE_S, outcome
from firmware_bridge.courier import Courier
from firmware_bridge.errors import (
    CommandFailedError,
    LinkError,
    NoAnswerError,
    ProtocolError,
    QueueFullError,
)
from firmware_bridge.events import Connected, Event, LinkCounters
from firmware_bridge.messages import CellResult, Differential, Heartbeat, HelloAck
from firmware_bridge.outbox import Outbox
from firmware_bridge.ports import stable_name
from firmware_bridge.schema import Capability, CommandStatus, capability_names
from firmware_bridge.store import Doubt, MemoryStore, Store
from firmware_bridge.transport import SerialPort
from firmware_bridge.transport_url import open_port

KEPT_EVENTS = 1000
"""Events that wait for `Instrument.events`."""


class Instrument:
    """A link to one instrument, to be opened by `open` and used as a context manager.

    A port that vanishes, or an instrument that falls silent, is looked for again by itself. Closing does not wait for
    answers: `drain` first. Any thread may call any method; with an outbox `send` never waits, so that an event loop
    may call it too.
    """

    @classmethod
    def open(
        cls,
        port: str,
        *,
        baud: int = 115200,
        hello_timeout_s: float = 3.0,
        outbox: str | Path | None = None,
        reconnect_s: float | None = 10.0,
        on_event: Callable[[Event], None] | None = None,
        on_acknowledged: Callable[[int], None] | None = None,
    ) -> Instrument:
        """Open the port, greet the instrument, and start delivering: first what an outbox holds from before.

        HELLO is repeated until answered, since many boards reset when their port is opened.

        :param outbox: the file in which messages wait until they are acknowledged, made where there is none.
            Without one they wait in memory, and are lost with the process.
        :param reconnect_s: how long an instrument that is lost is looked for before `send` and `drain` raise; None
            for as long as the link is open.
        :param on_event: called with each event, from the thread that opens the link until it is open, then from the
            link's own; return soon, and hand over to your thread or loop.
        :param on_acknowledged: called from the link's thread when the instrument has acknowledged more, with how many
            of all messages that were ever put into the outbox it has by now.
        :raises PortAbsentError, PortDeniedError, PortBusyError: the port does not open.
        :raises PortLostError: the port vanished meanwhile.
        :raises NoAnswerError: nothing answered within ``hello_timeout_s`` seconds.
        :raises ProtocolError: the instrument speaks another version, or its stream can't be gone on with.
        :raises OutboxError: the outbox can't be used.
        :raises ValueError: the baud rate is not positive.
        """
        serial_port = open_port(stable_name(port), baud)
        store: Store | None = None
        try:
            store = MemoryStore() if outbox is None else Outbox(outbox)
            return cls(serial_port, baud, hello_timeout_s, store, reconnect_s, on_event, on_acknowledged)
        except BaseException:
            serial_port.close()
            if store is not None:
                store.close()
            raise

    def __init__(
        self,
        port: SerialPort,
        baud: int,
        hello_timeout_s: float,
        store: Store,
        reconnect_s: float | None,
        on_event: Callable[[Event], None] | None,
        on_acknowledged: Callable[[int], None] | None = None,
    ) -> None:
        self._store = store
        self._changed = store.changed
        self._on_event = on_event
        self._events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._courier = Courier(port, baud, store, reconnect_s, self._tell)
        self._courier.acknowledged = on_acknowledged
        self.instrument: HelloAck
        """What the instrument told of itself when it was greeted last."""
        self._courier.greet(hello_timeout_s)

    def send(self, message: CellResult | Differential, *, durable: bool = False) -> None:
        """Hand a message over for delivery. Never waits with an outbox; without one, while the queue is full.

        :param durable: wait until the message is on disk.
        :raises ProtocolError: a value does not fit its field, or the message the instrument; nothing is
            queued.
        :raises OutboxError: the outbox is full or has failed.
        :raises LinkError: the link has died (the error it died of) or is closed.
        """
        payload = message.encode()
        if len(payload) > self.instrument.largest_payload:
            raise ProtocolError(
                f"the instrument takes {self.instrument.largest_payload} bytes, {message.TYPE.name} has "
                f"{len(payload)}; update its firmware"
            )
        self._check()
        try:
            self._store.put(message.TYPE, payload)
        except QueueFullError:
            self._check()
            raise
        if durable:
            self._store.flush()

    def command(self, command: InstrumentCommand, *, deadline_s: float = 5.0) -> int:
        """Have the instrument do something once, and wait until it has; returns what it says of it, mostly 0.

        One at a time: others wait for their turn, within their own deadline. Not for use in ``on_event``. In an event
        loop: ``await asyncio.to_thread(link.command, MoveStage(0, 0, 0))``.

        :param deadline_s: what is not done so soon is abandoned by the instrument, and stands still.
        :raises CommandFailedError: the instrument has not done it: ``status`` says why (failed, unsupported, bad
            argument, expired, stopped, busy).
        :raises CommandInDoubtError: the instrument, or the way to it, was lost meanwhile: it may have been done.
        :raises ProtocolError: a value does not fit, or the instrument does not know the command; nothing was sent.
        :raises LinkError: the link has died or is closed; nothing was sent.
        """
        if threading.current_thread() is self._courier.thread:
            raise LinkError("a command can't be given from on_event, which runs in the link's own thread; hand it over")
        deadline = time.monotonic() + deadline_s
        arguments = command.arguments()
        self._needs(command.NEEDS, f"a command of type {type(command).__name__}")
        control = self._courier.host.control
        with self._changed:
            self._changed.wait_for(lambda: control.command is None or not self._alive(), deadline_s)
            self._check()
            if control.command is not None:
                raise CommandFailedError(
                    f"another command kept the instrument on {self._courier.path} busy for {deadline_s:g} s; "
                    "wait for its end or stop it",
                    CommandStatus.BUSY,
                )
            asked = control.begin(command.OPCODE, arguments, deadline)
        self._courier.wake()
        with self._changed:
            left_s = deadline + ANSWER_GRACE_S - time.monotonic()
            self._changed.wait_for(lambda: asked.ended or not self._alive(), left_s)
            control.withdraw(asked)
            self._changed.notify_all()
        if not asked.ended and asked.boot_id is None:
            self._check()
        return outcome(type(command).__name__, asked)

    def stop(self, timeout_s: float = 1.0) -> None:
        """Stop whatever moves, at once, ahead of everything that waits; a running command ends as stopped.

        :raises NoAnswerError: the instrument has not confirmed it in time: use its own switch.
        :raises ProtocolError: the instrument knows no STOP.
        :raises LinkError: the link has died or is closed.
        """
        self._check()
        self._needs(Capability.COMMAND, "STOP")
        with self._changed:
            halt = self._courier.host.control.stop()
        self._courier.wake()
        with self._changed:
            if not self._changed.wait_for(lambda: halt.answered or not self._alive(), timeout_s) or not halt.answered:
                raise NoAnswerError(
                    f"the instrument on {self._courier.path} has not confirmed STOP within {timeout_s:g} s; "
                    "use its own switch"
                )

    def drain(self, timeout_s: float) -> int:
        """Wait until every message is acknowledged, at most so many seconds; return how many are not.

        :raises OutboxError: the outbox has failed.
        :raises LinkError: the link has died (the error it died of), or it is closed and messages remain.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._pending or not self._alive(), timeout_s)
            if self._pending or self._courier.error is not None:
                self._check()
            return self._pending

    def events(self, timeout_s: float | None = None) -> Iterator[Event]:
        """Give events as they come, from the first `Connected` on, each to one taker; end when the link is closed,
        has died, or nothing has come for so many seconds. Of events that nobody takes the newest thousand are kept.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._events or not self._alive(), timeout_s)
                if not self._events:
                    return
                event = self._events.popleft()
            yield event

    @property
    def in_doubt(self) -> Sequence[Doubt]:
        """Every message of this link, with an outbox of every earlier one too, that came into doubt; oldest first."""
        return self._store.doubts()

    @property
    def trouble(self) -> LinkError | None:
        """Why nothing is delivered at the moment; None while the instrument is there."""
        return self._courier.trouble

    @property
    def counters(self) -> LinkCounters:
        """The counters now."""
        host, sender = self._courier.host, self._courier.host.sender
        return LinkCounters(
            sender.sent,
            sender.acknowledged,
            sender.retransmitted,
            sender.naks,
            host.crc_errors,
            self._pending,
            max(0, host.greetings - 1),
            self._courier.in_doubt,
        )

    @property
    def heartbeat(self) -> Heartbeat | None:
        """What the instrument told last of its end of the link, each second where it can."""
        return self._courier.host.control.heartbeat

    def close(self) -> None:
        """Stop delivering and close the port. What is not acknowledged waits in the outbox, or is given up without
        one; closing twice is without effect.

        :raises LinkError: the thread did not stop within 5 s; the port stays open.
        """
        self._courier.close()
        self._store.close(self._courier.host.sent_to)

    def __repr__(self) -> str:
        state = (
            "closed"
            if self._courier.closed.is_set()
            else "dead"
            if self._courier.error
            else "away"
            if self._courier.trouble
            else "there"
        )
        return f"<Instrument on {self._courier.path}: {state}, {self._pending} messages wait>"

    def __enter__(self) -> Instrument:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _pending(self) -> int:
        return self._store.last - self._store.acknowledged

    def _alive(self) -> bool:
        return self._courier.error is None and not self._courier.closed.is_set()

    def _check(self) -> None:
        if self._courier.error is not None:
            raise self._courier.error.with_traceback(None)
        if self._courier.closed.is_set():
            raise LinkError(f"the link to {self._courier.path} is closed; open it again")

    def _needs(self, capabilities: Capability, what: str) -> None:
        missing = capabilities & ~Capability(self.instrument.capabilities)
        if missing:
            names = ", ".join(capability_names(missing))
            raise ProtocolError(f"the instrument does not know {what} ({names}); update its firmware")

    def _tell(self, event: Event) -> None:
        if isinstance(event, Connected):
            self.instrument = event.instrument
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()
        if self._on_event is not None:
            self._on_event(event)


InstrumentLink = Instrument
"""The class's earlier name."""
