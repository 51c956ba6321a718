"""A connection that gives up on who is too slow, and the listening socket that takes only so many of them."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from typing import Any
from weakref import WeakSet

from h11 import LocalProtocolError
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 128
"""Connections at once. A browser keeps six of one server, and the pipeline beside needs files of its own."""
MOST_OF_ONE = 64
"""Of one address, so that nobody takes them all."""
HEAD_S = 10
"""From a connection, or from a request's first byte, to the end of the request's head."""
KEEP_ALIVE_S = 15
STUCK_S = 60
"""After which a reader that takes nothing any more is let go."""
BUFFER_BYTES = 131_072
"""That the system keeps of an answer for each reader: a slow one shows what is old, and takes memory."""


class Connection(H11Protocol):
    """uvicorn's waits for a request's head, and for a reader, without end."""

    _head: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head = self.loop.call_later(HEAD_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._head is None and (self.cycle is None or self.cycle.response_complete):
            self._head = self.loop.call_later(HEAD_S, self.transport.abort)
        super().data_received(data)
        self._disarm_if_asked()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._disarm_if_asked()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(STUCK_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stuck = _off(self._stuck)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head, self._stuck = _off(self._head), _off(self._stuck)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        try:
            super().shutdown()
        except LocalProtocolError:  # what it said was no HTTP
            self.transport.abort()

    def _disarm_if_asked(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._head = _off(self._head)


def _off(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None


class Listening(socket.socket):
    """Takes connections up to a number and shuts the door on more, those that still shake hands for TLS among them."""

    def __init__(self, *arguments: Any, most_of_one: int = MOST_OF_ONE, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.most_of_one = most_of_one
        self._open: WeakSet[socket.socket] = WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        connection, address = super().accept()
        of = Counter(_peer(one) for one in self._open if one.fileno() >= 0)
        if of.total() >= MOST or of[address[0]] >= self.most_of_one:
            connection.close()
            raise BlockingIOError("too many connections")
        self._open.add(connection)
        return connection, address


def _peer(connection: socket.socket) -> str:
    try:
        return str(connection.getpeername()[0])
    except OSError:  # it has gone, and its transport does not know yet
        return ""
