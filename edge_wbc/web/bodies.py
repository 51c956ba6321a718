"""Bodies of requests: read whole before anybody works on them, up to a size and within a time."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from edge_wbc.web.answers import Refused

LARGEST_BODY = 65_536
LARGER_BODIES = (("/api/sessions/", 1_000_000),)
"""Beginnings of paths that take more: all of 10,000 cells are moved at once in some 300 kB."""
BODY_S = 20.0
"""From a request's head to the end of its body, besides what the largest takes at the rate of a bad network."""
SLOWEST_BYTES_S = 10_000.0


def limit_of(path: str) -> int:
    return next((limit for beginning, limit in LARGER_BODIES if path.startswith(beginning)), LARGEST_BODY)


async def whole(receive: Receive, headers: Headers, limit: int) -> bytes:
    """A request's whole body, read before anybody works on it.

    :raises Refused: too large, too slow, or its sender went away.
    """
    length = headers.get("content-length", "0")
    if length == "0" and "transfer-encoding" not in headers:
        return b""
    too_large = Refused(413, f"more than {limit} bytes", connection="close")
    if not length.isdigit() or int(length) > limit:
        raise too_large
    body = bytearray()

    async def read() -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the request broke off")
            body.extend(message.get("body", b""))
            if len(body) > limit:
                raise too_large
            more = message.get("more_body", False)

    try:
        await asyncio.wait_for(read(), BODY_S + limit / SLOWEST_BYTES_S)
    except asyncio.TimeoutError:
        raise Refused(408, "the request came too slowly", connection="close") from None
    return bytes(body)


def replayed(body: bytes, receive: Receive) -> Receive:
    """The body once, then what comes after it: that the reader has gone."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        message = await receive()
        while message["type"] == "http.request":  # of a request without a body, its end
            message = await receive()
        return message

    return replay
