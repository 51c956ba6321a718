"""A line that takes time: its arithmetic, and the simulated instrument behind one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from firmware_bridge import CellResult, Instrument
from firmware_bridge.wire import FIFO_BYTES, Wire


def test_a_message_comes_through_when_its_last_byte_has() -> None:
    wire = Wire(1000)  # 10 ms a byte
    wire.put(b"abc\0d\0ef", 5.0)
    assert wire.wait_s(5.0) == pytest.approx(0.04)
    assert wire.take(5.039) == b""
    assert wire.take(5.041) == b"abc\0"
    assert wire.take(5.2) == b"d\0ef"
    assert wire.wait_s(5.2) is None


def test_what_is_put_later_waits_for_the_line_to_be_free() -> None:
    wire = Wire(1000)
    wire.put(b"a" * 9 + b"\0", 0.0)
    wire.put(b"b\0", 0.05)
    assert wire.wait_s(0.1) == 0.0
    assert wire.take(0.11) == b"a" * 9 + b"\0"
    assert wire.wait_s(0.11) == pytest.approx(0.01)
    assert wire.take(0.1201) == b"b\0"


def test_no_more_is_taken_than_lies_ahead_of_the_line() -> None:
    wire = Wire(1000)
    wire.put(b"x" * (FIFO_BYTES - 1), 0.0)
    assert wire.takes
    wire.put(b"\0", 0.0)
    assert not wire.takes
    wire.take(1.0)
    assert wire.takes


def test_without_a_baud_rate_nothing_takes_time() -> None:
    wire = Wire(None)
    wire.put(b"ab\0c", 1.0)
    assert wire.take(1.0) == b"ab\0c"


def test_an_instrument_behind_a_slow_line_acknowledges_in_its_time(start_simulator: Callable[..., Any]) -> None:
    baud, count = 19200, 20
    simulator = start_simulator("--quiet", "--baud", str(baud))
    told: list[int] = []
    threads = set()

    def acknowledged(position: int) -> None:
        told.append(position)
        threads.add(threading.current_thread().name)

    with Instrument.open(simulator.port, baud=baud, on_acknowledged=acknowledged) as link:
        began = time.monotonic()
        for number in range(count):
            link.send(CellResult(number + 1, 0, "neutrophil", 0.5, (1, 2, 3, 4)))
        assert link.drain(10.0) == 0
        took_s = time.monotonic() - began
        retransmitted = link.counters.retransmitted
    assert took_s > count * 38 * 10 / baud
    assert retransmitted == 0
    assert told == sorted(set(told))
    assert told[-1] == count
    assert threads == {f"instrument link {simulator.port}"}
    assert simulator.stop()[-1]["applied"] == count
