"""The Python API as a lab programmer uses it: threads, event loops, typed events; and the examples of its guide."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import firmware_bridge
from firmware_bridge import (
    CellResult,
    CommandFailedError,
    CommandInDoubtError,
    CommandStatus,
    Connected,
    Event,
    Indicate,
    Instrument,
    InstrumentLink,
    LinkError,
    MoveStage,
    NoAnswerError,
    OwnCommand,
    ProtocolError,
    Reported,
    Trigger,
)

ROOT = Path(firmware_bridge.__file__).parents[1]
Start = Callable[..., Any]


def cell(number: int) -> CellResult:
    return CellResult(number, 0, "monocyte", 0.75, (1, 2, 3, 4))


def test_the_earlier_name_still_works() -> None:
    assert InstrumentLink is Instrument


@pytest.mark.parametrize("durable", [False, True])
def test_threads_may_share_an_instrument(start_simulator: Start, tmp_path: Path, durable: bool) -> None:
    simulator = start_simulator()
    with Instrument.open(simulator.port, outbox=tmp_path / "outbox" if durable else None) as instrument:
        threads = [
            threading.Thread(target=lambda first=first: [instrument.send(cell(first + n)) for n in range(200)])
            for first in range(0, 8000, 1000)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert instrument.drain(20.0) == 0
    *applied, total = simulator.stop()
    cells = [line["cell"] for line in applied]
    assert len(set(cells)) == len(cells) == 1600
    assert total["out_of_order"] == 0
    for first in range(0, 8000, 1000):
        assert [number for number in cells if number // 1000 * 1000 == first] == list(range(first, first + 200))


def test_an_event_loop_may_use_it(start_simulator: Start, tmp_path: Path) -> None:
    simulator = start_simulator("--quiet")

    async def use() -> Event:
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event] = asyncio.Queue()
        instrument = await asyncio.to_thread(
            Instrument.open,
            simulator.port,
            outbox=tmp_path / "outbox",
            on_event=lambda event: loop.call_soon_threadsafe(events.put_nowait, event),
        )
        with instrument:
            for number in range(100):
                instrument.send(cell(number))
            assert await asyncio.to_thread(instrument.drain, 10.0) == 0
            return await events.get()

    event = asyncio.run(use())
    assert isinstance(event, Connected)
    assert event.instrument.largest_payload == 64
    assert simulator.stop()[-1]["applied"] == 100


def test_events_come_one_by_one_and_end_with_the_link(start_simulator: Start) -> None:
    simulator = start_simulator("--quiet")
    instrument = Instrument.open(simulator.port)
    (event,) = instrument.events(timeout_s=0.05)
    assert isinstance(event, Connected)
    assert repr(instrument) == f"<Instrument on {simulator.port}: there, 0 messages wait>"
    heard: list[Event] = []
    taker = threading.Thread(target=lambda: heard.extend(instrument.events()))
    taker.start()
    instrument.close()
    taker.join(10.0)
    assert not taker.is_alive()
    assert heard == []
    assert "closed" in repr(instrument)


def typed(simulator: Any, line: str) -> None:
    simulator.process.stdin.write(f"{line}\n")
    simulator.process.stdin.flush()


def test_events_of_the_instrument_come_with_their_time(start_simulator: Start) -> None:
    simulator = start_simulator("--quiet")
    with Instrument.open(simulator.port) as instrument:
        events = instrument.events(timeout_s=10.0)
        assert isinstance(next(events), Connected)
        before = time.time_ns()
        typed(simulator, "button 2\nsample_loaded")
        button, sample = next(events), next(events)
        after = time.time_ns()
    assert isinstance(button, Reported)
    assert isinstance(sample, Reported)
    assert (button.event.name, button.event.source, button.event.value) == ("button", 2, 1)
    assert sample.event.name == "sample_loaded"
    assert all(before - 20e6 < event.time_ns < after + 20e6 for event in (button, sample))


def test_a_command_waits_for_its_end_while_results_go_on(start_simulator: Start) -> None:
    simulator = start_simulator()
    with Instrument.open(simulator.port) as instrument, ThreadPoolExecutor() as pool:
        moving = pool.submit(instrument.command, MoveStage(3000.0, 0.0, 0.0))
        for number in range(100):
            instrument.send(cell(number))
        assert instrument.drain(10.0) == 0
        assert not moving.done(), "0.3 s at 10 mm/s"
        assert moving.result() == 0
        assert instrument.heartbeat is not None
    *lines, _ = simulator.stop()
    kinds = [line["type"] for line in lines]
    assert kinds[-1] == "arrived"
    assert kinds.count("applied") == 100


def test_stop_ends_a_command_of_another_thread(start_simulator: Start) -> None:
    simulator = start_simulator()
    with Instrument.open(simulator.port) as instrument, ThreadPoolExecutor() as pool:
        moving = pool.submit(instrument.command, MoveStage(70_000.0, 0.0, 0.0), deadline_s=30.0)
        while simulator.process.stdout.readline().find("stage move") < 0:
            pass
        instrument.stop()
        with pytest.raises(CommandFailedError, match="stopped") as caught:
            moving.result()
    assert caught.value.status == CommandStatus.STOPPED
    assert simulator.stop()[-2]["type"] == "stopped"


def test_commands_take_their_turn(start_simulator: Start) -> None:
    simulator = start_simulator()
    with Instrument.open(simulator.port) as instrument, ThreadPoolExecutor() as pool:
        places = [pool.submit(instrument.command, MoveStage(500.0 * n, 0.0, 0.0)) for n in (1, -1, 2)]
        assert [place.result() for place in places] == [0, 0, 0]
        long = pool.submit(instrument.command, MoveStage(70_000.0, 0.0, 0.0), deadline_s=1.0)
        while simulator.process.stdout.readline().find("70000000") < 0:
            pass
        with pytest.raises(CommandFailedError, match="kept the instrument"):
            instrument.command(Indicate("basophil"), deadline_s=0.1)
        with pytest.raises(CommandFailedError, match="expired"):
            long.result()


def test_an_instrument_that_vanishes_leaves_its_command_in_doubt(start_simulator: Start) -> None:
    simulator = start_simulator()
    with Instrument.open(simulator.port, reconnect_s=None) as instrument, ThreadPoolExecutor() as pool:
        moving = pool.submit(instrument.command, MoveStage(70_000.0, 0.0, 0.0), deadline_s=0.5)
        while simulator.process.stdout.readline().find("stage move") < 0:
            pass
        simulator.kill()
        with pytest.raises(CommandInDoubtError, match="may have been carried out"):
            moving.result()
        with pytest.raises(NoAnswerError, match="own switch"):
            instrument.stop(timeout_s=0.1)
        with pytest.raises(CommandFailedError, match="not sent in time"):
            instrument.command(Indicate("basophil"), deadline_s=0.1)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (Indicate("leukocyte"), "no label 'leukocyte'"),
        (Indicate("basophil", -1.0), "duration_s=-1 is out of range"),
        (MoveStage(float("nan"), 0.0, 0.0), "x_um is nan"),
        (MoveStage(0.0, 3e6, 0.0), "y_um=3e"),
        (OwnCommand(0x7F), "not an instrument's own"),
        (OwnCommand(0x80, 1 << 31), "does not fit its field of COMMAND"),
        (Trigger(0, 1e9), "out of range"),
    ],
)
def test_a_command_that_makes_no_sense_is_not_sent(start_simulator: Start, command: Any, says: str) -> None:
    simulator = start_simulator()
    with Instrument.open(simulator.port) as instrument, pytest.raises(ProtocolError, match=says) as caught:
        instrument.command(command)
    assert "\n" not in str(caught.value)
    assert "commands" not in simulator.stop()[-1]


def test_a_command_from_the_link_s_own_thread_is_refused(start_simulator: Start) -> None:
    simulator = start_simulator()
    refused: list[str] = []
    told = threading.Event()

    def hear(event: Event) -> None:
        if isinstance(event, Reported):
            with pytest.raises(LinkError) as caught:
                link.command(Indicate("basophil"))
            refused.append(str(caught.value))
            told.set()

    with Instrument.open(simulator.port, on_event=hear) as link:
        typed(simulator, "button")
        assert told.wait(10.0)
    assert "on_event" in refused[0]


def test_a_callback_that_fails_is_told_and_delivers_nothing_more(start_simulator: Start) -> None:
    simulator = start_simulator("--quiet")

    def fail(event: Event) -> None:
        raise LinkError("mine")

    with pytest.raises(LinkError, match="mine"):
        Instrument.open(simulator.port, on_event=fail)


def test_the_examples_of_the_guide_run(start_simulator: Start, tmp_path: Path, monkeypatch: Any) -> None:
    simulator = start_simulator("--quiet")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "instrument.md").read_text(), re.DOTALL)
    assert len(examples) >= 3
    for example in examples:
        exec(compile(example.replace("/dev/ttyACM0", simulator.port), "docs/instrument.md", "exec"), {})
    assert simulator.stop()[-1]["applied"] >= 3
