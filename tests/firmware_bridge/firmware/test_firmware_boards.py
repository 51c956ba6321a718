"""The firmware itself, in emulators, over a wire that drops, flips, doubles, delays and is unplugged."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge import CellResult, Differential, InstrumentLink
from firmware_bridge.schema import Persistence
from firmware_bridge.transport import SerialPort
from tests.firmware_bridge.firmware.bench import (
    BAUD,
    BOARDS,
    Board,
    Faults,
    Host,
    Ledger,
    make,
    results,
)

Build = Callable[..., Path]

BAD_WIRE = Faults(drop=0.02, flip=0.02, double=0.02, delay=0.02)
each_board = pytest.mark.parametrize("name", BOARDS)


@each_board
def test_every_result_is_applied_once_and_in_order(build: Build, name: str) -> None:
    sent: list[CellResult | Differential] = [*results(100), Differential({"monocyte": 40}, 100, 10)]
    ledger = Ledger()
    ledger.add(sent)
    with Board(name, build(name)) as board:
        with InstrumentLink.open(board.port) as link:
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
        with InstrumentLink.open(board.port) as link:
            for message in sent:
                link.send(message)
            assert link.drain(20.0) == 0
        ledger.check(board.record())
        assert all(board.relay.done[fault] for fault in ("drop", "flip", "double", "delay"))


@each_board
def test_unplugs_resets_and_hangs_lose_and_double_nothing(build: Build, name: str) -> None:
    sent = results(100)
    ledger = Ledger()
    ledger.add(sent)
    with Board(name, build(name), faults=BAD_WIRE, seed=7) as board, Host(board.port, seed=7) as host:
        interruptions = [board.reset, lambda: replug(board), board.reset, lambda: hang(board), board.reset]
        at = [15 * (n + 1) for n in range(len(interruptions))]

        def meanwhile(acknowledged: int) -> None:
            while at and acknowledged >= at[0]:
                at.pop(0)
                interruptions.pop(0)()

        host.send(sent)
        host.deliver(meanwhile=meanwhile)
        assert not at
        ledger.check(board.record())
        assert {told.persistence for told in host.greetings} == {Persistence.ATOMIC}
        boots = [told.boot_id for told in host.greetings]
        assert len(set(boots)) >= 3
        assert board.record().last_seq == 100


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
        port = SerialPort(board.port, BAUD)
        try:
            port.write(noise[:1500])
            port.write(noise[1500:].replace(b"\0", b"\1"))
        finally:
            port.close()
        with InstrumentLink.open(board.port) as link:
            for message in sent:
                link.send(message)
            assert link.drain(10.0) == 0
        ledger.check(board.record())


def test_a_device_that_forgets_at_a_reset_says_so(build: Build, tmp_path: Path) -> None:
    build("microbit")
    make(tmp_path, "STORE=ram", "microbit")
    with Board("microbit", tmp_path) as board, Host(board.port) as host:
        host.send(results(5))
        host.deliver()
        board.reset()
        host.send(results(5))
        with pytest.raises(AssertionError, match="forgotten the stream"):
            host.deliver()
        before, *_, after = host.greetings
        assert (before.persistence, after.persistence) == (Persistence.RAM_ONLY, Persistence.RAM_ONLY)
        assert after.stream_id == 0
        assert before.boot_id != after.boot_id
