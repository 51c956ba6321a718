"""Passwords as they are stored, at the real price."""

from __future__ import annotations

import time

import pytest

from edge_wbc.errors import InputRefused
from edge_wbc.web import passwords

REAL = passwords._HASHER


@pytest.fixture(autouse=True)
def real(monkeypatch: pytest.MonkeyPatch, cheap_passwords: None) -> None:
    monkeypatch.setattr(passwords, "_HASHER", REAL)
    passwords.nobodys.cache_clear()


def test_a_password_fits_itself_alone_however_it_was_composed() -> None:
    stored = passwords.hashed("Märtas lösenord")
    assert stored.startswith("$argon2id$")
    assert passwords.fits(stored, "Ma\u0308rtas lo\u0308senord")
    assert not passwords.fits(stored, "Martas losenord")
    assert not passwords.fits("no hash", "Märtas lösenord")
    assert not passwords.fits(None, "nobody")
    assert passwords.hashed("Märtas lösenord") != stored


@pytest.mark.parametrize("password", ["", "nine char", "x" * 201])
def test_too_short_or_too_long(password: str) -> None:
    with pytest.raises(InputRefused, match=f"a password of {len(password)} characters; take 10 to 200"):
        passwords.hashed(password)


def test_nobody_takes_as_long_as_somebody() -> None:
    stored = passwords.hashed("a long password")
    passwords.nobodys()

    def least_s(of: str | None) -> float:
        times = []
        for _ in range(3):
            begun = time.thread_time()
            passwords.fits(of, "another password")
            times.append(time.thread_time() - begun)
        return min(times)

    assert least_s(None) == pytest.approx(least_s(stored), rel=0.5)
    assert passwords.nobodys().split("$")[:4] == stored.split("$")[:4]
