"""The firmware itself, in emulators, over a wire that drops, flips, doubles, delays and is unplugged."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge import CellResult, Connected, Differential, Instrument
from firmware_bridge.messages import HelloAck
from firmware_bridge.schema import Persistence
from firmware_bridge.transport import SerialPort
from tests.firmware_bridge.firmware.bench import BOARDS, make
from tests.firmware_bridge.firmware.board import Board
from tests.firmware_bridge.firmware.ledger import Ledger, results
from tests.firmware_bridge.firmware.wire import Faults

Build = Callable[..., Path]

PATIENCE_S = 20.0
FRAME_BYTES = 38
BAD_WIRE = Faults(drop=0.02, flip=0.02, double=0.02, delay=0.02)
each_board = pytest.mark.parametrize("name", BOARDS)


@each_board
def test_every_result_is_applied_once_and_in_order(build: Build, name: str) -> None:
    sent: list[CellResult | Differential] = [*results(100), Differential({"monocyte": 40}, 100, 10)]
    ledger = Ledger()
    ledger.add(sent)
    with Board(name, build(name)) as board:
        with Instrument.open(board.port) as link:
            told = link.instrument
            for message in sent:
                link.send(message)
            assert link.drain(10.0) == 0
            assert link.counters.acknowledged == len(sent)
        assert told.unique_id.rstrip(b"\0").decode() in name.replace("stm32vldiscovery", "stm32vl-disc")
        assert told.persistence == Persistence.ATOMIC
        record = board.record()
        ledger.check(record)
        assert record.differential == (0, 0, 0, 0, 40, 0, 0, 0, 0, 100, 10)


@each_board
def test_a_bad_wire_costs_only_time(build: Build, name: str) -> None:
    sent = results(100)
    ledger = Ledger()
    ledger.add(sent)
    with Board(name, build(name), faults=BAD_WIRE, seed=6) as board:
        with Instrument.open(board.port) as link:
            for message in sent:
                link.send(message)
            assert link.drain(PATIENCE_S) == 0
        ledger.check(board.record())
        assert all(board.relay.done[fault] for fault in ("drop", "flip", "double", "delay"))


@each_board
def test_unplugs_resets_and_hangs_lose_and_double_nothing(build: Build, name: str) -> None:
    ledger = Ledger()
    ledger.add(results(100))
    with Board(name, build(name), faults=BAD_WIRE, seed=7) as board:
        interruptions = (board.reset, lambda: replug(board), board.reset, lambda: hang(board), board.reset)
        with Instrument.open(board.port, reconnect_s=None) as link:
            for number, interrupt in enumerate(interruptions):
                for message in results(20, 20 * number):
                    link.send(message)
                interrupt()
                assert link.drain(PATIENCE_S) == 0
            told = greetings(link)
        ledger.check(board.record())
        assert {greeting.persistence for greeting in told} == {Persistence.ATOMIC}
        assert len({greeting.boot_id for greeting in told}) >= 3
        assert board.record().last_seq == 100


def greetings(link: Instrument) -> list[HelloAck]:
    """What the board told of itself at each connection."""
    return [event.instrument for event in link.events(timeout_s=0.0) if isinstance(event, Connected)]


def replug(board: Board) -> None:
    board.relay.unplug()
    time.sleep(0.02)
    board.relay.plug()


def hang(board: Board) -> None:
    board.hang(True)
    time.sleep(0.1)
    board.hang(False)


@each_board
def test_garbage_before_a_greeting_costs_nothing(build: Build, name: str) -> None:
    sent = results(20)
    ledger = Ledger()
    ledger.add(sent)
    noise = random.Random(8).randbytes(3000)
    with Board(name, build(name)) as board:
        port = SerialPort(board.port, 115200)
        try:
            port.write(noise[:1500])
            port.write(noise[1500:].replace(b"\0", b"\1"))
        finally:
            port.close()
        with Instrument.open(board.port) as link:
            for message in sent:
                link.send(message)
            assert link.drain(10.0) == 0
        ledger.check(board.record())


def test_a_device_that_forgets_at_a_reset_says_so(build: Build, tmp_path: Path) -> None:
    build("microbit")
    make(tmp_path, "STORE=ram", "microbit")
    with Board("microbit", tmp_path) as board, Instrument.open(board.port) as link:
        for message in results(5):
            link.send(message)
        assert link.drain(PATIENCE_S) == 0
        board.reset()
        for message in results(5):
            link.send(message)
        assert link.drain(PATIENCE_S) == 0
        before, *_, after = greetings(link)
        assert (before.persistence, after.persistence) == (Persistence.RAM_ONLY, Persistence.RAM_ONLY)
        assert after.stream_id == 0
        assert before.boot_id != after.boot_id


@pytest.mark.parametrize("name", ["microbit", "atmega328p"])
def test_a_paced_wire_takes_its_time(build: Build, name: str) -> None:
    sent = results(60)
    ledger = Ledger()
    ledger.add(sent)
    with Board(name, build(name), faults=Faults(baud=57600)) as board:
        with Instrument.open(board.port) as link:
            began = time.monotonic()
            for message in sent:
                link.send(message)
            assert link.drain(PATIENCE_S) == 0
            took_s = time.monotonic() - began
        ledger.check(board.record())
    wire_s = 60 * FRAME_BYTES * 10 / 57600
    assert took_s >= wire_s


@each_board
def test_bytes_that_come_while_a_board_does_not_read_are_lost_and_sent_again(build: Build, name: str) -> None:
    sent = results(100)
    ledger = Ledger()
    ledger.add(sent)
    with Board(name, build(name), faults=Faults(ring_bytes=96)) as board:
        with Instrument.open(board.port) as link:
            board.hang(True)
            for message in sent:
                link.send(message)
            deadline = time.monotonic() + PATIENCE_S
            while not board.relay.done["overrun"]:
                assert time.monotonic() < deadline, "the board was to lose something"
                time.sleep(0.005)
            board.hang(False)
            assert link.drain(PATIENCE_S) == 0
            assert link.counters.retransmitted
        ledger.check(board.record())
