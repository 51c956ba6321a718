"""The link against the simulated instrument, each a process of its own, over a pseudo-terminal."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import time
import tty
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge import (
    COUNTED_LABELS,
    CellResult,
    Differential,
    InstrumentLink,
    LinkError,
    NoAnswerError,
    PortAbsentError,
    PortBusyError,
    PortLostError,
    ProtocolError,
)
from firmware_bridge.messages import Ack, Hello, Nak
from firmware_bridge.protocol import Frame, encode_frame
from firmware_bridge.schema import SCHEMA_HASH, MessageType, NakReason
from firmware_bridge.simulator import Simulator
from firmware_bridge.transport import SerialPort

Start = Callable[..., Any]


def cell(number: int) -> CellResult:
    label = COUNTED_LABELS[number % len(COUNTED_LABELS)]
    return CellResult(number, time.time_ns(), label, 0.75, (number % 100, 2, 30, 40))


@contextmanager
def silent_port() -> Iterator[tuple[str, int, int]]:
    """A port where nothing answers: its path, the instrument's end and the host's end."""
    instrument_end, host_end = os.openpty()
    tty.setraw(host_end)
    try:
        yield os.ttyname(host_end), instrument_end, host_end
    finally:
        os.close(instrument_end)
        os.close(host_end)


def send_many(link: InstrumentLink, count: int) -> None:
    for number in range(count):
        link.send(cell(number))


def one_line(error: BaseException) -> str:
    text = str(error)
    assert text
    assert "\n" not in text
    return text


def test_every_result_is_applied_once_and_in_order(start_simulator: Start) -> None:
    simulator = start_simulator()
    sent = [cell(number) for number in range(6000)]
    counts = Counter(message.label for message in sent)
    with InstrumentLink.open(simulator.port) as link:
        assert link.instrument.unique_id.rstrip(b"\0") == b"simulator"
        for message in sent:
            link.send(message)
        link.send(Differential(counts, len(sent), 0))
        assert link.drain(30.0) == 0
        counters = link.counters
    assert (counters.sent, counters.acknowledged, counters.crc_errors) == (6001, 6001, 0)
    *applied, differential, total = simulator.stop()
    assert [line["seq"] for line in applied] == list(range(1, 6001))
    assert [line["cell"] for line in applied] == list(range(6000))
    assert applied[7] == {
        "type": "applied",
        "seq": 8,
        "cell": 7,
        "label": "platelet",
        "probability": pytest.approx(0.75, abs=1e-5),
        "box": [7, 2, 30, 40],
    }
    assert differential["type"] == "differential"
    assert (differential["counts"], differential["total"]) == (dict(counts), 6000)
    assert total == {
        "type": "total",
        "applied": 6000,
        "differentials": 1,
        "doubled": 0,
        "out_of_order": 0,
        "crc_errors": 0,
        "labels": dict(counts),
    }


def test_the_host_may_close_and_open_again(start_simulator: Start) -> None:
    simulator = start_simulator("--quiet")
    for _ in range(3):
        with InstrumentLink.open(simulator.port) as link:
            for number in range(50):
                link.send(cell(number))
            assert link.drain(10.0) == 0
    (total,) = simulator.stop()
    assert (total["applied"], total["doubled"], total["out_of_order"]) == (150, 0, 0)


def test_flipped_bits_on_the_way_cost_only_time(monkeypatch: pytest.MonkeyPatch, start_simulator: Start) -> None:
    simulator = start_simulator()
    source = random.Random(3)
    intact = SerialPort.write

    def flipping(port: SerialPort, data: bytes) -> bool:
        flipped = bytearray(data)
        if source.random() < 0.5:
            flipped[source.randrange(len(flipped))] ^= 1 << source.randrange(8)
        return intact(port, bytes(flipped))

    with InstrumentLink.open(simulator.port, baud=4_000_000) as link:
        monkeypatch.setattr(SerialPort, "write", flipping)
        for number in range(1500):
            link.send(cell(number))
        assert link.drain(30.0) == 0
        assert link.counters.retransmitted > 0
    *applied, total = simulator.stop()
    assert [line["cell"] for line in applied] == list(range(1500))
    assert (total["doubled"], total["out_of_order"]) == (0, 0)


def test_stale_answers_of_another_connection_have_no_effect(
    monkeypatch: pytest.MonkeyPatch, start_simulator: Start
) -> None:
    simulator = start_simulator("--quiet")
    stale = encode_frame(Frame(MessageType.ACK, 0, 0, Ack(40, 2048).encode()))
    intact = SerialPort.read

    def read(port: SerialPort, timeout_s: float | None) -> bytes:
        data = intact(port, timeout_s)
        return stale + data if data else data

    with InstrumentLink.open(simulator.port) as link:
        monkeypatch.setattr(SerialPort, "read", read)
        for number in range(50):
            link.send(cell(number))
            assert link.drain(10.0) == 0
    assert simulator.stop()[-1]["applied"] == 50


def test_an_absent_port_is_named() -> None:
    with pytest.raises(PortAbsentError, match="no port /dev/ttyNONE") as caught:
        InstrumentLink.open("/dev/ttyNONE")
    one_line(caught.value)


def test_a_message_larger_than_the_instrument_takes_is_refused(start_simulator: Start) -> None:
    simulator = start_simulator("--quiet")
    with InstrumentLink.open(simulator.port) as link:
        link.instrument = dataclasses.replace(link.instrument, largest_payload=40)
        link.send(cell(1))
        with pytest.raises(ProtocolError, match="takes 40 bytes, DIFFERENTIAL has 44") as caught:
            link.send(Differential({}, 0, 0))
        assert link.drain(10.0) == 0
    one_line(caught.value)


def test_a_baud_rate_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="baud rate of 0"):
        InstrumentLink.open("/dev/ttyNONE", baud=0)


def test_a_file_is_not_a_port(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(PortAbsentError, match="does not work as a serial port") as caught:
        InstrumentLink.open(str(path))
    one_line(caught.value)


def test_a_second_opener_is_told_that_the_port_is_busy(start_simulator: Start) -> None:
    simulator = start_simulator("--quiet")
    with InstrumentLink.open(simulator.port) as link:
        with pytest.raises(PortBusyError, match="in use by another program") as caught:
            InstrumentLink.open(simulator.port)
        link.send(cell(1))
        assert link.drain(10.0) == 0
    one_line(caught.value)


def test_a_port_that_vanishes_is_told_to_send_and_drain(start_simulator: Start) -> None:
    simulator = start_simulator("--quiet")
    with InstrumentLink.open(simulator.port, reconnect_s=0.2) as link:
        link.send(cell(0))
        assert link.drain(10.0) == 0
        simulator.kill()
        with pytest.raises(PortLostError, match="vanished while in use") as caught:
            send_many(link, 100_000)
        with pytest.raises(LinkError) as again:
            link.drain(10.0)
    assert again.value is caught.value
    one_line(caught.value)


def test_no_answer_is_told_within_its_time() -> None:
    with silent_port() as (port, instrument_end, _):
        began = time.monotonic()
        with pytest.raises(NoAnswerError, match="no instrument answered") as caught:
            InstrumentLink.open(port, hello_timeout_s=0.6)
        took_s = time.monotonic() - began
        hello = encode_frame(Frame(MessageType.HELLO, 1, 0, Hello(1, 0, 0, SCHEMA_HASH, 1).encode()))
        assert len(os.read(instrument_end, 4096)) >= 3 * len(hello)
    assert 0.6 <= took_s < 2.0
    one_line(caught.value)


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch, start_simulator: Start) -> None:
    simulator = start_simulator("--quiet")
    monkeypatch.setattr("firmware_bridge.host.SCHEMA_HASH", SCHEMA_HASH ^ 1)
    with pytest.raises(ProtocolError, match="reason version") as caught:
        InstrumentLink.open(simulator.port)
    one_line(caught.value)


def test_an_instrument_that_falls_silent_is_an_error(monkeypatch: pytest.MonkeyPatch, start_simulator: Start) -> None:
    monkeypatch.setattr("firmware_bridge.courier.SILENCE_LIMIT_S", 0.1)
    monkeypatch.setattr("firmware_bridge.delivery.RTO_LAST_S", 0.05)
    simulator = start_simulator("--quiet")
    with InstrumentLink.open(simulator.port, reconnect_s=0.0) as link:
        os.kill(simulator.process.pid, signal.SIGSTOP)
        link.send(cell(1))
        with pytest.raises(NoAnswerError, match="stopped answering") as caught:
            link.drain(10.0)
        assert link.counters.retransmitted > 0
    one_line(caught.value)


def test_a_closed_link_says_so(start_simulator: Start) -> None:
    simulator = start_simulator("--quiet")
    link = InstrumentLink.open(simulator.port)
    link.close()
    link.close()
    assert link.drain(0.0) == 0
    with pytest.raises(LinkError, match="is closed"):
        link.send(cell(1))


def test_a_message_that_does_not_fit_leaves_the_link_alive(start_simulator: Start) -> None:
    simulator = start_simulator("--quiet")
    with InstrumentLink.open(simulator.port) as link:
        with pytest.raises(ProtocolError, match="no label"):
            link.send(CellResult(1, 0, "leukocyte", 1.0, (0, 0, 1, 1)))
        link.send(cell(1))
        assert link.drain(10.0) == 0
    assert simulator.stop()[-1]["applied"] == 1


def test_a_full_port_gives_up_in_time_and_a_wake_ends_a_read() -> None:
    with silent_port() as (path, _, _):
        port = SerialPort(path, 1_000_000)
        try:
            port._serial.write_timeout = 0.05
            port._write_timeout_ms = 50
            assert not port.write(bytes(100_000))
            assert not all(port.write(bytes(1000)) for _ in range(100))
            port.wake()
            port.wake()
            assert port.read(None) == b""
        finally:
            port.close()


def test_a_greeting_that_cannot_be_read_is_refused() -> None:
    simulator = Simulator(quiet=True)
    refusal = simulator.feed(encode_frame(Frame(MessageType.HELLO, 3, 0, b"old")))
    expected = Frame(MessageType.NAK, 3, 0, Nak(NakReason.VERSION, 0).encode())
    assert refusal == encode_frame(expected)
