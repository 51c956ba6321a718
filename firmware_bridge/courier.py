"""The link's one thread: carries bytes between port and host, and finds again what was lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from firmware_bridge.errors import (
    LinkError,
    NoAnswerError,
    PortAbsentError,
    PortBusyError,
    PortDeniedError,
    PortLostError,
)
from firmware_bridge.events import Connected, Disconnected, Event, InDoubt, Logged, Reported
from firmware_bridge.host import Host
from firmware_bridge.messages import Log
from firmware_bridge.store import Store
from firmware_bridge.transport import SerialPort
from firmware_bridge.transport_url import open_port

SILENCE_LIMIT_S = 3.0
"""The link is dead when sent messages stay without any answer this long; from the protocol's design."""

RETRY_S = 0.03
"""A lost port is looked for so often."""

REOPEN_S = 10.0
"""A port behind which nothing answers this long is opened anew."""

_STOP_DEADLINE_S = 5.0


class Courier:
    """Delivers what is in a store over an open port. `greet`, then the thread runs until `close`."""

    def __init__(
        self, port: SerialPort, baud: int, store: Store, reconnect_s: float | None, tell: Callable[[Event], None]
    ) -> None:
        self.host = Host(store, baud)
        self.closed = threading.Event()
        self.error: Exception | None = None
        """What the link died of."""
        self.trouble: LinkError | None = None
        """Why nothing is delivered at the moment."""
        self.in_doubt = 0
        self.path = port.path
        self._baud = baud
        self._port: SerialPort | None = port
        self._store = store
        self._changed = store.changed
        self._reconnect_s = reconnect_s
        self._tell = tell
        self.acknowledged: Callable[[int], None] | None = None
        """Called, from the link's thread, when more messages are acknowledged: with the last one's position."""
        self._asleep = False
        store.watch = self.wake
        self.thread = threading.Thread(target=self._run, name=f"instrument link {port.path}", daemon=True)

    def close(self) -> None:
        """Stop and close the port.

        :raises LinkError: the thread did not stop within 5 s; the port stays open.
        """
        self.closed.set()
        with self._changed:
            self._changed.notify_all()
            if self._port is not None:
                self._port.cancel()
        self.thread.join(_STOP_DEADLINE_S)
        if self.thread.is_alive():
            raise LinkError(f"the link to {self.path} did not stop in {_STOP_DEADLINE_S:g} s; end this program")
        self._release_port()

    def greet(self, timeout_s: float) -> None:
        """Greet for the first time, in the thread that opens the link; then let the link's thread go on.

        :raises LinkError: nothing answered in time, or it can't be gone on with.
        """
        deadline = time.monotonic() + timeout_s
        self.host.connect()
        while not self.host.online:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise NoAnswerError.to_hello(self.path, timeout_s)
            self._step(left_s)
        self.thread.start()

    def _run(self) -> None:
        try:
            while not self.closed.is_set():
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
        while not self.closed.is_set():
            heard = self._step(None)
            silent_s = self.host.unanswered_s(time.monotonic())
            limit_s = SILENCE_LIMIT_S + self.host.sender.wire_time_s
            # judged only after reading, so that a host that slept itself finds the answers that came meanwhile; but
            # one that babbles and never answers is silent too
            if silent_s > (2 * limit_s if heard else limit_s):
                raise NoAnswerError(
                    f"the instrument on {self.path} stopped answering {silent_s:.1f} s ago; "
                    "check it, then open the link again"
                )

    def _step(self, most_s: float | None) -> bool:
        """Write and read once; True if anything came."""
        host, port = self.host, self._port
        assert port is not None
        if self._store.error is not None:
            raise self._store.error
        if host.control.stop_waits:
            port.discard_output()
        data = host.take(time.monotonic())
        if data:
            port.write(data)
        self._news()
        self._asleep = True
        if host.wants_rows or host.control.fresh:  # came between `take` and going to sleep
            self._asleep = False
            return False
        wait_s = host.wait_s(time.monotonic())
        received = port.read(most_s if wait_s is None else wait_s if most_s is None else min(wait_s, most_s))
        self._asleep = False
        was_online = host.online
        before = self._store.acknowledged
        host.receive(received, time.monotonic())
        if self.acknowledged is not None and self._store.acknowledged > before:
            self.acknowledged(self._store.acknowledged)
        self._news()
        if host.fresh_doubts:
            doubts, host.fresh_doubts = host.fresh_doubts, []
            self.in_doubt += len(doubts)
            self._tell(InDoubt(doubts))
        if host.online and not was_online and host.instrument is not None:
            self.trouble = None
            self._tell(Connected(host.instrument))
        return bool(received)

    def _news(self) -> None:
        """Hand over what the instrument told beside the stream."""
        control = self.host.control
        if control.changed:
            control.changed = False
            with self._changed:
                self._changed.notify_all()
        told, control.told = control.told, []
        for message in told:
            if isinstance(message, Log):
                self._tell(Logged(message.level, message.text))
                continue
            event, happened = message
            ago_s = 0.0 if happened is None else time.monotonic() - happened
            self._tell(Reported(event, time.time_ns() - round(ago_s * 1e9)))

    def _lose(self, error: LinkError) -> None:
        """Look for a port or an instrument that is gone, until it answers.

        :raises LinkError: it stayed away too long.
        """
        began = time.monotonic()
        self.trouble = error
        self.host.lost()
        self._tell(Disconnected(error))
        if not isinstance(error, NoAnswerError):
            self._release_port()
        while not self.closed.is_set() and not self.host.online:
            if self._reconnect_s is not None and time.monotonic() - began >= self._reconnect_s:
                raise error
            try:
                self._look()
            except (PortAbsentError, PortBusyError, PortDeniedError, PortLostError):
                self.host.lost()
                self._release_port()
                self.closed.wait(RETRY_S)

    def _look(self) -> None:
        """Greet once more, on a port that is opened where there is none.

        A port that is open stays so for a while: opening it again would reset many a board that is just starting.
        """
        if self._port is None or self.host.unanswered_s(time.monotonic()) > REOPEN_S:
            self.host.lost()
            self._release_port()
            port = open_port(self.path, self._baud)
            with self._changed:
                self._port = port
        if not self.host.greeting:
            self.host.connect()
        self._step(RETRY_S)

    def _release_port(self) -> None:
        with self._changed:
            port, self._port = self._port, None
        if port is not None:
            port.close()

    def _die(self, error: Exception) -> None:
        with self._changed:
            self.error = error
            self._changed.notify_all()
        self._store.fail()

    def wake(self) -> None:
        if self._asleep and (self.host.wants_rows or self.host.control.fresh or self._store.error is not None):
            self._asleep = False
            with self._changed:
                if self._port is not None:
                    self._port.wake()
