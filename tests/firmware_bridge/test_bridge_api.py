"""The Python API as a lab programmer uses it: threads, event loops, typed events; and the examples of its guide."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import firmware_bridge
from firmware_bridge import CellResult, Connected, Event, Instrument, InstrumentLink, LinkError

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
