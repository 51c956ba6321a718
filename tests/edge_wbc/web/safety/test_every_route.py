"""What holds of every route there is, whoever adds one."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from fastapi.routing import APIRoute

from edge_wbc.uri import load
from edge_wbc.web import app
from tests.edge_wbc.web.conftest import Served

FOR_VIEWERS = {"/api/doors/look", "/logout"}
"""What a viewer may change."""
FOR_ALL = {"/login"}
SAFE = {"GET", "HEAD"}


@pytest.fixture
def routes() -> list[APIRoute]:
    found = [route for part in app.ROUTES for route in load(part).routes]
    assert {"/", "/login", "/api/sessions", "/api/doors/move"} <= {route.path for route in found}
    return found


def filled(path: str) -> str:
    return re.sub(r"{[^}]*}", "1", path)


def test_nobody_gets_anything(shared: Served, client: Callable[[Served], httpx.Client], routes: list[APIRoute]) -> None:
    browser = client(shared)
    for route in routes:
        for method in route.methods:
            if route.path not in FOR_ALL:
                answer = browser.request(method, filled(route.path))
                page = method in SAFE and not route.path.startswith("/api/")
                assert answer.status_code == (303 if page else 401), (method, route.path)


def test_a_viewer_changes_nothing(shared: Served, come_in: Callable[..., httpx.Client], routes: list[APIRoute]) -> None:
    vera = come_in(shared, "vera")
    for route in routes:
        for method in route.methods - SAFE:
            if route.path not in FOR_VIEWERS | FOR_ALL:
                answer = vera.request(method, filled(route.path), json={})
                assert answer.status_code == 403, (method, route.path)
                assert "needs the role" in answer.text


def test_nothing_changes_without_the_token(
    shared: Served, come_in: Callable[..., httpx.Client], routes: list[APIRoute]
) -> None:
    ada = come_in(shared, "ada")
    del ada.headers["X-CSRF-Token"]
    for route in routes:
        for method in route.methods - SAFE:
            if route.path not in FOR_ALL:
                answer = ada.request(method, filled(route.path), json={})
                assert answer.status_code == 403, (method, route.path)
                assert "token" in answer.text
