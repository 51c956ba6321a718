"""Delivery over a bad line in simulated time: each message takes effect once, in order."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.delivery import Sender
from firmware_bridge.errors import ProtocolError, QueueFullError
from firmware_bridge.messages import Ack, CellResult, Hello, HelloAck, Nak, NewStream, decode_message
from firmware_bridge.protocol import Frame, FrameDecoder, encode_frame, seq_distance
from firmware_bridge.receiver import Receiver
from firmware_bridge.schema import SCHEMA_HASH, MessageType, NakReason

BAUD = 115200
WINDOW = 300
FRAME_BYTES = 38


def cell(cell_id: int) -> CellResult:
    return CellResult(cell_id, 0, "monocyte", 1.0, (0, 0, 1, 1))


def frame_of(cell_id: int, seq: int, connection: int = 7) -> Frame:
    return Frame(MessageType.CELL_RESULT, connection, seq, cell(cell_id).encode())


def greet(receiver: Receiver, connection: int, stream_id: int = 5) -> HelloAck:
    hello = Hello(1, 0, 0, SCHEMA_HASH, stream_id)
    answer, applied = receiver.receive(Frame(MessageType.HELLO, connection, 0, hello.encode()))
    assert answer is not None
    assert applied is None
    assert answer.connection == connection
    message = decode_message(answer.type, answer.payload)
    assert isinstance(message, HelloAck)
    return message


def greeted(window_bytes: int = WINDOW, connection: int = 7) -> Receiver:
    receiver = Receiver(boot_id=1, window_bytes=window_bytes)
    greet(receiver, connection)
    receiver.receive(Frame(MessageType.NEW_STREAM, connection, 0, NewStream(5).encode()))
    return receiver


def connected(capacity: int = 1000, last: int = 0) -> Sender:
    sender = Sender(BAUD, capacity)
    sender.connect(7, last, WINDOW)
    return sender


def fill(sender: Sender, count: int) -> None:
    for number in range(1, count + 1):
        sender.enqueue(MessageType.CELL_RESULT, cell(number).encode())


def seqs(data: bytes) -> list[int]:
    return [frame.seq for frame in FrameDecoder().feed(data)]


@dataclass(frozen=True)
class Faults:
    """Chances per frame and direction, and the longest extra delay in seconds."""

    drop: float
    double: float
    flip: float
    delay_s: float


class BadLine:
    """Carries frames both ways in simulated time, badly; late ones overtake each other."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.faults = faults
        self.source = random.Random(seed)
        self.now = 0.0
        self.under_way: list[tuple[float, int, bool, bytes]] = []
        self.count = 0

    def carry(self, to_instrument: bool, frame: bytes) -> None:
        for _ in range(1 + (self.source.random() < self.faults.double)):
            if self.source.random() < self.faults.drop:
                continue
            data = bytearray(frame)
            if self.source.random() < self.faults.flip:
                bit = self.source.randrange(8 * len(data))
                data[bit // 8] ^= 1 << bit % 8
            self.count += 1
            arrival = self.now + 0.003 + self.source.random() * self.faults.delay_s
            heapq.heappush(self.under_way, (arrival, self.count, to_instrument, bytes(data)))


class Bench:
    """Host, line and instrument; the instrument's applied cell ids are what counts."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.line = BadLine(faults, seed)
        self.sender = Sender(BAUD)
        self.receiver = greeted()
        self.connection = 7
        self.sender.connect(7, 0, WINDOW)
        self.at_instrument, self.at_host = FrameDecoder(), FrameDecoder()
        self.applied: list[int] = []

    def reconnect(self, connection: int) -> None:
        """Greet again over a good line, while old frames are still under way."""
        self.connection = connection
        answer = greet(self.receiver, connection)
        assert answer.stream_id == 5
        self.sender.connect(connection, answer.last_applied_seq, answer.window_bytes)

    def run(self, until_s: float) -> None:
        """Let time pass until everything is acknowledged or the time is over."""
        while self.sender.pending and self.line.now < until_s:
            self.sender.on_time(self.line.now)
            for frame in FrameDecoder().feed(self.sender.take(self.line.now)):
                self.line.carry(True, encode_frame(frame))
            wait_s = self.sender.wait_s(self.line.now)
            due = [] if wait_s is None else [self.line.now + wait_s]
            if self.line.under_way:
                due.append(self.line.under_way[0][0])
            self.line.now = min(due)
            while self.line.under_way and self.line.under_way[0][0] <= self.line.now:
                _, _, to_instrument, data = heapq.heappop(self.line.under_way)
                self.deliver(to_instrument, data)

    def deliver(self, to_instrument: bool, data: bytes) -> None:
        if to_instrument:
            for frame in self.at_instrument.feed(data):
                answer, result = self.receiver.receive(frame)
                if isinstance(result, CellResult):
                    self.applied.append(result.cell_id)
                    assert result.cell_id == len(self.applied), "doubled or out of order"
                if answer is not None:
                    self.line.carry(False, encode_frame(answer))
            return
        for frame in self.at_host.feed(data):
            if frame.connection != self.connection:
                continue
            message = decode_message(frame.type, frame.payload)
            if isinstance(message, Ack):
                self.sender.on_ack(message, self.line.now)
            elif isinstance(message, Nak):
                self.sender.on_nak(message, self.line.now)


FAULTS = st.builds(
    Faults,
    drop=st.floats(0, 0.3),
    double=st.floats(0, 0.3),
    flip=st.floats(0, 0.3),
    delay_s=st.floats(0, 0.2),
)


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(FAULTS, st.integers(0, 2**32), st.integers(1, 60))
def test_each_message_is_applied_once_and_in_order(faults: Faults, seed: int, count: int) -> None:
    bench = Bench(faults, seed)
    fill(bench.sender, count)
    bench.run(until_s=3600.0)
    assert bench.sender.pending == 0
    assert bench.applied == list(range(1, count + 1))
    assert bench.sender.sent == bench.sender.acknowledged == count


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(FAULTS, st.integers(0, 2**32), st.lists(st.floats(0.0, 1.0), max_size=5))
def test_lost_connections_change_nothing(faults: Faults, seed: int, spells: list[float]) -> None:
    bench = Bench(faults, seed)
    fill(bench.sender, 40)
    for number, spell in enumerate(spells):
        bench.run(until_s=bench.line.now + spell)
        bench.reconnect(connection=100 + number)
    bench.run(until_s=3600.0)
    assert bench.applied == list(range(1, 41))
    assert bench.sender.acknowledged == 40


def test_a_stale_frame_of_an_earlier_connection_has_no_effect() -> None:
    receiver = greeted(connection=7)
    receiver.receive(frame_of(1, seq=1))
    assert greet(receiver, connection=8).last_applied_seq == 1
    assert receiver.receive(frame_of(99, seq=2, connection=7)) == (None, None)
    _, applied = receiver.receive(frame_of(2, seq=2, connection=8))
    assert applied == cell(2)
    assert receiver.last_applied_seq == 2


def test_the_receiver_accepts_the_next_only() -> None:
    receiver = greeted()
    ack = Frame(MessageType.ACK, 7, 0, Ack(1, WINDOW).encode())
    gap = Frame(MessageType.NAK, 7, 0, Nak(NakReason.GAP, 2).encode())
    assert receiver.receive(frame_of(1, seq=1)) == (ack, cell(1))
    assert receiver.receive(frame_of(1, seq=1)) == (ack, None)
    assert receiver.receive(frame_of(3, seq=3)) == (gap, None)
    assert receiver.last_applied_seq == 1


def test_a_stream_is_not_started_twice_and_a_new_one_starts_at_one() -> None:
    receiver = greeted()
    receiver.receive(frame_of(1, seq=1))
    again, _ = receiver.receive(Frame(MessageType.NEW_STREAM, 7, 0, NewStream(5).encode()))
    assert again == Frame(MessageType.ACK, 7, 0, Ack(1, WINDOW).encode())
    other, _ = receiver.receive(Frame(MessageType.NEW_STREAM, 7, 0, NewStream(6).encode()))
    assert other == Frame(MessageType.ACK, 7, 0, Ack(0, WINDOW).encode())


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (Frame(0x77, 7, 0), NakReason.UNSUPPORTED),
        (Frame(MessageType.COMMAND, 7, 1), NakReason.UNSUPPORTED),
        (Frame(MessageType.CELL_RESULT, 7, 1, b"short"), NakReason.MALFORMED),
        (Frame(MessageType.HELLO, 9, 0, Hello(2, 0, 0, SCHEMA_HASH, 5).encode()), NakReason.VERSION),
        (Frame(MessageType.HELLO, 9, 0, Hello(1, 0, 0, SCHEMA_HASH ^ 1, 5).encode()), NakReason.VERSION),
    ],
)
def test_what_the_receiver_refuses(frame: Frame, reason: NakReason) -> None:
    answer, applied = greeted().receive(frame)
    assert answer is not None
    assert applied is None
    refusal = decode_message(answer.type, answer.payload)
    assert isinstance(refusal, Nak)
    assert refusal.reason == reason


def test_results_before_a_stream_are_refused() -> None:
    receiver = Receiver(boot_id=1)
    assert greet(receiver, 7).stream_id == 0
    answer, applied = receiver.receive(frame_of(1, seq=1))
    assert applied is None
    assert answer == Frame(MessageType.NAK, 7, 0, Nak(NakReason.NO_STREAM, 1).encode())


def test_the_window_bounds_what_is_in_flight() -> None:
    sender = connected()
    fill(sender, 20)
    assert len(sender.take(0.0)) == WINDOW // FRAME_BYTES * FRAME_BYTES
    assert sender.take(0.0) == b""
    sender.on_ack(Ack(2, WINDOW), 0.01)
    assert seqs(sender.take(0.01)) == [8, 9]
    sender.on_ack(Ack(9, 0), 0.02)
    assert seqs(sender.take(0.02)) == [10]


def test_a_gap_is_mended_once() -> None:
    sender = connected()
    fill(sender, 7)
    sender.take(0.0)
    sender.on_nak(Nak(NakReason.GAP, 3), 0.01)
    assert seqs(sender.take(0.01)) == [3, 4, 5, 6, 7]
    for _ in range(4):
        sender.on_nak(Nak(NakReason.GAP, 3), 0.02)
    assert sender.take(0.02) == b""
    assert (sender.retransmitted, sender.naks, sender.acknowledged) == (5, 5, 2)
    sender.on_nak(Nak(NakReason.GAP, 5), 0.03)
    assert seqs(sender.take(0.03)) == [5, 6, 7]


def test_the_timeout_doubles_from_its_start_to_one_second() -> None:
    sender = connected()
    fill(sender, 1)
    wire_s = WINDOW * 10 / BAUD
    assert sender.timeout_s == pytest.approx(max(0.025, wire_s))
    waits, now = [], 0.0
    for _ in range(8):
        assert seqs(sender.take(now)) == [1]
        wait_s = sender.wait_s(now)
        assert wait_s is not None
        waits.append(wait_s)
        now += wait_s
        sender.on_time(now)
    first = waits[0]
    assert waits == pytest.approx([min(1.0, first * 2**n) for n in range(8)])
    assert sender.silent_s(now) == pytest.approx(now)


def test_the_timeout_follows_the_round_trip_but_not_of_what_was_sent_again() -> None:
    sender = connected()
    fill(sender, 2)
    sender.take(0.0)
    sender.on_ack(Ack(1, WINDOW), 0.1)
    expected = 0.1 + 4 * 0.05 + WINDOW * 10 / BAUD
    assert sender.timeout_s == pytest.approx(expected)
    sender.on_time(1.0)
    sender.take(1.0)
    sender.on_ack(Ack(2, WINDOW), 5.0)
    assert sender.timeout_s == pytest.approx(expected)
    assert sender.wait_s(5.0) is None


def test_an_acknowledgement_that_comes_after_going_back_still_counts() -> None:
    sender = connected()
    fill(sender, 3)
    sender.take(0.0)
    sender.on_time(1.0)
    sender.on_ack(Ack(2, WINDOW), 1.0)
    assert seqs(sender.take(1.0)) == [3]
    sender.on_ack(Ack(1, WINDOW), 1.1)
    assert (sender.pending, sender.acknowledged) == (1, 2)


def test_the_sequence_wraps() -> None:
    last = 0xFFFFFFFD
    receiver = greeted()
    receiver.last_applied_seq = last
    sender = connected(last=last)
    fill(sender, 5)
    frames = FrameDecoder().feed(sender.take(0.0))
    assert [frame.seq for frame in frames] == [0xFFFFFFFE, 0xFFFFFFFF, 0, 1, 2]
    assert [receiver.receive(frame)[1] for frame in frames] == [cell(n) for n in range(1, 6)]
    sender.on_ack(Ack(receiver.last_applied_seq, WINDOW), 0.0)
    assert sender.pending == 0
    assert seq_distance(1, 0xFFFFFFFF) == 2
    assert seq_distance(0xFFFFFFFF, 1) == -2


def test_a_new_connection_resumes_after_what_was_applied() -> None:
    sender = connected()
    fill(sender, 5)
    sender.take(0.0)
    sender.connect(8, 3, WINDOW)
    resumed = FrameDecoder().feed(sender.take(1.0))
    assert [(frame.connection, frame.seq) for frame in resumed] == [(8, 4), (8, 5)]
    with pytest.raises(ProtocolError, match="open a new link"):
        sender.connect(9, 2, WINDOW)


def test_the_queue_is_bounded() -> None:
    sender = connected(capacity=3)
    fill(sender, 3)
    assert sender.full
    with pytest.raises(QueueFullError, match="3 messages wait"):
        fill(sender, 1)
    sender.take(0.0)
    assert sender.full
    sender.on_ack(Ack(1, WINDOW), 0.0)
    assert not sender.full


def test_what_the_sender_cannot_mend_is_an_error() -> None:
    sender = connected()
    fill(sender, 2)
    sender.take(0.0)
    with pytest.raises(ProtocolError, match="never sent"):
        sender.on_ack(Ack(3, WINDOW), 0.0)
    with pytest.raises(ProtocolError, match="reason unsupported"):
        sender.on_nak(Nak(NakReason.UNSUPPORTED, 1), 0.0)
    with pytest.raises(ProtocolError, match="reason 77"):
        sender.on_nak(Nak(77, 1), 0.0)
