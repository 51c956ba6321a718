"""A host that sends what a test wants and tells everything that comes."""

from __future__ import annotations

import time
from types import TracebackType

from firmware_bridge.messages import Heartbeat, Hello, Message, decode_message
from firmware_bridge.protocol import Frame, FrameDecoder, encode_frame
from firmware_bridge.schema import LATER_MESSAGES, SCHEMA_HASH, MessageType
from firmware_bridge.transport import SerialPort
from tests.firmware_bridge.firmware.bench import BAUD, PATIENCE_S

_ASK_AGAIN_S = 0.2


class RawHost:
    """Greeted with ``capabilities`` on one connection; ``heard`` are all frames of it since."""

    def __init__(self, port: str, connection: int = 7, capabilities: int = LATER_MESSAGES) -> None:
        self.connection = connection
        self.heard: list[Frame] = []
        self._port = SerialPort(port, BAUD)
        self._decoder = FrameDecoder()
        self.ask(Hello(1, 1, capabilities, SCHEMA_HASH, 1))

    def send(self, message: Message, connection: int | None = None) -> None:
        connection = self.connection if connection is None else connection
        self._port.write(encode_frame(Frame(message.TYPE, connection, 0, message.encode())))

    def write(self, data: bytes) -> None:
        self._port.write(data)

    def listen(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.heard += self._decoder.feed(self._port.read(left))

    def listen_for(self, *kinds: MessageType, within_s: float = PATIENCE_S) -> None:
        """Listen until a frame of each of these types has come.

        :raises AssertionError: it did not.
        """
        deadline = time.monotonic() + within_s
        while missing := set(kinds) - {frame.type for frame in self.heard}:
            assert time.monotonic() < deadline, f"not heard: {missing}"
            self.heard += self._decoder.feed(self._port.read(0.1))

    def heartbeat(self, within_s: float = PATIENCE_S) -> Heartbeat:
        """Return the board's; what was sent before has been answered then."""
        before, deadline = len(self.heard), time.monotonic() + within_s
        while True:
            assert time.monotonic() < deadline, "no heartbeat"
            self.send(Heartbeat(0, 0, 0, 0, 0))
            self.listen(_ASK_AGAIN_S / 4)
            for frame in self.heard[before:]:
                told = decode_message(frame.type, frame.payload)
                if isinstance(told, Heartbeat):
                    return told

    def ask(self, message: Message, connection: int | None = None, within_s: float = PATIENCE_S) -> Message:
        """Return the next frame, after asking as often as need be.

        :raises AssertionError: there is none.
        """
        deadline = time.monotonic() + within_s
        before = len(self.heard)
        while len(self.heard) == before:
            assert time.monotonic() < deadline, f"no answer to {message}"
            self.send(message, connection)
            again = time.monotonic() + _ASK_AGAIN_S
            while len(self.heard) == before and (left := again - time.monotonic()) > 0:
                self.heard += self._decoder.feed(self._port.read(left))
        frame = self.heard[before]
        return decode_message(frame.type, frame.payload)

    def __enter__(self) -> RawHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._port.close()
