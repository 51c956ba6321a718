"""The guard before every route: who asks, from where, how much; and what every answer carries."""

from __future__ import annotations

import hmac
import logging
from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from edge_wbc.errors import EdgeWbcError, first_line
from edge_wbc.web.answers import Answer, Refused
from edge_wbc.web.bodies import LARGEST_BODY, limit_of, replayed, whole
from edge_wbc.web.entrance import Entrance, Inside
from edge_wbc.web.served import Served

LARGEST_HEAD = 16_384
"""Bytes of a request's headers together. A browser's are some 1,000."""
LONGEST_TARGET = 4096
OPEN = ("/static/", "/login")
"""Beginnings of paths for everybody."""
SAFE = ("GET", "HEAD")
_LOG = logging.getLogger("edge_wbc.web")


class Guard:
    """Stands before the application."""

    def __init__(self, app: ASGIApp, entrance: Entrance, served: Served) -> None:
        self._app = app
        self._entrance = entrance
        self._served = served
        self._said = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = Answer(scope, send, secure=self._served.secure)
        try:
            await self._let_in(scope, receive, answer)
        except Refused as refused:
            await answer.line(refused.status, str(refused), refused.headers)
        except EdgeWbcError as error:
            self._say(str(error))
            await answer.line(503, "nobody can come in now; what is wrong is where edge-wbc was started", {})
        except Exception as error:
            if answer.cut:
                return
            self._say(_told(scope, error))
            await answer.line(500, "the server failed at this; what it was is where edge-wbc was started", {})

    def _say(self, line: str) -> None:
        if line != self._said:  # whoever asks again fills no log
            self._said = line
            _LOG.error("edge-wbc: %s", line)

    async def _let_in(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        headers = Headers(scope=scope)
        self._check_head(scope, headers)
        path, method = scope["path"], scope["method"]
        id_ = Request(scope).cookies.get(self._served.cookie)
        inside = self._entrance.inside(id_)
        if inside is None and path == "/" and (token := parse_qs(scope["query_string"].decode("latin-1")).get("token")):
            self._launch(token[0], id_)
        if inside is None and not path.startswith(OPEN):
            raise _not_in(scope)
        if method not in SAFE:
            self._check_origin(path, headers, inside)
        state = scope.setdefault("state", {})
        state["login_id"] = id_
        state["address"] = self._served.address_of(scope.get("client"), headers)
        if inside is not None:
            state["user"], state["csrf"] = inside.user, inside.login.csrf
            answer.may_go_on = lambda: self._entrance.inside(id_) is not None
        body = await whole(receive, headers, limit_of(path) if inside else LARGEST_BODY)
        await self._app(scope, replayed(body, receive), answer.send)

    def _check_head(self, scope: Scope, headers: Headers) -> None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LARGEST_HEAD:
            raise Refused(431, "the request's headers are too large", connection="close")
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_TARGET:
            raise Refused(414, "the address is too long", connection="close")
        if not scope["path"].isprintable():
            raise Refused(400, "no such address")
        if not self._served.is_ours(headers.get("host", "")):
            raise Refused(421, "this server does not go by that name; `edge-wbc serve --name NAME` gives it one")
        if self._served.proxied and headers.get("x-forwarded-proto", "").strip().lower() != "https":
            raise Refused(403, "come through the proxy, by https")
        if "websocket" in headers.get("upgrade", "").lower():
            raise Refused(400, "there are no WebSockets here", connection="close")

    def _launch(self, token: str, before: str | None) -> None:
        """Turn the launch token into a login.

        :raises Refused: to go to the page without the token, or because it is another's.
        """
        id_ = self._entrance.launch(token, before)
        if id_ is None:
            raise Refused(403, "this address is of an earlier start; open the one that was printed last")
        raise Refused(303, "welcome", location="/", set_cookie=cookie_text(self._served, id_))

    def _check_origin(self, path: str, headers: Headers, inside: Inside | None) -> None:
        token = headers.get("x-csrf-token", "")
        has_token = inside is not None and hmac.compare_digest(token.encode(), inside.login.csrf.encode())
        if not self._served.is_from_here(headers, has_token=has_token):
            raise Refused(403, "this came from another site", connection="close")
        if not has_token and path not in ("/login", "/logout"):  # forms: they look themselves
            raise Refused(403, "the token of this login is missing or old; load the page again", connection="close")


def cookie_text(served: Served, id_: str) -> str:
    """The cookie that carries a login; an empty id takes it away. It lasts until the browser ends."""
    ends = "; Max-Age=0" * (not id_)
    return f"{served.cookie}={id_}; Path=/; HttpOnly; SameSite=Strict{'; Secure' * served.secure}{ends}"


def _not_in(scope: Scope) -> Refused:
    if scope["method"] not in SAFE or scope["path"].startswith("/api/"):
        return Refused(401, "log in first", connection="close")
    target = scope["path"] + "?" * bool(scope["query_string"]) + scope["query_string"].decode("latin-1")
    return Refused(
        303, "log in first", location=f"/login?next={quote(target, safe='/')}" if target != "/" else "/login"
    )


def _told(scope: Scope, error: Exception) -> str:
    """Where it failed, in one line without what a terminal would act on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
    return (
        f"{scope['method']} {scope['path']!a}: {type(error).__name__}: {first_line(error)!a}{where}; please report it"
    )
