"""The server: it listens, says where, and ends in order."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from edge_wbc.errors import EnvironmentMissing, reason
from edge_wbc.web.app import make_app
from edge_wbc.web.site import Site

PORT = 8642


@dataclass(frozen=True, slots=True)
class Serving:
    """Where to listen, and who may come in."""

    host: str = "127.0.0.1"
    port: int = PORT
    """0: any that is free."""
    certificate: Path | None = None
    key: Path | None = None
    """Of the certificate; None where that file holds it too."""
    users: Path | None = None
    """The file of users; the user's data folder has it by default."""


def serve(site: Site, serving: Serving, ready: Callable[[str], None], stop: threading.Event | None = None) -> None:
    """Serve the pages of a site until ``stop`` is set, or SIGINT or SIGTERM comes where this is the main thread.

    :param ready: called once it listens, with the address to open.
    :raises EnvironmentMissing: the address can't be listened on.
    """
    listening = _listen(serving)
    _run(site, serving, listening, ready, stop or threading.Event())


@contextmanager
def beside(site: Site, serving: Serving) -> Iterator[str]:
    """Serve in a thread of its own until this is left; gives the address to open.

    :raises EnvironmentMissing: the address can't be listened on.
    """
    listening = _listen(serving)
    stop, said, address = threading.Event(), threading.Event(), [""]

    def ready(url: str) -> None:
        address[0] = url
        said.set()

    def run() -> None:
        try:
            _run(site, serving, listening, ready, stop)
        finally:
            said.set()

    thread = threading.Thread(target=run, name="web", daemon=True)
    thread.start()
    said.wait()
    try:
        yield address[0]
    finally:
        stop.set()
        thread.join()


def _run(
    site: Site, serving: Serving, listening: socket.socket, ready: Callable[[str], None], stop: threading.Event
) -> None:
    config = uvicorn.Config(
        make_app(site),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config, stop, lambda: ready(f"http://{serving.host}:{listening.getsockname()[1]}/"))
    server.run(sockets=[listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stop: threading.Event, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own raises them again at the end: to be told to end is how a server ends."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        return self._stop.is_set() or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # they are gone before the loop is


def _listen(serving: Serving) -> socket.socket:
    try:
        return socket.create_server((serving.host, serving.port))
    except OSError as error:
        raise EnvironmentMissing(
            f"{serving.host}:{serving.port}: {reason(error)}; end what listens there, or name another --port"
        ) from None
