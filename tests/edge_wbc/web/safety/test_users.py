"""The file of users, and the verb that writes it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_wbc.errors import InputRefused, OutputFailed, UsageError
from edge_wbc.web.users import Users, checked_name, default_users
from tests.conftest import ROOT, Done


def test_names_are_the_same_whatever_their_case(users: Users) -> None:
    users.add("Märta", "viewer", "hash")
    for same in ("märta", "MÄRTA", "Ma\u0308rta"):
        found = users.find(same)
        assert found is not None
        assert found.name == "Märta"
        with pytest.raises(UsageError, match="there is a user Märta"):
            users.add(same, "viewer", "hash")
    assert users.find("marta") is None


@pytest.mark.parametrize("name", ["", " anna", "an\nna", "an\u202ena", "a" * 65, "\x1b[2J"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="take 1 to 64 printable characters"):
        checked_name(name)


def test_only_the_owner_reads_the_file(users: Users) -> None:
    before = os.umask(0)
    try:
        users.add("anna", "viewer", "hash")
        users.add("berta", "viewer", "hash")
    finally:
        os.umask(before)
    assert users.path.stat().st_mode & 0o777 == 0o600
    assert users.path.with_suffix(".lock").stat().st_mode & 0o777 == 0o600


def test_a_change_is_seen_by_another_that_has_read_it(users: Users) -> None:
    other = Users(users.path)
    users.add("anna", "viewer", "hash")
    assert [one.name for one in other.all()] == ["anna"]
    users.change("ANNA", role="reviewer")
    assert [one.role for one in other.all()] == ["reviewer"]
    users.remove("Anna")
    assert other.all() == ()


def test_none_is_lost_when_another_writes_at_the_same_time(users: Users) -> None:
    users.add("anna", "viewer", "hash")
    writer = threading.Thread(target=Users(users.path).add, args=("berta", "viewer", "hash"))
    with users._changing() as entries:
        writer.start()
        writer.join(0.3)
        waited = writer.is_alive()
        del entries["anna"]
    writer.join(10)
    assert waited
    assert [one.name for one in users.all()] == ["berta"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 2, "users": []}', '{"users": [{"name": "a", "role": "god", "password": "x"}]}']
)
def test_a_damaged_file_lets_nobody_in(users: Users, text: str) -> None:
    users.add("anna", "viewer", "hash")
    users.path.write_text(text)
    for _ in range(2):  # nor the second time it is asked
        with pytest.raises(InputRefused, match="damaged, or of a newer version"):
            users.all()


def test_a_file_that_others_may_write_lets_nobody_in(users: Users) -> None:
    users.add("anna", "viewer", "hash")
    users.path.chmod(0o620)
    with pytest.raises(InputRefused, match="others may write it"):
        users.find("anna")


def test_a_full_disk_changes_nothing(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    users.add("anna", "viewer", "hash")

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge_wbc.web.users.replace_whole", full)
    with pytest.raises(OutputFailed, match="no space left on device; nothing was changed"):
        users.add("berta", "viewer", "hash")
    assert [one.name for one in users.all()] == ["anna"]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs ``edge-wbc users ARGUMENTS…`` with a data folder of the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    def run(*arguments: str, stdin: str = "") -> Done:
        line = [sys.executable, "-m", "edge_wbc", "users", *arguments]
        done = subprocess.run(line, input=stdin, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


def test_the_verb(command: Callable[..., Done]) -> None:
    added = command("add", "anna", "--role", "viewer", "--password-stdin", stdin="a long password\n")
    assert (added.code, added.err) == (0, "anna may come in as viewer; `edge-wbc serve` serves the pages\n")
    before = default_users().read_text()
    assert "a long password" not in before
    assert "$argon2id$v=19$m=65536,t=3,p=1$" in before
    assert command("role", "Anna", "reviewer").code == 0
    assert command("password", "anna", "--password-stdin", stdin="another password\n").code == 0
    assert json.loads(before)["users"][0]["password"] not in default_users().read_text()
    assert command("list", "--json").json["users"] == [{"name": "anna", "role": "reviewer"}]
    assert command("remove", "anna").err.endswith("no users are left; a server that runs lets nobody in\n")


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("add", "anna", "--role", "viewer"), 2, "no terminal to ask for a password; give it by --password-stdin"),
        (("add", "anna", "--role", "viewer", "--password-stdin"), 3, "a password of 5 characters; take 10 to 200"),
        (("password", "anna", "--password-stdin"), 2, "no user 'anna'; see `edge-wbc users list`"),
        (("remove", "anna"), 2, "no user 'anna'; see `edge-wbc users list`"),
    ],
)
def test_what_the_verb_refuses(command: Callable[..., Done], arguments: tuple[str, ...], code: int, line: str) -> None:
    done = command(*arguments, stdin="short\n")
    assert (done.code, done.err) == (code, f"edge-wbc: {line}\n")


@pytest.mark.skipif(shutil.which("script") is None, reason="apt-get install bsdutils")
@pytest.mark.parametrize(("second", "asked"), [("a long password", 2), ("another password", 3)])
def test_a_terminal_is_asked_twice(command: Callable[..., Done], second: str, asked: int) -> None:
    line = f"{sys.executable} -m edge_wbc users add anna --role viewer"
    with subprocess.Popen(
        ["script", "-qec", line, "/dev/null"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as terminal:
        assert terminal.stdin is not None
        assert terminal.stdout is not None
        shown = bytearray()
        for turn, answer in enumerate(("a long password", second, "")[:asked]):
            while shown.count(b": ") <= turn and (piece := terminal.stdout.read1()):  # type: ignore[attr-defined]
                shown += piece
            terminal.stdin.write(f"{answer}\n".encode() if answer else b"\x03")
            terminal.stdin.flush()
        shown += terminal.stdout.read()
    assert b"long password" not in shown
    assert (Users(default_users()).find("anna") is not None) is (asked == 2)


def test_without_the_web_packages() -> None:
    program = "import sys; sys.modules['argon2'] = None\nfrom edge_wbc.cli.main import main; main(['users', 'list'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (4, "edge-wbc: no package argon2; pip install 'edge-wbc[web]'\n")
