"""The link with an outbox, end to end on a pseudo-terminal: hosts killed, instruments gone and back."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import firmware_bridge
from firmware_bridge import (
    CellResult,
    Connected,
    Disconnected,
    Event,
    InDoubt,
    InstrumentLink,
    NoAnswerError,
    Outbox,
    OutboxBusyError,
    OutboxError,
    OutboxFullError,
    PortLostError,
)
from firmware_bridge import outbox as outbox_module
from firmware_bridge.simulator import Simulator

ROOT = Path(firmware_bridge.__file__).parents[1]
Start = Callable[..., Any]


def cell(number: int) -> CellResult:
    return CellResult(number, 0, "monocyte", 0.75, (1, 2, 3, 4))


def send_many(link: InstrumentLink, count: int, pause_s: float = 0.0) -> None:
    for number in range(count):
        link.send(cell(number), durable=number % 500 == 499)
        time.sleep(pause_s)


class Plug:
    """An instrument in this process that can be pulled and plugged again: its port is a link to a pseudo-terminal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.simulator = Simulator()
        self.deaf = False
        self.thread: threading.Thread | None = None
        self.put_in()

    @property
    def port(self) -> str:
        return str(self.path)

    def put_in(self) -> None:
        self.end, self.host_end = os.openpty()
        tty.setraw(self.host_end)
        os.set_blocking(self.end, False)
        self.path.symlink_to(os.ttyname(self.host_end))
        self.pulled = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while not self.pulled.wait(0.001):
            try:
                data = os.read(self.end, 4096)
            except OSError:
                continue
            if not self.deaf and (answer := self.simulator.feed(data)):
                os.write(self.end, answer)

    def pull(self) -> None:
        if self.thread is None:
            return
        self.path.unlink()
        self.pulled.set()
        self.thread.join()
        self.thread = None
        os.close(self.host_end)
        os.close(self.end)

    @property
    def applied(self) -> int:
        return self.simulator.labels.total()


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Plug]:
    plug = Plug(tmp_path / "port")
    yield plug
    plug.pull()


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


class Heard:
    """Keeps a link's events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def wait(self, kind: type, count: int = 1) -> float:
        """Wait until so many of a kind have come; return when."""
        with self.changed:
            assert self.changed.wait_for(lambda: sum(isinstance(e, kind) for e in self.events) >= count, 10.0)
        return time.perf_counter()


def test_a_killed_host_loses_nothing_that_was_durable(start_simulator: Start, outbox: Path) -> None:
    simulator = start_simulator()
    code = (
        "import os, signal, sys\n"
        "from firmware_bridge import CellResult, InstrumentLink\n"
        "link = InstrumentLink.open(sys.argv[1], outbox=sys.argv[2])\n"
        "for number in range(1, 301):\n"
        "    link.send(CellResult(number, 0, 'monocyte', 0.75, (1, 2, 3, 4)), durable=number == 300)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, simulator.port, str(outbox)], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    with InstrumentLink.open(simulator.port, outbox=outbox) as link:
        link.send(cell(301))
        assert link.drain(10.0) == 0
        assert list(link.in_doubt) == []
    *applied, total = simulator.stop()
    assert [line["cell"] for line in applied] == list(range(1, 302))
    assert total["doubled"] == 0
    assert not any("redelivered" in line for line in applied)


def test_what_an_instrument_forgot_goes_out_again_flagged_and_listed(plug: Plug, outbox: Path) -> None:
    heard = Heard()
    with InstrumentLink.open(plug.port, outbox=outbox, on_event=heard) as link:
        link.send(cell(1))
        assert link.drain(10.0) == 0
        plug.deaf = True
        for number in (2, 3):
            link.send(cell(number), durable=True)
        while link.counters.sent < 3:
            time.sleep(0.005)
        plug.pull()
        plug.simulator, plug.deaf = Simulator(as_json=True), False
        plug.put_in()
        assert link.drain(10.0) == 0
        assert [doubt.message.cell_id for doubt in link.in_doubt] == [2, 3]
        assert all(doubt.repeated and doubt.delivered for doubt in link.in_doubt)
        assert (link.counters.in_doubt, link.counters.reconnects) == (2, 1)
        (event,) = (event for event in heard.events if isinstance(event, InDoubt))
        assert [doubt.position for doubt in event.doubts] == [2, 3]
    assert ['"redelivered": true' in line for line in plug.simulator.lines] == [True, True]
    with InstrumentLink.open(plug.port, outbox=outbox) as link:
        assert [doubt.position for doubt in link.in_doubt] == [2, 3]


def test_a_wall_clock_that_jumps_changes_nothing_but_dates(
    plug: Plug, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    years = iter(range(1, 1_000_000))
    monkeypatch.setattr(time, "time_ns", lambda: (-1) ** next(years) * 10**17 + 10**18)
    heard = Heard()
    with InstrumentLink.open(plug.port, outbox=outbox, on_event=heard) as link:
        send_many(link, 200)
        assert link.drain(10.0) == 0
        plug.pull()
        send_many(link, 200)
        plug.put_in()
        heard.wait(Connected, 2)
        assert link.drain(10.0) == 0
        assert list(link.in_doubt) == []
    assert (plug.applied, plug.simulator.doubled, plug.simulator.out_of_order) == (400, 0, 0)


def test_send_never_waits_for_an_instrument_that_is_deaf(plug: Plug, outbox: Path) -> None:
    with InstrumentLink.open(plug.port, outbox=outbox) as link:
        plug.deaf = True
        waits = []
        for number in range(20_000):
            began = time.perf_counter()
            link.send(cell(number))
            waits.append(time.perf_counter() - began)
        assert sorted(waits)[-100] < 0.01
        assert link.drain(0.01) > 19_000
    with Outbox(outbox) as held:
        assert held.last - held.acknowledged >= 19_000


def test_a_full_outbox_is_told_to_send(plug: Plug, outbox: Path) -> None:
    with InstrumentLink.open(plug.port, outbox=outbox) as link:
        plug.deaf = True
        link._store._capacity = 10  # type: ignore[attr-defined]
        with pytest.raises(OutboxFullError, match="10 messages wait"):
            send_many(link, 20)
        plug.deaf = False
        assert link.drain(10.0) == 0
        link.send(cell(99))
        assert link.drain(10.0) == 0


def test_an_outbox_that_fails_is_told_to_send_and_drain(plug: Plug, outbox: Path) -> None:
    with InstrumentLink.open(plug.port, outbox=outbox) as link:
        plug.deaf = True
        (pages,) = link._store._reader.execute("PRAGMA page_count").fetchone()  # type: ignore[attr-defined]
        link._store._connection.execute(f"PRAGMA max_page_count={pages}")  # type: ignore[attr-defined]
        with pytest.raises(OutboxError, match="disk is full"):
            send_many(link, 10_000)
        with pytest.raises(OutboxError, match="disk is full"):
            link.drain(10.0)


def test_a_second_link_on_one_outbox_is_refused(plug: Plug, tmp_path: Path, outbox: Path) -> None:
    other = Plug(tmp_path / "other")
    try:
        with InstrumentLink.open(plug.port, outbox=outbox) as link:
            with pytest.raises(OutboxBusyError, match="in use by another program"):
                InstrumentLink.open(other.port, outbox=outbox)
            link.send(cell(1))
            assert link.drain(10.0) == 0
    finally:
        other.pull()


@pytest.mark.parametrize("durable", [False, True])
def test_after_replugging_delivery_goes_on_in_under_a_quarter_second(plug: Plug, outbox: Path, durable: bool) -> None:
    heard = Heard()
    took_s = []
    with InstrumentLink.open(plug.port, outbox=outbox if durable else None, on_event=heard) as link:
        for number in range(1, 12):
            link.send(cell(number))
            plug.pull()
            heard.wait(Disconnected, number)
            assert isinstance(link.trouble, PortLostError)
            began = time.perf_counter()
            plug.put_in()
            assert link.drain(10.0) == 0
            took_s.append(heard.wait(Connected, number + 1) - began)
        assert link.counters.reconnects == 11
        assert link.trouble is None
    assert plug.applied == 11
    assert plug.simulator.doubled == 0
    print(f"p50 {statistics.median(took_s) * 1000:.0f} ms, worst {max(took_s) * 1000:.0f} ms")  # noqa: T201
    assert statistics.median(took_s) < 0.25


def test_an_instrument_that_restarts_behind_its_port_is_greeted_again(plug: Plug) -> None:
    with InstrumentLink.open(plug.port) as link:
        link.send(cell(1))
        assert link.drain(10.0) == 0
        plug.simulator = Simulator()
        link.send(cell(2))
        assert link.drain(5.0) == 0
        assert link.counters.reconnects == 1
    assert plug.applied == 1


def test_an_instrument_that_stays_away_is_an_error_in_time(plug: Plug) -> None:
    with InstrumentLink.open(plug.port, reconnect_s=0.3) as link:
        link.send(cell(1))
        assert link.drain(10.0) == 0
        began = time.monotonic()
        plug.pull()
        with pytest.raises(PortLostError, match="vanished while in use"):
            send_many(link, 200, pause_s=0.01)
        assert 0.25 < time.monotonic() - began < 2.0


def test_one_that_is_silent_from_the_start_leaves_the_outbox_free(plug: Plug, outbox: Path) -> None:
    plug.deaf = True
    with pytest.raises(NoAnswerError):
        InstrumentLink.open(plug.port, outbox=outbox, hello_timeout_s=0.3)
    plug.deaf = False
    with InstrumentLink.open(plug.port, outbox=outbox) as link:
        link.send(cell(1))
        assert link.drain(10.0) == 0


def test_a_slow_disk_holds_up_nobody(plug: Plug, outbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = outbox_module.Outbox._transact

    def slow(*arguments: Any) -> None:
        time.sleep(0.02)
        commit(*arguments)

    with InstrumentLink.open(plug.port, outbox=outbox) as link:
        monkeypatch.setattr(outbox_module.Outbox, "_transact", slow)
        began = time.perf_counter()
        for number in range(1000):
            link.send(cell(number))
        assert time.perf_counter() - began < 0.5
        assert link.drain(20.0) == 0
    assert plug.applied == 1000
