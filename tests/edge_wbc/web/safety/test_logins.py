"""Logins and attempts to log in, with a clock of the test's own."""

from __future__ import annotations

import pytest

from edge_wbc.web import attempts, logins
from edge_wbc.web.attempts import ADDRESS, ALL, NAME, Attempts, Buckets, network_of
from edge_wbc.web.logins import IDLE_S, WHOLE_S, Logins


class Clock:
    def __init__(self) -> None:
        self.now_s = 1e6

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_an_idle_login_ends(clock: Clock) -> None:
    kept = Logins(clock)
    id_ = kept.begin("anna", "hash")
    for _ in range(3):
        clock.now_s += IDLE_S - 1
        assert kept.find(id_) is not None
    clock.now_s += IDLE_S
    assert kept.find(id_) is None
    clock.now_s -= IDLE_S
    assert kept.find(id_) is None


def test_a_login_ends_after_a_day_whatever_it_does(clock: Clock) -> None:
    kept = Logins(clock)
    id_, end_s = kept.begin("anna", "hash"), clock.now_s + WHOLE_S
    while clock.now_s < end_s:
        assert kept.find(id_) is not None
        clock.now_s += IDLE_S / 2
    assert kept.find(id_) is None


def test_that_of_the_launch_token_ends_with_the_server(clock: Clock) -> None:
    kept = Logins(clock)
    id_ = kept.begin("anna", None)
    clock.now_s += 100 * WHOLE_S
    assert kept.find(id_) is not None


def test_so_many_at_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "MOST", 3)
    kept = Logins(clock)
    ids = []
    for _ in range(3):
        clock.now_s += 1
        ids.append(kept.begin("anna", "hash"))
    clock.now_s += 1
    kept.find(ids[0])
    ids.append(kept.begin("anna", "hash"))
    assert [kept.find(id_) is not None for id_ in ids] == [True, False, True, True]


def test_ids_and_tokens_can_not_be_guessed(clock: Clock) -> None:
    kept = Logins(clock)
    ids = [kept.begin("anna", "hash") for _ in range(100)]
    tokens = [login.csrf for id_ in ids if (login := kept.find(id_))]
    assert len({*ids, *tokens}) == 200
    assert min(map(len, (*ids, *tokens))) >= 43  # 256 bits in base 64


def test_a_name_is_tried_so_often(clock: Clock) -> None:
    tries = Attempts(clock)
    waits = [tries.begin("anna", f"10.0.0.{i}") for i in range(NAME.burst + 1)]
    assert waits == [0] * NAME.burst + [NAME.every_s]
    assert tries.begin("berta", "10.0.0.1") == 0
    clock.now_s += NAME.every_s
    assert tries.begin("anna", "10.0.0.1") == 0
    assert tries.begin("anna", "10.0.0.1") == NAME.every_s


def test_an_address_tries_so_often(clock: Clock) -> None:
    tries = Attempts(clock)
    waits = [tries.begin(f"user {i}", "10.0.0.1") for i in range(ADDRESS.burst + 1)]
    assert waits == [0] * ADDRESS.burst + [ADDRESS.every_s]
    assert tries.begin("anna", "10.0.0.2") == 0


def test_all_together_try_so_often(clock: Clock) -> None:
    tries = Attempts(clock)
    assert not any(tries.begin(f"user {i}", f"10.0.0.{i}") for i in range(ALL.burst))
    assert tries.begin("anna", "10.0.1.1") == ALL.every_s


def test_what_succeeds_counts_no_more(clock: Clock) -> None:
    tries = Attempts(clock)
    for _ in range(3 * ALL.burst):
        assert tries.begin("anna", "10.0.0.1") == 0
        tries.succeeded("anna", "10.0.0.1")


def test_a_flood_of_names_takes_no_memory(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MOST_KEYS", 10)
    buckets = Buckets(NAME, clock)
    for i in range(1000):
        buckets.take(f"user {i}")
    assert len(buckets._full_s) == 10


def test_no_flood_gets_a_name_forgotten_before_it_may_do_all_again() -> None:
    until_forgotten_s = (attempts.MOST_KEYS - ALL.burst) * ALL.every_s
    assert until_forgotten_s > NAME.burst * NAME.every_s
    assert until_forgotten_s > ADDRESS.burst * ADDRESS.every_s


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_of_ipv6_is_its_network(address: str, network: str) -> None:
    assert network_of(address) == network
