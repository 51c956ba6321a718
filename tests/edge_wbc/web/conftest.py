"""A real server on a free port, and people who come to it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from argon2 import PasswordHasher

from edge_wbc.web import app, passwords
from edge_wbc.web.server import Serving, beside
from edge_wbc.web.site import Site
from edge_wbc.web.users import Users
from tests.edge_wbc.web import doors

PASSWORD = "a sentence to remember"
ROLES = {"vera": "viewer", "rita": "reviewer", "ada": "administrator"}


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    url: str
    """The address that it printed."""
    users: Users

    @property
    def base(self) -> str:
        return self.url.partition("?")[0].rstrip("/")

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def cookie(self) -> str:
        return f"edge-wbc-{self.port}"

    def connect(self) -> socket.socket:
        """A connection for what no proper client sends; it waits 10 s for an answer."""
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def raw(self, request: bytes) -> bytes:
        """Send bytes and read until the server closes."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Until it is closed, in order or not."""
    got = bytearray()
    try:
        while piece := connection.recv(65536):
            got += piece
    except ConnectionError:
        pass
    return bytes(got)


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes them safe makes tests slow; `test_passwords` has the real ones."""
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    passwords.nobodys.cache_clear()


@pytest.fixture(autouse=True)
def more_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "ROUTES", (*app.ROUTES, "tests.edge_wbc.web.doors:router"))
    monkeypatch.setattr(doors, "done", [])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where sessions are, as the fixture ``record`` has it."""
    folder = tmp_path / "sessions"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def users(tmp_path: Path) -> Users:
    """Nobody yet."""
    return Users(tmp_path / "users.json")


@pytest.fixture
def people(users: Users) -> Users:
    """One of each role, all with `PASSWORD`."""
    for name, role in ROLES.items():
        users.add(name, role, passwords.hashed(PASSWORD))
    return users


@pytest.fixture
def start(place: Path, users: Users) -> Iterator[Callable[..., Served]]:
    """Starts a server, which ends with the test."""
    with ExitStack() as stack:

        def begin(**more: object) -> Served:
            serving = Serving(port=0, users=users.path, **more)  # type: ignore[arg-type]
            return Served(stack.enter_context(beside(Site(place), serving)), users)

        yield begin


@pytest.fixture
def alone(start: Callable[..., Served]) -> Served:
    """One without users."""
    return start()


@pytest.fixture
def shared(people: Users, start: Callable[..., Served]) -> Served:
    """One where everybody logs in."""
    return start()


@pytest.fixture
def client() -> Iterator[Callable[[Served], httpx.Client]]:
    """Makes browsers with nobody in them yet."""
    with ExitStack() as stack:
        yield lambda served: stack.enter_context(httpx.Client(base_url=served.base, timeout=10))


@pytest.fixture
def come_in(client: Callable[[Served], httpx.Client]) -> Callable[..., httpx.Client]:
    """Somebody who has logged in, with the token that changes need in every request."""

    def log_in(served: Served, name: str, password: str = PASSWORD) -> httpx.Client:
        browser = client(served)
        answer = browser.post("/login", data={"name": name, "password": password})
        assert answer.status_code == 303, answer.text
        browser.headers["X-CSRF-Token"] = browser.get("/api/doors/who").json()["csrf"]
        return browser

    return log_in
