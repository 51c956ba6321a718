"""Large JSON goes out compressed."""

from __future__ import annotations

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

SMALLEST = 4096
"""Bytes worth the processor's time."""
LEVEL = 4


class Packed:
    """Of the API alone, where JSON was asked for: crops are compressed, streams can't wait, pages hold a token."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._gzip = GZipMiddleware(app, minimum_size=SMALLEST, compresslevel=LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wants_json = (b"accept", b"application/json") in scope.get("headers", ())
        await (self._gzip if wants_json and scope["path"].startswith("/api/") else self._app)(scope, receive, send)
