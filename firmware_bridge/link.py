"""The host's end of the serial link: an open port, a greeted instrument, and one thread that delivers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

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
from firmware_bridge.events import Connected, Disconnected, Event, InDoubt, LinkCounters
from firmware_bridge.host import Host
from firmware_bridge.messages import CellResult, Differential, HelloAck
from firmware_bridge.outbox import Outbox
from firmware_bridge.ports import stable_name
from firmware_bridge.store import Doubt, MemoryStore, Store
from firmware_bridge.transport import SerialPort
from firmware_bridge.transport_url import open_port

SILENCE_LIMIT_S = 3.0
"""The link is dead when sent messages stay without any answer this long; from the protocol's design."""

RETRY_S = 0.03
"""A lost port is looked for so often."""

REOPEN_S = 10.0
"""A port behind which nothing answers this long is opened anew."""

_STOP_DEADLINE_S = 5.0


class InstrumentLink:
    """A link to one instrument, to be opened by `open` and used as a context manager.

    A port that vanishes, or an instrument that falls silent, is looked for again by itself. Closing does not wait for
    answers: `drain` first. Any thread may call any method.
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
    ) -> InstrumentLink:
        """Open the port, greet the instrument, and start delivering: first what an outbox holds from before.

        HELLO is repeated until answered, since many boards reset when their port is opened.

        :param outbox: the file in which messages wait until they are acknowledged, made where there is none.
            Without one they wait in memory, and are lost with the process.
        :param reconnect_s: how long an instrument that is lost is looked for before `send` and `drain` raise; None
            for as long as the link is open.
        :param on_event: called from the link's thread; return soon, and hand over to your own thread or loop.
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
            return cls(serial_port, baud, hello_timeout_s, store, reconnect_s, on_event)
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
    ) -> None:
        self._path, self._baud = port.path, baud
        self._port: SerialPort | None = port
        self._store = store
        self._changed = store.changed
        self._reconnect_s = reconnect_s
        self._on_event = on_event
        self._host = Host(store, baud)
        self._in_doubt = 0
        self._asleep = False
        self._closed = threading.Event()
        self._error: Exception | None = None
        self._trouble: LinkError | None = None
        store.watch = self._wake
        self._thread = threading.Thread(target=self._run, name=f"instrument link {port.path}", daemon=True)
        self.instrument: HelloAck
        """What the instrument told of itself when it was greeted last."""
        self._greet(hello_timeout_s)

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

    def drain(self, timeout_s: float) -> int:
        """Wait until every message is acknowledged, at most so many seconds; return how many are not.

        :raises OutboxError: the outbox has failed.
        :raises LinkError: the link has died (the error it died of), or it is closed and messages remain.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._pending or not self._alive(), timeout_s)
            if self._pending or self._error is not None:
                self._check()
            return self._pending

    @property
    def in_doubt(self) -> Sequence[Doubt]:
        """Every message of this link, with an outbox of every earlier one too, that came into doubt; oldest first."""
        return self._store.doubts()

    @property
    def trouble(self) -> LinkError | None:
        """Why nothing is delivered at the moment; None while the instrument is there."""
        return self._trouble

    @property
    def counters(self) -> LinkCounters:
        """The counters now."""
        host, sender = self._host, self._host.sender
        return LinkCounters(
            sender.sent,
            sender.acknowledged,
            sender.retransmitted,
            sender.naks,
            host.crc_errors,
            self._pending,
            max(0, host.greetings - 1),
            self._in_doubt,
        )

    def close(self) -> None:
        """Stop delivering and close the port. What is not acknowledged waits in the outbox, or is given up without
        one; closing twice is without effect.

        :raises LinkError: the thread did not stop within 5 s; the port stays open.
        """
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
            port = self._port
            if port is not None:
                port.cancel()
        self._thread.join(_STOP_DEADLINE_S)
        if self._thread.is_alive():
            raise LinkError(f"the link to {self._path} did not stop in {_STOP_DEADLINE_S:g} s; end this program")
        self._release_port()
        self._store.close(self._host.sent_to)

    def __enter__(self) -> InstrumentLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _pending(self) -> int:
        return self._store.last - self._store.acknowledged

    def _alive(self) -> bool:
        return self._error is None and not self._closed.is_set()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._closed.is_set():
            raise LinkError(f"the link to {self._path} is closed; open it again")

    def _greet(self, timeout_s: float) -> None:
        """Greet for the first time, in the thread that opens the link; then let the link's thread go on."""
        deadline = time.monotonic() + timeout_s
        self._host.connect()
        while not self._host.online:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise NoAnswerError(
                    f"no instrument answered on {self._path} within {timeout_s:g} s; "
                    "check its cable, its power and the baud rate"
                )
            self._step(left_s)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                try:
                    self._deliver()
                except (PortLostError, NoAnswerError) as error:
                    self._lose(error)
        except Exception as error:
            self._die(error)

    def _deliver(self) -> None:
        """Write what may go and take what has come, until it is time to stop.

        :raises PortLostError: the port vanished.
        :raises NoAnswerError: the instrument fell silent.
        """
        while not self._closed.is_set():
            heard = self._step(None)
            now = time.monotonic()
            silent_s = self._host.unanswered_s(now)
            # judged only after reading, so that a host that slept itself finds the answers that came meanwhile
            if not heard and silent_s > SILENCE_LIMIT_S + self._host.sender.wire_time_s:
                raise NoAnswerError(
                    f"the instrument on {self._path} stopped answering {silent_s:.1f} s ago; "
                    "check it, then open the link again"
                )

    def _step(self, most_s: float | None) -> bool:
        """Write and read once; True if anything came."""
        host, port = self._host, self._port
        assert port is not None
        if self._store.error is not None:
            raise self._store.error
        data = host.take(time.monotonic())
        if data:
            port.write(data)
        self._asleep = True
        if host.wants_rows:  # came between `take` and going to sleep
            self._asleep = False
            return False
        wait_s = host.wait_s(time.monotonic())
        received = port.read(most_s if wait_s is None else wait_s if most_s is None else min(wait_s, most_s))
        self._asleep = False
        was_online, greetings = host.online, host.greetings
        host.receive(received, time.monotonic())
        if host.greetings > greetings:
            assert host.instrument is not None
            self.instrument = host.instrument
        if host.fresh_doubts:
            doubts, host.fresh_doubts = host.fresh_doubts, []
            self._in_doubt += len(doubts)
            self._tell(InDoubt(doubts))
        if host.online and not was_online:
            self._trouble = None
            self._tell(Connected(self.instrument))
        return bool(received)

    def _lose(self, error: LinkError) -> None:
        """Look for a port or an instrument that is gone, until it answers.

        :raises LinkError: it stayed away too long.
        """
        began = time.monotonic()
        self._trouble = error
        self._host.lost()
        self._tell(Disconnected(error))
        if not isinstance(error, NoAnswerError):
            self._release_port()
        while not self._closed.is_set() and not self._host.online:
            if self._reconnect_s is not None and time.monotonic() - began >= self._reconnect_s:
                raise error
            try:
                self._look()
            except (PortAbsentError, PortBusyError, PortDeniedError, PortLostError):
                self._host.lost()
                self._release_port()
                self._closed.wait(RETRY_S)

    def _look(self) -> None:
        """Greet once more, on a port that is opened where there is none.

        A port that is open stays so for a while: opening it again would reset many a board that is just starting.
        """
        if self._port is None or self._host.unanswered_s(time.monotonic()) > REOPEN_S:
            self._host.lost()
            self._release_port()
            port = open_port(self._path, self._baud)
            with self._changed:
                self._port = port
        if not self._host.greeting:
            self._host.connect()
        self._step(RETRY_S)

    def _release_port(self) -> None:
        with self._changed:
            port, self._port = self._port, None
        if port is not None:
            port.close()

    def _die(self, error: Exception) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()
        self._store.fail()

    def _tell(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)

    def _wake(self) -> None:
        if self._asleep and (self._host.wants_rows or self._store.error is not None):
            self._asleep = False
            with self._changed:
                if self._port is not None:
                    self._port.wake()
