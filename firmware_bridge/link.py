"""The host's end of the serial link: an open port, a greeted instrument, and one thread that delivers."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from firmware_bridge.delivery import Sender
from firmware_bridge.errors import LinkError, NoAnswerError, ProtocolError
from firmware_bridge.messages import (
    SCHEMA_HASH,
    VERSION_MAJOR,
    VERSION_MINOR,
    Ack,
    CellResult,
    Differential,
    Hello,
    HelloAck,
    Message,
    Nak,
    NewStream,
    decode_message,
    reason_name,
)
from firmware_bridge.protocol import Frame, FrameDecoder, encode_frame
from firmware_bridge.transport import SerialPort

SILENCE_LIMIT_S = 3.0
"""The link is dead when sent messages stay without any answer this long; from the protocol's design."""

_GREETING_PERIOD_S = 0.25
_STOP_DEADLINE_S = 5.0

_Answer = TypeVar("_Answer", HelloAck, Ack)


def _random_id(size: int) -> int:
    """Return a random number of so many bytes that is not 0."""
    return int.from_bytes(os.urandom(size), "little") or 1


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """What the link has done since it was opened.

    ``sent`` and ``acknowledged`` count messages, each once; ``retransmitted`` counts frames sent again;
    ``naks`` refusals; ``crc_errors`` frames from the instrument that failed their checksum.
    """

    sent: int
    acknowledged: int
    retransmitted: int
    naks: int
    crc_errors: int


class InstrumentLink:
    """A link to one instrument, to be opened by `open` and used as a context manager.

    Closing does not wait for answers: `drain` first. Any thread may call any method.
    """

    @classmethod
    def open(cls, port: str, *, baud: int = 115200, hello_timeout_s: float = 3.0) -> InstrumentLink:
        """Open the port, greet the instrument, start a new stream on it, and start delivering.

        HELLO is repeated until answered, since many boards reset when their port is opened.

        :raises PortAbsentError, PortDeniedError, PortBusyError: the port does not open.
        :raises PortLostError: the port vanished meanwhile.
        :raises NoAnswerError: nothing answered within ``hello_timeout_s`` seconds.
        :raises ProtocolError: the instrument speaks another version.
        :raises ValueError: the baud rate is not positive.
        """
        serial_port = SerialPort(port, baud)
        try:
            return cls(serial_port, baud, hello_timeout_s)
        except BaseException:
            serial_port.close()
            raise

    def __init__(self, port: SerialPort, baud: int, hello_timeout_s: float) -> None:
        self._port = port
        self._decoder = FrameDecoder()
        self._connection = _random_id(2)
        self._stream_id = _random_id(4)
        self._sender = Sender(baud)
        self._changed = threading.Condition(threading.Lock())
        self._asleep = False
        self._closed = False
        self._error: Exception | None = None
        self.instrument = self._greet(hello_timeout_s)
        """What the instrument told of itself."""
        self._thread = threading.Thread(target=self._run, name=f"instrument link {port.path}", daemon=True)
        self._thread.start()

    def send(self, message: CellResult | Differential) -> None:
        """Queue a message for delivery; wait while the queue is full.

        :raises ProtocolError: a value does not fit its field, or the message the instrument; nothing is
            queued.
        :raises LinkError: the link has died (the error it died of) or is closed.
        """
        payload = message.encode()
        if len(payload) > self.instrument.largest_payload:
            raise ProtocolError(
                f"the instrument takes {self.instrument.largest_payload} bytes, {message.TYPE.name} has "
                f"{len(payload)}; update its firmware"
            )
        with self._changed:
            while self._sender.full and self._alive():
                self._changed.wait()
            self._check()
            self._sender.enqueue(message.TYPE, payload)
            if self._asleep and self._sender.ready:
                self._asleep = False
                self._port.wake()

    def drain(self, timeout_s: float) -> int:
        """Wait until every message is acknowledged, at most so many seconds; return how many are not.

        :raises LinkError: the link has died (the error it died of), or it is closed and messages remain.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._sender.pending or not self._alive(), timeout_s)
            if self._sender.pending or self._error is not None:
                self._check()
            return self._sender.pending

    @property
    def counters(self) -> LinkCounters:
        """The counters now."""
        with self._changed:
            sender = self._sender
            return LinkCounters(
                sender.sent, sender.acknowledged, sender.retransmitted, sender.naks, self._decoder.crc_errors
            )

    def close(self) -> None:
        """Stop delivering and close the port. What is not acknowledged is given up; closing twice is
        without effect.

        :raises LinkError: the thread did not stop within 5 s; the port stays open.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            if self._thread.is_alive():
                self._port.cancel()
        self._thread.join(_STOP_DEADLINE_S)
        if self._thread.is_alive():
            raise LinkError(f"the link to {self._port.path} did not stop in {_STOP_DEADLINE_S:g} s; end this program")
        self._port.close()

    def __enter__(self) -> InstrumentLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _alive(self) -> bool:
        return self._error is None and not self._closed

    def _check(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._closed:
            raise LinkError(f"the link to {self._port.path} is closed; open it again")

    def _greet(self, timeout_s: float) -> HelloAck:
        deadline = time.monotonic() + timeout_s
        hello = Hello(VERSION_MAJOR, VERSION_MINOR, 0, SCHEMA_HASH, self._stream_id)
        answer = self._ask(hello, HelloAck, deadline, timeout_s)
        if answer.version_major != VERSION_MAJOR:
            raise ProtocolError(
                f"the instrument speaks protocol {answer.version_major}.{answer.version_minor}, this program "
                f"{VERSION_MAJOR}.{VERSION_MINOR}; bring both to one version"
            )
        last_applied, window_bytes = answer.last_applied_seq, answer.window_bytes
        if answer.stream_id != self._stream_id:
            started = self._ask(NewStream(self._stream_id), Ack, deadline, timeout_s)
            last_applied, window_bytes = started.seq, started.window_bytes
        self._sender.connect(self._connection, last_applied, window_bytes)
        return answer

    def _ask(self, question: Hello | NewStream, kind: type[_Answer], deadline: float, timeout_s: float) -> _Answer:
        data = encode_frame(Frame(question.TYPE, self._connection, 0, question.encode()))
        while (now := time.monotonic()) < deadline:
            self._port.write(data)
            again = min(deadline, now + _GREETING_PERIOD_S)
            while (left := again - time.monotonic()) > 0:
                for message in self._received(self._port.read(left)):
                    if isinstance(message, kind):
                        return message
                    if isinstance(message, Nak):
                        raise ProtocolError(
                            f"the instrument on {self._port.path} refuses the link "
                            f"(reason {reason_name(message.reason)}); bring both ends to one version"
                        )
        raise NoAnswerError(
            f"no instrument answered on {self._port.path} within {timeout_s:g} s; "
            "check its cable, its power and the baud rate"
        )

    def _received(self, data: bytes) -> list[Message]:
        return [
            decode_message(frame.type, frame.payload)
            for frame in self._decoder.feed(data)
            if frame.connection == self._connection
        ]

    def _run(self) -> None:
        try:
            while self._deliver():
                pass
        except Exception as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _deliver(self) -> bool:
        """Write what may go, take what has come; False when it is time to stop."""
        with self._changed:
            if self._closed:
                return False
            now = time.monotonic()
            self._sender.on_time(now)
            data = self._sender.take(now)
            wait_s = self._sender.wait_s(now)
            self._asleep = True
        if data:
            self._port.write(data)
        received = self._port.read(wait_s)
        messages = self._received(received)
        with self._changed:
            now = time.monotonic()
            for message in messages:
                if isinstance(message, Ack):
                    self._sender.on_ack(message, now)
                elif isinstance(message, Nak):
                    self._sender.on_nak(message, now)
            silent_s = self._sender.silent_s(now)
            limit_s = SILENCE_LIMIT_S + self._sender.wire_time_s
            if messages:
                self._changed.notify_all()
        # judged only after reading, so that a host that slept itself finds the answers that came meanwhile
        if not received and silent_s > limit_s:
            raise NoAnswerError(
                f"the instrument on {self._port.path} stopped answering {silent_s:.1f} s ago; "
                "check it, then open the link again"
            )
        return True
