"""Ports: across a real network, by stable names, and boards that start when their port is opened."""

from __future__ import annotations

import os
import socket
import threading
import time
import tty
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import serial
from serial.rfc2217 import PortManager

from firmware_bridge import CellResult, InstrumentLink, PortAbsentError, PortLostError, ports
from firmware_bridge.ports import PortInfo, default_outbox, list_ports, stable_name
from firmware_bridge.simulator import Simulator
from firmware_bridge.transport_url import open_port


def cell(number: int) -> CellResult:
    return CellResult(number, 0, "monocyte", 0.75, (1, 2, 3, 4))


class Server:
    """A simulated instrument behind TCP, plain or as RFC 2217 (the server's half is pyserial's own)."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.simulator = Simulator(quiet=True)
        self.baud = 0
        self.listen(0)

    def listen(self, port: int) -> None:
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._accept)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        self.socket.settimeout(0.02)
        while not self.stopped.is_set():
            try:
                connection, _ = self.socket.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(0.02)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        lock = threading.Lock()

        def write(data: bytes) -> None:
            with lock:
                connection.sendall(data)

        manager = None
        if self.scheme == "rfc2217":
            port = serial.serial_for_url("loop://", timeout=0)
            manager = PortManager(port, SimpleNamespace(write=write))
        while not self.stopped.is_set():
            try:
                data = connection.recv(4096)
            except TimeoutError:
                continue
            except ConnectionResetError:
                return
            if not data:
                return
            if manager is not None:
                data = b"".join(manager.filter(data))
                self.baud = port.baudrate
            answer = self.simulator.feed(data)
            if answer:
                write(b"".join(manager.escape(answer)) if manager is not None else answer)

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()
        self.socket.close()


@pytest.fixture(params=["socket", "rfc2217"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(request.param)
    yield server
    server.stop()


def test_results_cross_a_network(server: Server) -> None:
    with InstrumentLink.open(server.url, baud=57600) as link:
        for number in range(500):
            link.send(cell(number))
        assert link.drain(20.0) == 0
        assert link.counters.crc_errors == 0
    assert (server.simulator.labels.total(), server.simulator.doubled) == (500, 0)
    assert server.baud == (57600 if server.scheme == "rfc2217" else 0)


def test_a_server_that_goes_away_is_found_again(server: Server, tmp_path: Path) -> None:
    with InstrumentLink.open(server.url, outbox=tmp_path / "outbox") as link:
        link.send(cell(1))
        assert link.drain(10.0) == 0
        server.stop()
        deadline = time.monotonic() + 10.0
        while link.trouble is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert isinstance(link.trouble, PortLostError)
        link.send(cell(2))
        server.listen(server.port)
        assert link.drain(10.0) == 0
        assert link.counters.reconnects == 1
    assert (server.simulator.labels.total(), server.simulator.doubled) == (2, 0)


def test_one_result_over_a_network_is_not_held_back(server: Server) -> None:
    with InstrumentLink.open(server.url) as link:
        took_s = []
        for number in range(20):
            began = time.perf_counter()
            link.send(cell(number))
            assert link.drain(10.0) == 0
            took_s.append(time.perf_counter() - began)
    assert sorted(took_s)[10] < 0.03


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("socket://127.0.0.1:1", "can't be reached"),
        ("rfc2217://127.0.0.1:1", "can't be reached"),
        ("socket://", "can't be reached"),
        ("http://127.0.0.1", r"is socket://HOST:PORT or rfc2217://HOST:PORT"),
    ],
)
def test_an_address_where_nothing_answers_is_named(url: str, says: str) -> None:
    with pytest.raises(PortAbsentError, match=says) as caught:
        open_port(url, 115200)
    assert "\n" not in str(caught.value)


def test_a_plain_server_is_no_rfc_2217() -> None:
    server = Server("socket")
    try:
        with pytest.raises(PortAbsentError, match=r"can't be reached.*RFC2217"):
            open_port(f"rfc2217://127.0.0.1:{server.port}?timeout=0.3", 115200)
    finally:
        server.stop()


class SlowStarter:
    """A board that starts when its port is opened, and throws away what it hears meanwhile."""

    def __init__(self, start_s: float) -> None:
        self.end, self.host_end = os.openpty()

        tty.setraw(self.host_end)
        os.set_blocking(self.end, False)
        self.port = os.ttyname(self.host_end)
        self.simulator = Simulator(quiet=True)
        self.start_s = start_s
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        began = None
        while not self.stopped.wait(0.002):
            try:
                data = os.read(self.end, 4096)
            except OSError:
                continue
            began = began or time.monotonic()
            if time.monotonic() - began >= self.start_s and (answer := self.simulator.feed(data)):
                os.write(self.end, answer)

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()
        os.close(self.end)
        os.close(self.host_end)


def test_a_board_that_starts_when_opened_is_greeted_until_it_is_there() -> None:
    board = SlowStarter(2.5)
    try:
        with InstrumentLink.open(board.port) as link:
            link.send(cell(1))
            assert link.drain(10.0) == 0
    finally:
        board.stop()
    assert board.simulator.labels.total() == 1


@pytest.fixture
def udev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes devices as udev shows them."""
    by_id, by_path = tmp_path / "by-id", tmp_path / "by-path"
    by_id.mkdir()
    by_path.mkdir()
    found: list[SimpleNamespace] = []
    monkeypatch.setattr(ports, "BY_ID", str(by_id))
    monkeypatch.setattr(ports, "BY_PATH", str(by_path))
    monkeypatch.setattr(ports, "_comports", lambda: found)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def plug(name: str, number: str | None) -> str:
        device = tmp_path / name
        device.touch()
        (by_id / f"usb-{name}").symlink_to(device)
        (by_path / f"pci-{name}").symlink_to(device)
        found.append(SimpleNamespace(device=str(device), serial_number=number, description=f"a {name}", vid=1))
        return str(device)

    return plug


def test_a_port_keeps_its_name_when_it_is_plugged_in_elsewhere(udev: Callable[..., str], tmp_path: Path) -> None:
    uno = udev("uno", "7423")
    clone = udev("clone", None)
    assert stable_name(uno) == str(tmp_path / "by-id" / "usb-uno")
    assert stable_name(clone) == str(tmp_path / "by-path" / "pci-clone")
    assert stable_name("/dev/ttyS99") == "/dev/ttyS99"
    alias = tmp_path / "edge-wbc-instrument"
    alias.symlink_to(uno)
    assert default_outbox(str(alias)) == default_outbox(uno) == tmp_path / "state/edge-wbc/outbox/usb-uno.sqlite"
    assert list_ports() == [
        PortInfo(str(tmp_path / "by-id" / "usb-uno"), uno, "a uno", "7423"),
        PortInfo(str(tmp_path / "by-path" / "pci-clone"), clone, "a clone", None),
    ]


def test_what_a_machine_has_can_be_listed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(list_ports(), list)
