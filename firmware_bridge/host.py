"""The host's end without input or output: greeting, resuming, delivering from a store. Time is given."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from firmware_bridge.control import Control
from firmware_bridge.delivery import Sender
from firmware_bridge.errors import ProtocolError
from firmware_bridge.messages import (
    Ack,
    Heartbeat,
    Hello,
    HelloAck,
    Message,
    Nak,
    NewStream,
    Stop,
    decode_message,
    redelivered,
)
from firmware_bridge.protocol import SEQ_MASK, Frame, FrameDecoder, encode_frame
from firmware_bridge.resume import decide
from firmware_bridge.schema import (
    LATER_MESSAGES,
    SCHEMA,
    SCHEMA_HASH,
    VERSION_MAJOR,
    VERSION_MINOR,
    NakReason,
    reason_name,
)
from firmware_bridge.store import Doubt, Store, random_id

GREETING_PERIOD_S = 0.25
"""An unanswered HELLO is repeated so often: many boards reset when their port is opened."""

PROBE_S = 0.5
"""An instrument that leaves messages unanswered this long is greeted again: it may have started anew."""

_NEW_STREAM_TRIES = 4
_LOW, _MANY = 128, 256  # rows that wait in the sender: read more below, so many at a time
_MOST_ROWS = 1 << 16  # more than the largest window holds


class Phase(Enum):
    """Where the connection stands."""

    OFFLINE = "offline"
    GREETING = "greeting"
    STARTING = "starting a stream"
    CONNECTED = "connected"


class Host:
    """Turns what waits in a store into bytes, and answers into acknowledgements.

    Call order: `connect` when a port is open, then `take` and `receive` in turn, `lost` when the port is gone. All
    from one thread.
    """

    def __init__(self, store: Store, baud: int, new_id: Callable[[int], int] = random_id) -> None:
        """:param new_id: gives a random number of so many bytes that is not 0."""
        self.phase = Phase.OFFLINE
        self.instrument: HelloAck | None = None
        """What the instrument told of itself when it was greeted last."""
        self.fresh_doubts: list[Doubt] = []
        """What came into doubt; the caller empties it."""
        self.greetings = 0
        """How often a greeting was answered."""
        self.control = Control(new_id(2))
        self._store = store
        self._new_id = new_id
        self._began: float | None = None
        self._decoder = FrameDecoder()
        self._connection = 0
        self._asked_at: float | None = None
        self._asked = 0
        self._read_to = store.acknowledged
        self._silent_from: float | None = None
        self.sender = Sender(baud, capacity=_MOST_ROWS)
        self._fill(store.maybe_sent - store.acknowledged)
        self.sender.begin(store.stream.seq(store.acknowledged + 1), store.maybe_sent - store.acknowledged)

    @property
    def crc_errors(self) -> int:
        return self._decoder.crc_errors

    @property
    def online(self) -> bool:
        """Whether the instrument is greeted and messages go out."""
        return self.phase is Phase.CONNECTED

    @property
    def greeting(self) -> bool:
        """Whether an answer to a greeting is awaited."""
        return self.phase in (Phase.GREETING, Phase.STARTING)

    @property
    def sent_to(self) -> int:
        """Position up to which bytes have gone out, or may have."""
        return self._store.acknowledged + self.sender.outstanding

    def connect(self) -> None:
        """A port is open, or the instrument is to be greeted again: begin with HELLO."""
        self.sender.suspend()
        self.control.lost()
        self._store.end_sending()
        self._connection = self._new_id(2)
        self.phase = Phase.GREETING
        self._silent_from = None
        self._asked_at = None
        self._asked = 0

    def lost(self) -> None:
        """The port is gone: what is not acknowledged waits for the next `connect`."""
        self.sender.suspend()
        self.control.lost()
        self._store.end_sending()
        self._decoder.feed(b"\0")
        self.phase = Phase.OFFLINE

    def take(self, now: float) -> bytes:
        """Return what is to be written now: a STOP before everything, and what is no stream before results."""
        if self.phase is Phase.OFFLINE:
            return b""
        stream = self._take_stream(now)
        urgent = self.control.take(now, lambda: self._heartbeat(now), self.sender.reply_s)
        return b"".join(map(self._frame, urgent)) + stream

    def _take_stream(self, now: float) -> bytes:
        if self.phase is Phase.CONNECTED:
            silent_s = self._silent_s(now)
            if silent_s >= PROBE_S + self.sender.wire_time_s:
                self.connect()
                self._silent_from = now - silent_s
            else:
                self.sender.on_time(now)
                if self.wants_rows:
                    self._fill(_MANY)
                return self.sender.take(now)
        if self._asked_at is not None and now - self._asked_at < GREETING_PERIOD_S:
            return b""
        if self.phase is Phase.STARTING and self._asked >= _NEW_STREAM_TRIES:
            silent_from = self._silent_from
            self.connect()
            self._silent_from = silent_from
        if self._silent_from is None:
            self._silent_from = now
        self._asked_at = now
        self._asked += 1
        question = self._hello() if self.phase is Phase.GREETING else NewStream(self._store.stream.stream_id)
        return self._frame(question)

    def receive(self, data: bytes, now: float) -> bool:
        """Take what was read; True if the instrument said anything of this connection.

        :raises ProtocolError: the two ends cannot go on.
        :raises OutboxError: the store has failed.
        """
        heard = False
        for frame in self._decoder.feed(data):
            ours = frame.connection == self._connection and self.phase is not Phase.OFFLINE
            if ours and frame.type in SCHEMA:  # a newer instrument may say more than we know
                heard = True
                message = decode_message(frame.type, frame.payload)
                if self.phase is Phase.CONNECTED or isinstance(message, Stop):
                    self.control.receive(message, frame.seq, now)
                self._take_message(message, now)
        return heard

    def wait_s(self, now: float) -> float | None:
        """Seconds until `take` is due without any answer; None while there is nothing to wait for."""
        if self.phase is Phase.OFFLINE:
            return None
        waits = [self.control.wait_s(now)]
        if self.phase is Phase.CONNECTED:
            silent_s = self._silent_s(now)
            waits.append(self.sender.wait_s(now))
            if silent_s:
                waits.append(max(0.0, PROBE_S + self.sender.wire_time_s - silent_s))
        else:
            waits.append(0.0 if self._asked_at is None else max(0.0, self._asked_at + GREETING_PERIOD_S - now))
        return min((wait_s for wait_s in waits if wait_s is not None), default=None)

    def unanswered_s(self, now: float) -> float:
        """Seconds that the instrument has left the host without any answer."""
        if self.phase is Phase.CONNECTED:
            return self._silent_s(now)
        return 0.0 if self._silent_from is None else now - self._silent_from

    @property
    def wants_rows(self) -> bool:
        """Whether the store has messages that `take` would send at once."""
        return self.phase is Phase.CONNECTED and self.sender.waiting < _LOW and self._store.sendable > self._read_to

    def _hello(self) -> Hello:
        return Hello(VERSION_MAJOR, VERSION_MINOR, LATER_MESSAGES, SCHEMA_HASH, self._store.stream.stream_id)

    def _heartbeat(self, now: float) -> Heartbeat:
        decoder = self._decoder
        self._began = now if self._began is None else self._began
        return Heartbeat(
            uptime_ms=round((now - self._began) * 1000) & SEQ_MASK,
            frames=decoder.frames & SEQ_MASK,
            crc_errors=decoder.crc_errors & SEQ_MASK,
            dropped=(decoder.malformed + decoder.oversize) & SEQ_MASK,
            overruns=0,
        )

    def _frame(self, message: Message) -> bytes:
        return encode_frame(Frame(message.TYPE, self._connection, 0, message.encode()))

    def _silent_s(self, now: float) -> float:
        return max(self.sender.silent_s(now), self.control.silent_s(now))

    def _take_message(self, message: Message, now: float) -> None:
        if self.phase is Phase.CONNECTED:
            if isinstance(message, Ack):
                self.sender.on_ack(message, now)
            elif isinstance(message, Nak) and message.reason == NakReason.NO_STREAM:
                self.connect()
            elif isinstance(message, Nak):
                self.sender.on_nak(message, now)
            self._acknowledge()
        elif isinstance(message, Nak):
            raise ProtocolError(
                f"the instrument refuses the link (reason {reason_name(message.reason)}); "
                "bring both ends to one version"
            )
        elif isinstance(message, HelloAck) and self.phase is Phase.GREETING:
            self._greeted(message, now)
        elif isinstance(message, Ack) and self.phase is Phase.STARTING:
            self._online(message.seq, message.window_bytes, now)

    def _greeted(self, hello: HelloAck, now: float) -> None:
        if hello.version_major != VERSION_MAJOR:
            raise ProtocolError(
                f"the instrument speaks protocol {hello.version_major}.{hello.version_minor}, this program "
                f"{VERSION_MAJOR}.{VERSION_MINOR}; bring both to one version"
            )
        self._fits(self.sender.largest_payload, hello)
        store, sender = self._store, self.sender
        before = store.stream
        resumption = decide(before, store.acknowledged, self.sent_to, hello, self._new_id(4))
        self.fresh_doubts += store.adopt(resumption)
        self.instrument = hello
        self.greetings += 1
        if resumption.stream.stream_id == before.stream_id:
            self._online(hello.last_applied_seq, hello.window_bytes, now)
        else:
            sender.begin(resumption.stream.seq(resumption.acknowledged + 1), 0)
            self.phase = Phase.STARTING
            self._asked_at = None
            self._asked = 0
        sender.doubt(max(0, resumption.repeated - resumption.acknowledged))

    def _online(self, last_applied_seq: int, window_bytes: int, now: float) -> None:
        self.sender.connect(self._connection, last_applied_seq, window_bytes)
        self._acknowledge()
        self._store.begin_sending()
        self._silent_from = None
        self.phase = Phase.CONNECTED
        assert self.instrument is not None
        self.control.greeted(self.instrument, now)

    def _acknowledge(self) -> None:
        reached = self._read_to - self.sender.pending
        if reached > self._store.acknowledged:
            self._store.acknowledge(reached)

    def _fill(self, count: int) -> None:
        for row in self._store.read(self._read_to, count) if count else ():
            if self.instrument is not None:
                self._fits(len(row.payload), self.instrument)
            payload = redelivered(row.kind, row.payload) if row.doubted else row.payload
            self.sender.enqueue(row.kind, payload)
            self._read_to = row.position

    def _fits(self, size: int, instrument: HelloAck) -> None:
        if size > instrument.largest_payload:
            raise ProtocolError(
                f"the instrument takes {instrument.largest_payload} bytes, a message that waits for it has {size}; "
                "update its firmware"
            )
