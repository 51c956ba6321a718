"""What every answer carries, and answers of one line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope, Send

LOOK_AGAIN_S = 1.0
"""How often an answer that goes on asks whether its reader may still read."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
"""Of every answer whose handler says nothing else."""
STRICT_TRANSPORT = "max-age=31536000"


class Refused(Exception):
    """An answer in one line, in place of the route's."""

    def __init__(self, status: int, line: str, **headers: str) -> None:
        super().__init__(line)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Answer:
    """Adds what every answer carries, and knows whether it has begun."""

    def __init__(self, scope: Scope, send: Send, *, secure: bool) -> None:
        self._scope = scope
        self._send = send
        self._secure = secure
        self._looked_s = time.monotonic()
        self.begun = False
        self.cut = False
        """Whether its reader's login ended meanwhile."""
        self.may_go_on: Callable[[], bool] = lambda: True

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            if self._scope["path"].startswith("/static/"):
                headers.setdefault("Cache-Control", "no-cache")
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if self._secure:
                headers["Strict-Transport-Security"] = STRICT_TRANSPORT
        elif message.get("more_body") and time.monotonic() - self._looked_s > LOOK_AGAIN_S:
            self._looked_s = time.monotonic()
            self.cut = self.cut or not self.may_go_on()
        if self.cut:
            raise ConnectionAbortedError
        await self._send(message)

    async def line(self, status: int, line: str, headers: dict[str, str]) -> None:
        """Answer with one line, unless something was answered."""
        if self.begun:
            return
        of_api = self._scope["path"].startswith("/api/")
        text = json.dumps({"detail": line}) if of_api else f"{line}\n"
        headers = {"content-type": "application/json" if of_api else "text/plain; charset=utf-8", **headers}
        body = b"" if status == 303 else text.encode()
        headers["content-length"] = str(len(body))
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})
