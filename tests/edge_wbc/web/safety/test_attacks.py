"""Attacks on a real server, none of which may succeed."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import httpx
import pytest

from edge_wbc.web import answers, attempts, bodies, connection, entrance, passwords
from tests.edge_wbc.web import doors
from tests.edge_wbc.web.conftest import PASSWORD, Served, read_all

Client = Callable[[Served], httpx.Client]
ComeIn = Callable[..., httpx.Client]


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# Who comes in


def test_nobody_comes_in_without_a_login(shared: Served, client: Client) -> None:
    browser = client(shared)
    page = browser.get("/sessions/a?cell=3&next=//evil")
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/sessions/a%3Fcell%3D3%26next%3D//evil")
    for path in ("/api/sessions", "/api/openapi.json", "/api/doors/who", "/api/nothing"):
        answer = browser.get(path)
        assert (answer.status_code, answer.json()) == (401, {"detail": "log in first"})
    assert browser.post("/api/doors/move").status_code == 401
    assert browser.request("OPTIONS", "/api/doors/move").status_code == 401
    assert browser.post("/logout").status_code == 401
    assert browser.get("/static/site.css").status_code == 200


def test_the_launch_token_and_nothing_else_lets_in(alone: Served, client: Client) -> None:
    first, second = client(alone), client(alone)
    welcome = first.get(alone.url)
    assert (welcome.status_code, welcome.headers["location"]) == (303, "/")
    assert first.get("/api/doors/who").json()["role"] == "administrator"
    for wrong in ("x", "ä", alone.url[-43:-1]):
        assert second.get("/", params={"token": wrong}).status_code == 403
    assert second.get("/api/doors/who").status_code == 401
    assert "edge-wbc serve" in second.get("/login").text
    assert second.post("/login", data={"name": "root", "password": ""}).status_code == 401
    assert second.get(alone.url).status_code == 303  # as of a browser that was closed
    assert second.get("/api/doors/who").status_code == 200
    assert second.cookies != first.cookies


def test_with_the_first_user_the_launch_token_is_worth_nothing(alone: Served, client: Client) -> None:
    inside = client(alone)
    inside.get(alone.url)
    assert inside.get("/api/doors/who").status_code == 200
    alone.users.add("anna", "viewer", passwords.hashed(PASSWORD))
    assert inside.get("/api/doors/who").status_code == 401
    alone.users.remove("anna")
    assert inside.get("/api/doors/who").status_code == 401  # it has ended


def test_a_launch_token_of_a_server_with_users_is_none(shared: Served, client: Client) -> None:
    assert "token" not in shared.url
    assert client(shared).get("/?token=x").status_code == 403


@pytest.mark.parametrize(
    ("name", "password"), [("rita", "wrong password"), ("nobody", PASSWORD), ("", ""), ("rita\x00", PASSWORD)]
)
def test_a_wrong_password_and_an_unknown_name_look_the_same(
    shared: Served, client: Client, name: str, password: str
) -> None:
    answer = client(shared).post("/login", data={"name": name, "password": password})
    assert answer.status_code == 401
    assert "name and password do not fit" in answer.text
    assert "set-cookie" not in answer.headers


def test_an_unknown_name_costs_a_comparison_too(
    shared: Served, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    real = passwords.fits
    monkeypatch.setattr(entrance, "fits", lambda *given: compared.append(given[0]) or real(*given))
    for name in ("nobody", "rita"):
        client(shared).post("/login", data={"name": name, "password": "wrong password"})
    assert compared[0] is None
    assert compared[1] is not None


def test_a_login_that_was_planted_before_is_not_taken_over(shared: Served, client: Client, come_in: ComeIn) -> None:
    attacker = come_in(shared, "vera")
    planted = attacker.cookies[shared.cookie]
    for before in (planted, "of-my-own-making"):
        victim = client(shared)
        victim.cookies.set(shared.cookie, before, domain="127.0.0.1")
        answer = victim.post("/login", data={"name": "rita", "password": PASSWORD})
        given = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
        assert given not in ("", before)
        spy = client(shared)
        spy.cookies.set(shared.cookie, before, domain="127.0.0.1")
        assert spy.get("/api/doors/who").status_code == 401  # and the planted one has ended


def test_logging_out_ends_the_login_itself(shared: Served, client: Client, come_in: ComeIn) -> None:
    rita = come_in(shared, "rita")
    stolen = rita.cookies[shared.cookie]
    forged = rita.post("/logout", data={"csrf": "x"})
    assert forged.status_code == 403
    assert rita.get("/api/doors/who").status_code == 200
    left = rita.post("/logout", data={"csrf": rita.headers["X-CSRF-Token"]})
    assert "Max-Age=0" in left.headers["set-cookie"]
    thief = client(shared)
    thief.cookies.set(shared.cookie, stolen, domain="127.0.0.1")
    assert thief.get("/api/doors/who").status_code == 401


def test_another_password_or_none_ends_the_logins_at_once(shared: Served, come_in: ComeIn) -> None:
    rita, vera = come_in(shared, "rita"), come_in(shared, "vera")
    shared.users.change("rita", password=passwords.hashed("another password"))
    shared.users.remove("vera")
    shared.users.add("vera", "administrator", passwords.hashed(PASSWORD))
    assert rita.get("/api/doors/who").status_code == 401
    assert vera.get("/api/doors/who").status_code == 401


def test_another_role_holds_at_once(shared: Served, come_in: ComeIn) -> None:
    rita = come_in(shared, "rita")
    assert rita.post("/api/doors/move").status_code == 200
    shared.users.change("rita", role="viewer")
    assert rita.post("/api/doors/move").status_code == 403


def test_an_answer_that_goes_on_ends_with_the_login(
    shared: Served, come_in: ComeIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LOOK_AGAIN_S", 0.0)
    vera = come_in(shared, "vera")
    with vera.stream("GET", "/api/doors/ticks") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "tick"
        shared.users.remove("vera")
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in zip(lines, range(1000), strict=False):
                pass


def test_a_damaged_file_of_users_lets_nobody_in_and_tells_nobody_where_it_is(
    shared: Served, client: Client, come_in: ComeIn
) -> None:
    rita, form = come_in(shared, "rita"), {"name": "rita", "password": PASSWORD}
    shared.users.path.write_text("{")
    for browser in (rita, client(shared)):
        for answer in (browser.get("/api/doors/who"), browser.get("/login"), browser.post("/login", data=form)):
            assert answer.status_code == 503
            assert "users.json" not in answer.text


@pytest.mark.parametrize(
    ("name", "statuses"), [("vera", [200, 403, 403]), ("rita", [200, 200, 403]), ("ada", [200, 200, 200])]
)
def test_everybody_may_do_what_their_role_says(shared: Served, come_in: ComeIn, name: str, statuses: list[int]) -> None:
    browser = come_in(shared, name)
    paths = "/api/doors/look", "/api/doors/move", "/api/doors/rule"
    assert [browser.post(path, json={}).status_code for path in paths] == statuses
    assert len(doors.done) == statuses.count(200)


# Requests forged by other sites


def test_no_change_without_the_token_of_the_very_login(shared: Served, client: Client, come_in: ComeIn) -> None:
    rita, other = come_in(shared, "rita"), come_in(shared, "ada")
    good = rita.headers.pop("X-CSRF-Token")
    forged = ["", "x", good[:-1], good + "x", good.swapcase(), other.headers["X-CSRF-Token"], "ä".encode("latin-1")]
    for token in forged:
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"):
            answer = rita.request(method, "/api/doors/move", headers={"X-CSRF-Token": token})
            assert answer.status_code == 403, (token, method)
    assert doors.done == []
    rita.post("/logout", data={"csrf": good})
    rita.post("/login", data={"name": "rita", "password": PASSWORD})
    assert rita.post("/api/doors/move", headers={"X-CSRF-Token": good}).status_code == 403  # of the login before
    assert doors.done == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_no_change_from_another_site_even_with_the_token(
    shared: Served, come_in: ComeIn, headers: dict[str, str]
) -> None:
    rita = come_in(shared, "rita")
    assert rita.post("/api/doors/move", headers=headers).status_code == 403
    assert rita.post("/login", data={"name": "vera", "password": PASSWORD}, headers=headers).status_code == 403
    assert doors.done == []
    assert rita.post("/api/doors/move", headers={"Origin": shared.base}).status_code == 200


def test_another_site_can_not_log_anybody_in(shared: Served, client: Client) -> None:
    form = {"name": "vera", "password": PASSWORD}
    for headers in ({"Origin": "null"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = client(shared).post("/login", data=form, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    browsers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    assert client(shared).post("/login", data=form, headers=browsers).status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8642", "10.0.0.1", "localhost.evil.example", ""])
def test_a_name_that_was_made_to_point_here_shows_nothing(shared: Served, come_in: ComeIn, host: str) -> None:
    rita = come_in(shared, "rita")
    for path in ("/", "/login", "/api/sessions", "/static/site.css"):
        assert rita.get(path, headers={"Host": host}).status_code == 421
    own = f"http://{host}"
    assert rita.post("/api/doors/move", headers={"Host": host, "Origin": own}).status_code == 421
    assert doors.done == []


@pytest.mark.parametrize("origin", ["http://evil.example", None])
def test_no_websocket_opens(shared: Served, come_in: ComeIn, origin: str | None) -> None:
    rita = come_in(shared, "rita")
    upgrade = (
        f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{shared.port}\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Cookie: {shared.cookie}={rita.cookies[shared.cookie]}\r\n{f'Origin: {origin}' * bool(origin)}"
    )
    assert status(shared.raw(f"{upgrade.rstrip()}\r\n\r\n".encode())) == 400


# Where a login's cookie goes


def test_the_cookie_of_a_plain_server(shared: Served, client: Client) -> None:
    given = client(shared).post("/login", data={"name": "rita", "password": PASSWORD}).headers["set-cookie"]
    name, *flags = given.split("; ")
    assert name.startswith(f"{shared.cookie}=")
    assert flags == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert len(name.partition("=")[2]) >= 43  # 256 bits


def test_after_the_login_nobody_is_sent_to_another_site(shared: Served, client: Client) -> None:
    for target in ("//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nX: y"):
        form = {"name": "rita", "password": PASSWORD, "next": target}
        answer = client(shared).post("/login", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert client(shared).get("/login", params={"next": target}).text.count("evil") == 0


# Files of the machine

UP = (
    *("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "%252e%252e%252f", "..%c0%af", "....//", "..;/", "%00../"),
    *("..%00/", ".%2e/", "%u002e%u002e/"),
)


@pytest.fixture
def secret(place: Path) -> str:
    """What lies beside the sessions, and must not come out."""
    (place.parent / "secret.txt").write_text("the secret")
    return "the secret"


@pytest.mark.parametrize(
    "beginning", ["/", "/static/", "/static//", "/sessions/", "/api/sessions/", "/sessions/x/", "/login/"]
)
def test_no_path_leads_out(shared: Served, come_in: ComeIn, secret: str, beginning: str) -> None:
    cookie = come_in(shared, "ada").cookies[shared.cookie]
    with shared.connect() as line:
        for up, depth, target in product(UP, (1, 3, 8), ("secret.txt", "etc/passwd", "users.json", "app.py")):
            line.sendall(
                f"GET {beginning}{up * depth}{target} HTTP/1.1\r\nHost: localhost\r\n"
                f"Cookie: {shared.cookie}={cookie}\r\n\r\n".encode()
            )
            answer = http.client.HTTPResponse(line)
            answer.begin()
            text = answer.read()
            assert answer.status in (400, 404, 422), (up, depth, target)
            for found in (secret, "root:", "argon2id", "FastAPI"):
                assert found.encode() not in text


def test_an_absolute_path_leads_nowhere(shared: Served, place: Path, secret: str) -> None:
    for path in (f"/static/{place.parent}/secret.txt", f"/static//{place.parent}/secret.txt"):
        answer = shared.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert status(answer) == 404
        assert secret.encode() not in answer


# Scripts in labels


def test_a_script_in_a_label_is_text(shared: Served, come_in: ComeIn, record: Callable[..., Path]) -> None:
    label = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    record(label=label)
    rita = come_in(shared, "rita")
    answer = rita.get("/api/sessions")
    assert answer.json()["sessions"][0]["label"] == label
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "alert" not in rita.get("/").text


def test_a_script_in_a_name_or_an_address_is_text(shared: Served, client: Client, come_in: ComeIn) -> None:
    name = '"><script>alert(1)</script>'
    shared.users.add(name, "viewer", passwords.hashed(PASSWORD))
    page = come_in(shared, name).get("/", headers={"Accept": "text/html"}).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    form = {"name": "x", "password": "x", "next": f"/{name}"}
    assert "<script>alert" not in client(shared).post("/login", data=form).text
    missing = come_in(shared, "rita").get("/<script>alert(1)</script>", headers={"Accept": "text/html"})
    assert missing.status_code == 404
    assert "<script>alert" not in missing.text


@pytest.mark.parametrize("path", ["/", "/login", "/nothing", "/api/sessions", "/api/nothing", "/static/site.css"])
@pytest.mark.parametrize("name", [None, "rita"])
def test_what_every_answer_carries(
    shared: Served, client: Client, come_in: ComeIn, path: str, name: str | None
) -> None:
    browser = come_in(shared, name) if name else client(shared)
    headers = browser.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    for part in ("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'", "connect-src 'self'"):
        assert part in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == ("same-origin" if path == "/login" and not name else "no-referrer")
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")
    assert "server" not in headers
    assert "strict-transport-security" not in headers


def test_a_handler_may_say_otherwise(shared: Served, come_in: ComeIn) -> None:
    headers = come_in(shared, "rita").get("/api/doors/own").headers
    assert headers["cache-control"] == "max-age=60"
    assert headers.get_list("content-security-policy") == ["default-src 'none'"]


def test_what_fails_inside_stays_inside(shared: Served, come_in: ComeIn, caplog: pytest.LogCaptureFixture) -> None:
    answer = come_in(shared, "rita").get("/api/doors/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    (said,) = [record.getMessage() for record in caplog.records if record.name == "edge_wbc.web"]
    assert "GET '/api/doors/broken': KeyError" in said
    assert "\x1b" not in said
    assert "doors.py:" in said


def test_large_json_is_packed_where_it_was_asked_for(shared: Served, come_in: ComeIn) -> None:
    rita = come_in(shared, "rita")
    packed = rita.get("/api/doors/large", headers={"Accept": "application/json"})
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.json()["text"]) == 20_000
    assert "content-encoding" not in rita.get("/api/doors/large", headers={"Accept": "image/*"}).headers


# Too much, and too slowly


def sent(served: Served, rita: httpx.Client, head: str, body: bytes = b"") -> bytes:
    """A change by Rita with headers of one's own, as far as the server reads it."""
    ours = (
        f"POST /api/doors/look HTTP/1.1\r\nHost: localhost\r\nCookie: {served.cookie}={rita.cookies[served.cookie]}\r\n"
        f"X-CSRF-Token: {rita.headers['X-CSRF-Token']}\r\nContent-Type: application/json\r\n{head}\r\n"
    )
    with served.connect() as line:
        with contextlib.suppress(ConnectionError):  # it was shut while we sent
            line.sendall(ours.encode() + body)
        return read_all(line)


def chunks(body: bytes) -> bytes:
    pieces = [body[i : i + 8000] for i in range(0, len(body), 8000)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def test_a_body_of_too_many_bytes(shared: Served, come_in: ComeIn) -> None:
    rita = come_in(shared, "rita")
    fits = json.dumps({"text": "x" * 60_000}).encode()
    assert rita.post("/api/doors/look", content=fits, headers={"Content-Type": "application/json"}).status_code == 200
    large = json.dumps({"text": "x" * 70_000}).encode()
    assert status(sent(shared, rita, f"Content-Length: {len(large)}\r\n")) == 413  # before it is read
    assert status(sent(shared, rita, "Transfer-Encoding: chunked\r\nConnection: close\r\n", chunks(fits))) == 200
    assert doors.done == ["rita", "rita"]
    for head, body in (
        (f"Content-Length: {len(large)}\r\n", large),
        ("Transfer-Encoding: chunked\r\n", chunks(large)),
    ):
        answer = sent(shared, rita, head, body)
        assert not answer or status(answer) == 413
    assert doors.done == ["rita", "rita"]


def test_a_body_of_two_lengths(shared: Served, come_in: ComeIn) -> None:
    rita = come_in(shared, "rita")
    for head in (
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 1e3\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip\r\n",
    ):
        assert status(sent(shared, rita, head, b"{}")) in (400, 413, 501)
    assert doors.done == []


def test_who_is_not_in_sends_no_large_body(shared: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    large = f"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bodies.LARGEST_BODY + 1}\r\n\r\n"
    assert status(shared.raw(large.encode())) == 413


def test_headers_and_an_address_that_are_too_long(shared: Served) -> None:
    for head, expected in (
        (f"GET /login?{'x' * 5000} HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (f"GET /login HTTP/1.1\r\nHost: localhost\r\nX: {'x' * 17_000}\r\n\r\n", 431),
        (f"GET /login HTTP/1.1\r\nHost: localhost\r\nX: {'x' * 100_000}", 400),  # it never ends
        ("GET /login HTTP/1.1\r\n\r\n", 400),
        ("nonsense\r\n\r\n", 400),
    ):
        assert status(shared.raw(head.encode())) == expected


def test_a_head_that_trickles(people: object, start: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.2)
    served = start()
    for beginning in (b"", b"GET /", b"GET /login HTTP/1.1\r\nHost: localhost\r\nX: "):
        assert served.raw(beginning) == b""
    with served.connect() as line:  # nor the second of one connection
        line.sendall(b"HEAD /static/site.css HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 200")
        line.sendall(b"GET /")
        assert read_all(line) == b""


def test_a_body_that_trickles(shared: Served, come_in: ComeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 0.2)
    monkeypatch.setattr(bodies, "SLOWEST_BYTES_S", 1e9)
    rita = come_in(shared, "rita")
    assert status(sent(shared, rita, "Content-Length: 50\r\n", b'{"te')) == 408
    assert status(sent(shared, rita, "Transfer-Encoding: chunked\r\n", b"5\r\n{")) == 408
    assert doors.done == []


def test_who_reads_nothing_is_let_go(shared: Served, come_in: ComeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STUCK_S", 0.3)
    rita = come_in(shared, "rita")
    cookie = f"{shared.cookie}={rita.cookies[shared.cookie]}"
    ask = f"GET /api/doors/flood HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n"
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(10)
        line.connect(("127.0.0.1", shared.port))
        line.sendall(ask.encode())
        assert line.recv(12) == b"HTTP/1.1 200"
        gone = threading.Event()
        end_s = time.monotonic() + 10
        while not gone.is_set() and time.monotonic() < end_s:
            try:
                line.send(b" ")  # answered with a reset once it is gone
            except ConnectionError:
                gone.set()
            gone.wait(0.02)
    assert gone.is_set()


def shut(line: socket.socket) -> bool:
    """Whether the server has closed a connection, long before it would for want of a request."""
    line.settimeout(connection.HEAD_S / 3)
    return read_all(line) == b""


def test_more_connections_than_there_may_be(shared: Served, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST", 5)
    lines = [shared.connect() for _ in range(10)]
    try:
        assert all(map(shut, lines[5:]))
        lines[0].sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert status(read_all(lines[0])) == 200
        for line in lines:
            line.close()
        assert client(shared).get("/login").status_code == 200
    finally:
        for line in lines:
            line.close()


def test_no_address_takes_all_connections(
    people: object, start: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_wbc.web.listening.MOST_OF_ONE", 3)
    served = start()
    lines = [served.connect() for _ in range(4)]
    try:
        assert shut(lines[3])
        with socket.create_connection(("127.0.0.1", served.port), 10, ("127.0.0.2", 0)) as other:
            other.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert status(read_all(other)) == 200
    finally:
        for line in lines:
            line.close()


# A flood of log-ins


@pytest.fixture
def comparing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many passwords were compared at once, each time one was."""
    at_once: list[int] = []
    now, lock, together = [0], threading.Lock(), threading.Event()
    real = passwords.fits

    def fits(stored: str | None, password: str) -> bool:
        with lock:
            now[0] += 1
            at_once.append(now[0])
            if now[0] > 1:
                together.set()
        together.wait(0.05)  # room for a second to come
        try:
            return real(stored, password)
        finally:
            with lock:
                now[0] -= 1

    monkeypatch.setattr(entrance, "fits", fits)
    return at_once


def test_a_flood_of_log_ins_is_turned_away(shared: Served, client: Client, comparing: list[int]) -> None:
    flooder = client(shared)
    answers_ = [flooder.post("/login", data={"name": "rita", "password": f"guess number {i}"}) for i in range(30)]
    assert [answer.status_code for answer in answers_] == [401] * attempts.NAME.burst + [429] * (
        30 - attempts.NAME.burst
    )
    assert 0 < int(answers_[-1].headers["retry-after"]) <= attempts.NAME.every_s + 1
    assert "too many attempts" in answers_[-1].text
    assert len(comparing) == attempts.NAME.burst


def test_a_flood_at_once_compares_one_password_at_a_time(shared: Served, client: Client, comparing: list[int]) -> None:
    flooder = client(shared)

    def guess(i: int) -> int:
        return flooder.post("/login", data={"name": f"user {i}", "password": "a guess that is long"}).status_code

    begun_s = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        codes = list(pool.map(guess, range(40)))
    assert set(codes) == {401, 429}
    assert max(comparing) == 1
    regained = (time.monotonic() - begun_s) / attempts.ADDRESS.every_s
    assert len(comparing) == codes.count(401) <= attempts.ADDRESS.burst + regained


def test_the_right_password_late_is_still_turned_away(shared: Served, client: Client, come_in: ComeIn) -> None:
    inside = come_in(shared, "rita")
    for i in range(attempts.NAME.burst):
        client(shared).post("/login", data={"name": "RITA", "password": f"guess number {i}"})
    assert client(shared).post("/login", data={"name": "rita", "password": PASSWORD}).status_code == 429
    assert inside.get("/api/doors/who").status_code == 200  # who is in stays in


def test_a_form_of_a_thousand_fields(shared: Served, client: Client) -> None:
    answer = client(shared).post("/login", content="&".join(f"a{i}=" for i in range(1000)))
    assert answer.status_code == 400
    assert client(shared).post("/login", content=b"\xff\xfe").status_code == 400
