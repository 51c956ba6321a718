"""The server: it listens, says where, and ends in order."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from edge_wbc.web.app import make_app
from edge_wbc.web.connection import KEEP_ALIVE_S, MOST, Connection, Listening
from edge_wbc.web.entrance import Entrance
from edge_wbc.web.guard import LARGEST_HEAD, Guard
from edge_wbc.web.listening import Serving, address, check, listen, served, tls
from edge_wbc.web.packed import Packed
from edge_wbc.web.passwords import nobodys
from edge_wbc.web.site import Site
from edge_wbc.web.users import Users, default_users

__all__ = ["Serving", "beside", "serve"]


def serve(site: Site, serving: Serving, ready: Callable[[str], None], stop: threading.Event | None = None) -> None:
    """Serve the pages of a site until ``stop`` is set, or SIGINT or SIGTERM comes where this is the main thread.

    :param ready: called once it listens, with the address to open.
    :raises UsageError: it would be open to the network unguarded.
    :raises InputRefused: the certificate or the file of users can't be used.
    :raises EnvironmentMissing: the address can't be listened on.
    """
    _run(_prepared(site, serving), ready, stop or threading.Event())


@contextmanager
def beside(site: Site, serving: Serving) -> Iterator[str]:
    """Serve in a thread of its own until this is left; gives the address to open.

    :raises UsageError: as `serve`, and so the others.
    """
    prepared = _prepared(site, serving)
    stop, said, opened = threading.Event(), threading.Event(), [""]

    def ready(url: str) -> None:
        opened[0] = url
        said.set()

    def run() -> None:
        try:
            _run(prepared, ready, stop)
        finally:
            said.set()

    thread = threading.Thread(target=run, name="web", daemon=True)
    thread.start()
    said.wait()
    try:
        yield opened[0]
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True, slots=True)
class _Prepared:
    config: uvicorn.Config
    listening: Listening
    url: str


def _prepared(site: Site, serving: Serving) -> _Prepared:
    users = Users(serving.users or default_users())
    has_users = bool(users.all())
    loopback = check(serving, has_users=has_users)
    context = tls(serving)
    listening = listen(serving)
    port = listening.getsockname()[1]
    entrance = Entrance(users, alone=loopback and not serving.behind_proxy)
    if has_users:
        nobodys()  # made now, not while the first one waits
    app = make_app(site)
    app.state.entrance = entrance
    app.state.served = served(serving, port, loopback=loopback)
    config = uvicorn.Config(
        Guard(Packed(app), entrance, app.state.served),
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=LARGEST_HEAD,
    )
    config.load()
    config.ssl = context
    return _Prepared(config, listening, address(serving, port, None if has_users else entrance.launch_token))


def _run(prepared: _Prepared, ready: Callable[[str], None], stop: threading.Event) -> None:
    with prepared.listening as listening:
        _Server(prepared.config, stop, lambda: ready(prepared.url)).run(sockets=[listening])


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
