"""Hosts and origins that are ours, and those that are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_wbc.errors import EnvironmentMissing, InputRefused, UsageError
from edge_wbc.web.listening import Serving, address, check, served, tls
from edge_wbc.web.login_pages import local
from edge_wbc.web.served import LOOPBACK_NAMES, Served

HERE = Served(LOOPBACK_NAMES, any_address=False, secure=False, proxied=False, port=8642)
NETWORK = Served(LOOPBACK_NAMES | {"wbc.example"}, any_address=True, secure=True, proxied=False, port=443)


@pytest.mark.parametrize("host", ["localhost:8642", "127.0.0.1:9000", "[::1]:8642", "LOCALHOST", "localhost."])
def test_hosts_of_this_machine(host: str) -> None:
    assert HERE.is_ours(host)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            "evil.example",
            "localhost.evil.example",
            "evil.example#localhost",
            "localhost:80@evil",
            "127.0.0.1.nip.io",
        ),
        *("10.0.0.1", "[::ffff:10.0.0.1]", "local host", "localhost\x00", "0x7f.1", "localhost:8642, evil.example"),
    ],
)
def test_hosts_of_others(host: str) -> None:
    assert not HERE.is_ours(host)


def test_on_a_network_a_bare_address_is_ours_and_no_other_name() -> None:
    assert all(map(NETWORK.is_ours, ("10.1.2.3", "[fe80::1]:443", "WBC.example")))
    assert not any(map(NETWORK.is_ours, ("evil.example", "evil.wbc.example", "10.1.2.3.nip.io")))


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({}, True),  # no browser
        ({"origin": "https://wbc.example"}, True),
        ({"origin": "https://wbc.example", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "null"}, False),
        ({"origin": "http://wbc.example"}, False),
        ({"origin": "https://wbc.example:8443"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "https://wbc.example", "sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "none"}, False),
    ],
)
def test_where_a_change_comes_from(headers: dict[str, str], ours: bool) -> None:
    assert NETWORK.is_from_here({"host": "wbc.example", **headers}, has_token=False) is ours


def test_with_the_token_an_origin_may_be_kept_back_but_not_foreign() -> None:
    assert NETWORK.is_from_here({"host": "wbc.example", "origin": "null"}, has_token=True)
    assert not NETWORK.is_from_here({"host": "wbc.example", "origin": "https://evil.example"}, has_token=True)


def test_only_a_proxy_says_who_comes() -> None:
    headers = {"x-forwarded-for": "1.1.1.1, 10.0.0.7"}
    assert NETWORK.address_of(("10.0.0.1", 5), headers) == "10.0.0.1"
    assert replace(NETWORK, proxied=True).address_of(("10.0.0.1", 5), headers) == "10.0.0.7"


@pytest.mark.parametrize(
    "target",
    [
        *("", "x", "//evil.example", "/\\evil.example", "\\/evil.example", "https://evil.example", "/a\\b", "/a b"),
        *("javascript:alert(1)", "/a\r\nSet-Cookie: x=1", "/\t/evil.example", "/" + "a" * 600, "///evil.example"),
    ],
)
def test_after_the_login_nobody_goes_elsewhere(target: str) -> None:
    assert local(target) == "/"


def test_after_the_login_one_goes_where_one_wanted() -> None:
    assert local("/sessions/a-1?cell=3&x=%20") == "/sessions/a-1?cell=3&x=%20"


@pytest.mark.parametrize(
    ("more", "has_users", "line"),
    [
        ({"host": "0.0.0.0"}, False, "first `edge-wbc users add NAME --role administrator`"),
        ({"host": "::"}, False, "there are no users"),
        ({"behind_proxy": True}, False, "behind a proxy others can come in, and there are no users"),
        ({"host": "0.0.0.0"}, True, "in the clear; give --certificate and --key, or --behind-proxy"),
        ({"host": "::"}, True, "in the clear"),
        ({"key": "x"}, True, "--key without --certificate"),
    ],
)
def test_what_would_be_open_to_the_network(more: dict[str, object], has_users: bool, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        check(Serving(**more), has_users=has_users)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.4.5"])
def test_this_machine_alone_needs_neither(host: str) -> None:
    assert check(Serving(host), has_users=False)


def test_a_host_that_is_not_known() -> None:
    with pytest.raises(EnvironmentMissing, match="no address is known for 'nowhere"):
        check(Serving("nowhere.invalid"), has_users=True)


def test_a_certificate_that_is_none() -> None:
    with pytest.raises(InputRefused, match="no certificate in PEM, or its key does not fit"):
        tls(Serving(certificate=Path(__file__)))


@pytest.mark.parametrize(
    ("serving", "url"),
    [
        (Serving(), "http://127.0.0.1:8642/?token=t"),
        (Serving("::1"), "http://[::1]:8642/?token=t"),
        (Serving(behind_proxy=True, names=("wbc.example",)), "https://wbc.example/"),
    ],
)
def test_the_address_to_open(serving: Serving, url: str) -> None:
    assert address(serving, 8642, "t") == url


def test_names_of_a_proxy_are_ours_and_its_cookies_secure() -> None:
    found = served(Serving(behind_proxy=True, names=("WBC.example",)), 8642, loopback=True)
    assert found.is_ours("wbc.example")
    assert not found.is_ours("10.0.0.1")
    assert found.cookie == "__Host-edge-wbc-8642"
