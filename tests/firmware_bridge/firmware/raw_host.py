"""A host that sends what a test wants and tells everything that comes."""

from __future__ import annotations

import time
from types import TracebackType

from firmware_bridge.messages import Hello, Message, decode_message
from firmware_bridge.protocol import Frame, FrameDecoder, encode_frame
from firmware_bridge.schema import HOST_CAPABILITIES, SCHEMA_HASH
from firmware_bridge.transport import SerialPort
from tests.firmware_bridge.firmware.bench import BAUD, PATIENCE_S

_ASK_AGAIN_S = 0.2


class RawHost:
    """Greeted with ``capabilities`` on one connection; ``heard`` are all frames of it since."""

    def __init__(self, port: str, connection: int = 7, capabilities: int = HOST_CAPABILITIES) -> None:
        self.connection = connection
        self.heard: list[Frame] = []
        self._port = SerialPort(port, BAUD)
        self._decoder = FrameDecoder()
        self.ask(Hello(1, 1, capabilities, SCHEMA_HASH, 1))

    def send(self, message: Message, connection: int | None = None) -> None:
        connection = self.connection if connection is None else connection
        self._port.write(encode_frame(Frame(message.TYPE, connection, 0, message.encode())))

    def listen(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.heard += self._decoder.feed(self._port.read(left))

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
