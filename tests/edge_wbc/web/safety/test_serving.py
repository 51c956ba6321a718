"""The verb ``serve``: it says where, refuses what is unsafe, ends in order; TLS and a proxy."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from edge_wbc.errors import EnvironmentMissing, InputRefused
from edge_wbc.web.listening import tls
from edge_wbc.web.server import Serving, beside
from edge_wbc.web.site import Site
from edge_wbc.web.users import Users
from tests.conftest import ROOT, Done
from tests.edge_wbc.web.conftest import PASSWORD, Served

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="apt-get install openssl")
PROXY = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "6.6.6.6, 10.0.0.7", "Host": "wbc.example"}


Start = Callable[..., subprocess.Popen[str]]


@contextmanager
def running(start_edge_wbc: Start, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server as a process, and the address it printed."""
    with start_edge_wbc("serve", "--port", "0", *arguments) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.fullmatch(r"open (http\S+) in a browser; Ctrl-C ends it\n", line)
            assert found, line
            yield found[1], process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_whoever_hangs_on(start_edge_wbc: Start, place: Path, number: signal.Signals) -> None:
    with ExitStack() as stack:
        url, process = stack.enter_context(running(start_edge_wbc, "--record", str(place)))
        assert httpx.get(url).headers["location"] == "/"
        port = urlsplit(url).port
        for beginning in (b"", b"GET /lo", b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\na"):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            line.sendall(beginning)
        assert httpx.get(url).status_code == 303  # so what was sent before has been read
        process.send_signal(number)
        assert process.wait(8) == 0  # without a limit of the server's own it waits 26 s for the last
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_port_that_is_taken(edge_wbc_command: Callable[..., Done]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = edge_wbc_command("serve", "--port", str(port))
    assert done.code == 4
    assert done.err == (
        f"edge-wbc: 127.0.0.1, port {port}: address already in use; end what listens there, or name another --port\n"
    )


def test_an_address_that_is_open_to_others(edge_wbc_command: Callable[..., Done]) -> None:
    done = edge_wbc_command("serve", "--host", "0.0.0.0")
    assert done.code == 2
    assert done.err == (
        "edge-wbc: on 0.0.0.0 others can come in, and there are no users; "
        "first `edge-wbc users add NAME --role administrator`\n"
    )


def test_without_the_web_packages() -> None:
    program = "import sys; sys.modules['uvicorn'] = None\nfrom edge_wbc.cli.main import main; main(['serve'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (4, "edge-wbc: no package uvicorn; pip install 'edge-wbc[web]'\n")


def test_a_file_of_users_that_is_damaged(place: Path, tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text("{")
    with pytest.raises(InputRefused, match="damaged"), beside(Site(place), Serving(users=tmp_path / "users.json")):
        pass


def test_an_address_that_is_not_this_machines(people: Users, place: Path) -> None:
    serving = Serving("192.0.2.1", 0, users=people.path, behind_proxy=True)
    with pytest.raises(EnvironmentMissing, match="port 0: cannot assign"), beside(Site(place), serving):
        pass


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One of this machine's own, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, file = folder / "key.pem", folder / "certificate.pem"
    name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    made = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    subprocess.run([*made, "-keyout", key, "-out", file, *name], check=True, capture_output=True)
    return file, key


@needs_openssl
def test_by_tls_cookies_are_for_this_host_alone(
    people: Users, start: Callable[..., Served], certificate: tuple[Path, Path]
) -> None:
    served = start(host="0.0.0.0", certificate=certificate[0], key=certificate[1])
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    with httpx.Client(base_url=f"https://localhost:{served.port}", verify=trusting) as browser:
        given = browser.post("/login", data={"name": "rita", "password": PASSWORD})
        name, *flags = given.headers["set-cookie"].split("; ")
        assert name.startswith(f"__Host-edge-wbc-{served.port}=")
        assert flags == ["Path=/", "HttpOnly", "SameSite=Strict", "Secure"]
        assert given.headers["strict-transport-security"] == "max-age=31536000"
        who = browser.get("/api/doors/who").json()
        assert who["name"] == "rita"
        change = {"X-CSRF-Token": who["csrf"]}
        plain, own = {"Origin": f"http://localhost:{served.port}"}, {"Origin": f"https://localhost:{served.port}"}
        assert browser.post("/api/doors/move", headers=change | plain).status_code == 403
        assert browser.post("/api/doors/move", headers=change | own).status_code == 200
        planted = {"Cookie": f"edge-wbc-{served.port}={name.partition('=')[2]}"}
        assert httpx.get(browser.base_url.join("/api/sessions"), headers=planted, verify=trusting).status_code == 401
        assert browser.get("/login", headers={"Host": f"10.0.0.1:{served.port}"}).status_code == 303
        assert browser.get("/login", headers={"Host": "evil.example"}).status_code == 421


@needs_openssl
def test_what_is_no_modern_tls(people: Users, start: Callable[..., Served], certificate: tuple[Path, Path]) -> None:
    served = start(certificate=certificate[0], key=certificate[1])
    assert not served.raw(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP")
    context = tls(Serving(certificate=certificate[0], key=certificate[1]))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@needs_openssl
def test_a_key_of_another_certificate_or_with_a_password(
    edge_wbc_command: Callable[..., Done], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    locked, other = tmp_path / "locked.pem", tmp_path / "other.pem"
    openssl = ("openssl", "genpkey", "-algorithm", "ED25519", "-out")
    subprocess.run([*openssl, other], check=True, capture_output=True)
    subprocess.run([*openssl, locked, "-aes256", "-pass", "pass:secret"], check=True, capture_output=True)
    for key in (other, locked):
        done = edge_wbc_command("serve", "--certificate", certificate[0], "--key", key)
        assert done.code == 3
        assert done.err.endswith("or its key does not fit or has a password; give both open\n")
        assert done.err.count("\n") == 1
    done = edge_wbc_command("serve", "--certificate", tmp_path / "none.pem")
    assert (done.code, done.err.count("\n")) == (3, 1)
    assert "none.pem: no such file or directory; name a file in PEM" in done.err


# A proxy


def test_behind_a_proxy_people_come_by_https_alone(people: Users, place: Path) -> None:
    serving = Serving(port=0, users=people.path, behind_proxy=True, names=("wbc.example",))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with beside(Site(place), replace(serving, port=port)) as url, httpx.Client() as proxy:
        assert url == "https://wbc.example/"
        here = f"http://127.0.0.1:{port}"
        for wrong in ({"X-Forwarded-Proto": "http"}, {"X-Forwarded-Proto": ""}):
            assert proxy.get(f"{here}/login", headers=PROXY | wrong).status_code == 403
        assert proxy.get(f"{here}/login", headers=PROXY | {"Host": "evil.example"}).status_code == 421
        form = {"name": "rita", "password": PASSWORD}
        given = proxy.post(f"{here}/login", data=form, headers=PROXY | {"Origin": "https://wbc.example"})
        cookie = given.headers["set-cookie"]
        assert cookie.startswith("__Host-")
        assert cookie.endswith("; Secure")
        inside = PROXY | {"Cookie": cookie.partition(";")[0]}
        assert proxy.get(f"{here}/api/doors/who", headers=inside).json()["address"] == "10.0.0.7"


def test_what_a_proxy_says_is_believed_only_behind_one(
    people: Users, start: Callable[..., Served], come_in: Callable[..., httpx.Client]
) -> None:
    rita = come_in(start(), "rita")
    given = rita.get("/api/doors/who", headers={"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"})
    assert given.json()["address"] == "127.0.0.1"
    assert "strict-transport-security" not in given.headers
