"""The site served for real, on a free port of this machine, to whoever a request says it is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from edge_wbc.web.access import REVIEWER, User
from edge_wbc.web.answers import Answer
from edge_wbc.web.app import make_app
from edge_wbc.web.site import Site

WHO, ROLE = "x-test-who", "x-test-role"
NOBODY = "nobody"


class _As:
    """Takes a request's word for who asks: a header, or a cookie in a browser; anna, a reviewer, unless told.

    Answers carry what those of the real server do, the content-security policy among it.
    """

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            told = {name.decode(): value.decode() for name, value in scope["headers"]}
            cookies = dict(part.strip().split("=", 1) for part in told.get("cookie", "").split(";") if "=" in part)
            name = told.get(WHO) or cookies.get("who", "anna")
            role = told.get(ROLE) or cookies.get("role", REVIEWER)
            scope["state"] = scope.get("state", {}) | ({} if name == NOBODY else {"user": User(name, role)})
            send = Answer(scope, send, secure=False).send
        await self._app(scope, receive, send)


@dataclass(frozen=True)
class Served:
    """A site that is being served."""

    url: str
    place: Path
    """Where its sessions lie."""
    server: uvicorn.Server

    def client(self, who: str = "anna", role: str = REVIEWER) -> httpx.Client:
        """Somebody's; to be closed, or used as a context manager."""
        return httpx.Client(base_url=self.url, headers={WHO: who, ROLE: role}, timeout=30)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A site whose sessions lie where `record` writes them."""
    place = tmp_path / "sessions"
    place.mkdir()
    with serving(place) as one:
        yield one


class serving:  # noqa: N801
    """Serve the sessions of a place while this is entered."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __enter__(self) -> Served:
        # With TCP by name: asyncio sets TCP_NODELAY on such sockets alone. Who comes before it answers waits.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        app = _As(make_app(Site(self._place)))
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        return Served(f"http://127.0.0.1:{self._socket.getsockname()[1]}", self._place, self._server)

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()
