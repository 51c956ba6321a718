"""What `run --serve` makes of its options."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_wbc.cli import run_served
from edge_wbc.cli.run_served import numbered, serving_at
from edge_wbc.errors import EnvironmentMissing, UsageError


@pytest.mark.parametrize(
    ("uri", "second"),
    [
        ("jsonl:out.jsonl", "jsonl:out-2.jsonl"),
        ("csv:/a.b/out", "csv:/a.b/out-2"),
        ("video:a/b.tar.mp4", "video:a/b.tar-2.mp4"),
        ("jsonl:.hidden", "jsonl:hidden-2"),
        ("serial:///dev/ttyACM0", "serial:///dev/ttyACM0"),
        ("console:", "console:"),
    ],
)
def test_files_of_later_sessions_leave_those_of_earlier_ones_alone(uri: str, second: str) -> None:
    assert numbered(uri, 1) == uri
    assert numbered(uri, 2) == second


def test_an_address_is_taken_apart() -> None:
    guarding = {"certificate": Path("a.pem"), "key": None, "names": ("here",), "behind_proxy": False}
    assert serving_at("[::1]:0", **guarding) == {"host": "::1", "port": 0, **guarding, "certificate": "a.pem"}


@pytest.mark.parametrize("address", ["", "8642", "here", ":8642", "here:", "here:x", "here:65536"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(UsageError, match="no HOST:PORT; write for example --serve 127"):
        serving_at(address)


def test_without_the_webs_packages_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_served, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(EnvironmentMissing, match=r"no package uvicorn; pip install 'edge-wbc\[web\]'"):
        serving_at("127.0.0.1:0")
