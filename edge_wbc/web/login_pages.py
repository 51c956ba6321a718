"""Coming in and going out: forms that work without scripts."""

from __future__ import annotations

import hmac
import re
from urllib.parse import parse_qs

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from edge_wbc.web.access import Viewer
from edge_wbc.web.entrance import NotIn, TooOften, entrance_of
from edge_wbc.web.guard import cookie_text
from edge_wbc.web.pages import shown
from edge_wbc.web.served import Served

router = APIRouter(include_in_schema=False)
_LOCAL = re.compile(r"/(?!/)[!-\[\]-~]{0,500}")
"""A path of this server, with nothing a browser would take for another's: no second slash, no backslash."""


@router.get("/login")
def login_page(request: Request, next: str = "/") -> Response:
    if getattr(request.state, "user", None) is not None:
        return RedirectResponse(local(next), 303)
    return _page(request, 200, next)


@router.post("/login")
async def log_in(request: Request) -> Response:
    fields = await _form(request)
    state, entrance = request.state, entrance_of(request)
    try:
        given = fields.get("name", ""), fields.get("password", "")
        id_ = await entrance.log_in(*given, state.address, state.login_id)
    except NotIn as error:
        return _page(request, 401, fields.get("next", ""), str(error))
    except TooOften as error:
        return _page(request, 429, fields.get("next", ""), str(error), **{"Retry-After": str(error.wait_s)})
    return RedirectResponse(local(fields.get("next", "")), 303, {"Set-Cookie": cookie_text(_served(request), id_)})


@router.post("/logout")
async def log_out(request: Request, user: Viewer) -> Response:
    """:raises HTTPException: 403, without the token of the login that is to end."""
    token = (await _form(request)).get("csrf", "")
    if not hmac.compare_digest(token.encode(), request.state.csrf.encode()):
        raise HTTPException(403, "the token of this login is missing or old; load the page again")
    entrance_of(request).logins.end(request.state.login_id)
    return RedirectResponse("/login", 303, {"Set-Cookie": cookie_text(_served(request), "")})


def local(target: str) -> str:
    """Where to go next: a path of this server, or the first page."""
    return target if _LOCAL.fullmatch(target) else "/"


def _page(request: Request, status: int, target: str, error: str = "", **headers: str) -> Response:
    alone = entrance_of(request).alone
    page = shown(request, "login.html", None, next=local(target), error=error, alone=alone)
    page.status_code = status
    # Without this a browser keeps its origin back when the form is sent, and could not be told from a foreign page.
    page.headers.update({"Referrer-Policy": "same-origin", **headers})
    return page


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; the first of several of one name."""
    try:
        found = parse_qs((await request.body()).decode(), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        raise HTTPException(400, "this is no form") from None
    return {name: values[0] for name, values in found.items()}


def _served(request: Request) -> Served:
    served: Served = request.app.state.served
    return served
