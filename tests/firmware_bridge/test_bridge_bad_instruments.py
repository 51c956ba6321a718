"""Instruments that are broken, or none: each ends in one line and in time, and nothing is lost from the outbox."""

from __future__ import annotations

import dataclasses
import os
import random
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware_bridge import CellResult, Instrument, LinkError, NoAnswerError, Outbox, ProtocolError
from firmware_bridge.messages import Ack, HelloAck
from firmware_bridge.protocol import Frame, FrameDecoder, encode_frame
from firmware_bridge.receiver import Receiver
from firmware_bridge.schema import MessageType

Answer = Callable[[bytes], bytes]


def cell(number: int) -> CellResult:
    return CellResult(number, 0, "monocyte", 0.75, (1, 2, 3, 4))


@contextmanager
def instrument_that(answer: Answer) -> Iterator[str]:
    """Give the port of something that answers in its own way; called with b"" when nothing has come."""
    end, host_end = os.openpty()
    tty.setraw(host_end)
    os.set_blocking(end, False)
    stopped = threading.Event()

    def serve() -> None:
        while not stopped.wait(0.002):
            try:
                data = os.read(end, 4096)
            except BlockingIOError:
                data = b""
            try:
                os.write(end, answer(data))
            except BlockingIOError:
                continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(host_end)
    finally:
        stopped.set()
        thread.join()
        os.close(end)
        os.close(host_end)


class Board:
    """A sound instrument whose answers a test may bend."""

    def __init__(self, bend: Callable[[Frame], Frame | None] = lambda frame: frame) -> None:
        self.receiver = Receiver(boot_id=1, unique_id=b"bent")
        self.decoder = FrameDecoder()
        self.bend = bend
        self.applied: list[CellResult] = []

    def __call__(self, data: bytes) -> bytes:
        answers = []
        for frame in self.decoder.feed(data):
            answer, message = self.receiver.receive(frame)
            if isinstance(message, CellResult):
                self.applied.append(message)
            bent = self.bend(answer) if answer is not None else None
            if bent is not None:
                answers.append(encode_frame(bent))
        return b"".join(answers)


NOISE = random.Random(5)


@pytest.mark.parametrize(
    "answer",
    [
        lambda data: NOISE.randbytes(200),
        lambda data: bytes(200),
        lambda data: b"\xff" * 200,
        lambda data: data,
        lambda data: b"ok\r\n" if data else b"",
        lambda data: encode_frame(Frame(MessageType.LOG, 1, 0, b"hello")),
    ],
    ids=["noise", "zeros", "ones", "echo", "another protocol", "only logs"],
)
def test_what_is_no_instrument_is_no_answer(answer: Answer, tmp_path: Path) -> None:
    with instrument_that(answer) as port:
        began = time.monotonic()
        with pytest.raises(NoAnswerError, match="no instrument answered") as caught:
            Instrument.open(port, hello_timeout_s=0.5, outbox=tmp_path / "outbox")
        assert time.monotonic() - began < 2.0
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("babble", [b"", b"x" * 100], ids=["silent", "babbling"])
def test_one_that_never_acknowledges_is_told_and_leaves_all_in_the_outbox(
    babble: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware_bridge.courier.SILENCE_LIMIT_S", 0.2)
    board = Board()
    deaf = threading.Event()
    path = tmp_path / "outbox"
    with instrument_that(lambda data: babble if deaf.is_set() else board(data)) as port:
        with Instrument.open(port, outbox=path, reconnect_s=0.3) as link:
            deaf.set()
            link.send(cell(1))
            with pytest.raises(NoAnswerError, match="stopped answering") as caught:
                link.drain(10.0)
            assert "\n" not in str(caught.value)
        with Outbox(path) as outbox:
            assert outbox.last - outbox.acknowledged == 1
        deaf.clear()
        with Instrument.open(port, outbox=path) as link:
            assert link.drain(10.0) == 0
    assert [result.cell_id for result in board.applied] == [1]


def test_one_that_acknowledges_the_future_ends_the_link_and_leaves_all_in_the_outbox(tmp_path: Path) -> None:
    def future(frame: Frame) -> Frame:
        if frame.type != MessageType.ACK or not board.applied:
            return frame
        return dataclasses.replace(frame, payload=Ack(1000, 2048).encode())

    board = Board(future)
    with instrument_that(board) as port:
        with Instrument.open(port, outbox=tmp_path / "outbox") as link:
            link.send(cell(1))
            with pytest.raises(ProtocolError, match="acknowledges what was never sent") as caught:
                link.drain(10.0)
        with Outbox(tmp_path / "outbox") as outbox:
            assert outbox.last - outbox.acknowledged == 1
    assert "\n" not in str(caught.value)


def test_one_that_remembers_more_than_was_sent_is_refused(tmp_path: Path) -> None:
    board = Board()
    with instrument_that(board) as port:
        with Instrument.open(port, outbox=tmp_path / "outbox") as link:
            link.send(cell(1))
            assert link.drain(10.0) == 0
        board.receiver.last_applied_seq = 77
        with pytest.raises(ProtocolError, match="message 77, which was never sent"):
            Instrument.open(port, outbox=tmp_path / "outbox")
        board.receiver.last_applied_seq = 0
        with pytest.raises(ProtocolError, match="its memory is damaged"):
            Instrument.open(port, outbox=tmp_path / "outbox")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version_major": 2}, r"speaks protocol 2\.0, this program 1\.1"),
        ({"window_bytes": 0}, None),
        ({"largest_payload": 20}, "takes 20 bytes, CELL_RESULT has 24"),
    ],
)
def test_what_a_greeting_may_say(change: dict[str, int], says: str | None) -> None:
    def bend(frame: Frame) -> Frame:
        if frame.type != MessageType.HELLO_ACK:
            return frame
        told = HelloAck(1, 0, 0, b"bent", b"\0\1\0", 1, 0, 0, 2048, 64, 3)
        return dataclasses.replace(frame, payload=dataclasses.replace(told, **change).encode())

    def use(port: str) -> None:
        with Instrument.open(port) as link:
            link.send(cell(1))
            assert link.drain(10.0) == 0

    with instrument_that(Board(bend)) as port:
        if says is None:
            use(port)
            return
        with pytest.raises(LinkError, match=says):
            use(port)


def test_a_smaller_instrument_than_what_waits_for_it_is_refused_by_name(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox") as outbox:
        outbox.put(MessageType.CELL_RESULT, cell(1).encode())

    def bend(frame: Frame) -> Frame:
        if frame.type != MessageType.HELLO_ACK:
            return frame
        return dataclasses.replace(frame, payload=HelloAck(1, 0, 0, b"bent", b"\0\1\0", 1, 0, 0, 2048, 20, 3).encode())

    with (
        instrument_that(Board(bend)) as port,
        Instrument.open(port, outbox=tmp_path / "outbox") as link,
        pytest.raises(ProtocolError, match="takes 20 bytes, a message that waits for it has 24"),
    ):
        link.drain(10.0)


def test_one_that_starts_again_and_again_gets_everything_with_all_doubles_flagged(tmp_path: Path) -> None:
    board = Board()
    boots = [1]

    def answer(data: bytes) -> bytes:
        answered = board(data)
        if len(board.applied) >= 5 * boots[0] and boots[0] < 6:  # before it could say so
            boots[0] += 1
            board.receiver = Receiver(boot_id=boots[0], unique_id=b"bent", window_bytes=300)
            return b""
        return answered

    with instrument_that(answer) as port, Instrument.open(port, outbox=tmp_path / "outbox") as link:
        for number in range(1, 31):
            link.send(cell(number))
        assert link.drain(30.0) == 0
        listed = {doubt.message.cell_id for doubt in link.in_doubt if isinstance(doubt.message, CellResult)}
    seen: set[int] = set()
    for result in board.applied:
        assert result.redelivered == (result.cell_id in listed) or result.cell_id not in seen
        assert result.cell_id not in seen or result.redelivered
        seen.add(result.cell_id)
    assert seen == set(range(1, 31))
    assert listed
