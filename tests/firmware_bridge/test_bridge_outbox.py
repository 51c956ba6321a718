"""The outbox on a real disk: what is durable when, what is refused, what a million rows cost."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge import CellResult, LinkError, Outbox, OutboxBusyError, OutboxError, OutboxFullError
from firmware_bridge.outbox import AHEAD
from firmware_bridge.outbox_file import APPLICATION_ID
from firmware_bridge.schema import MessageType
from firmware_bridge.store import Resumption, Stream

ROOT = Path(__file__).parents[2]


def payload(number: int) -> bytes:
    return CellResult(number, 0, "monocyte", 1.0, (0, 0, 1, 1)).encode()


def fill(outbox: Outbox, count: int) -> None:
    for _ in range(count):
        outbox.put(MessageType.CELL_RESULT, payload(outbox.last + 1))


def sending(path: Path) -> Outbox:
    outbox = Outbox(path)
    outbox.begin_sending()
    return outbox


def positions(outbox: Outbox, after: int, limit: int = 10_000) -> list[int]:
    return [row.position for row in outbox.read(after, limit)]


def on_disk(path: Path, query: str = "SELECT position FROM message ORDER BY position") -> list[int]:
    connection = sqlite3.connect(path)
    try:
        return [value for (value,) in connection.execute(query)]
    finally:
        connection.close()


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "outbox.sqlite"


def test_what_is_put_is_there_after_opening_again(path: Path) -> None:
    with sending(path) as outbox:
        fill(outbox, 3)
        assert outbox.flush(10.0)
        assert [row.payload for row in outbox.read(0, 10)] == [payload(1), payload(2), payload(3)]
        outbox.acknowledge(1)
    with sending(path) as outbox:
        assert (outbox.acknowledged, outbox.last) == (1, 3)
        assert positions(outbox, 0) == [2, 3]
        fill(outbox, 1)
        assert outbox.flush(10.0)
        assert positions(outbox, 0) == [2, 3, 4]


def test_an_emptied_outbox_never_uses_a_position_twice(path: Path) -> None:
    for round_ in range(3):
        with Outbox(path) as outbox:
            assert outbox.last == outbox.acknowledged == 2 * round_
            fill(outbox, 2)
            outbox.acknowledge(outbox.last)
    assert on_disk(path) == []


def test_no_row_is_given_to_be_sent_before_it_is_on_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    commit = Outbox._transact

    def slow(self: Outbox, *arguments: object) -> None:
        held.wait(10.0)
        commit(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Outbox, "_transact", slow)
    with sending(path) as outbox:
        fill(outbox, 5)
        assert not outbox.flush(0.05)
        assert positions(outbox, 0) == []
        held.set()
        assert outbox.flush(10.0)
        assert positions(outbox, 0) == on_disk(path) == [1, 2, 3, 4, 5]


def test_what_may_be_sent_is_on_disk_first(path: Path) -> None:
    with sending(path) as outbox:
        fill(outbox, 3 * AHEAD)
        assert outbox.flush(10.0)
        after = 0
        while after < 3 * AHEAD:
            with outbox.changed:
                assert outbox.changed.wait_for(lambda: outbox.sendable > after, 10.0)  # noqa: B023
            read = positions(outbox, after, 100)
            assert read == list(range(after + 1, read[-1] + 1))
            after = read[-1]
            (allowed,) = on_disk(path, "SELECT allowed FROM state")
            assert after <= allowed <= after + 2 * AHEAD
    with sending(path) as outbox:
        assert outbox.maybe_sent == 3 * AHEAD


def test_what_waits_for_an_absent_instrument_is_not_in_doubt(path: Path) -> None:
    with Outbox(path) as outbox:
        fill(outbox, 5)
        assert outbox.flush(10.0)
        assert positions(outbox, 0) == []
        outbox.begin_sending()
        with outbox.changed:
            assert outbox.changed.wait_for(lambda: outbox.sendable == 5, 10.0)
        outbox.end_sending()
        fill(outbox, 5)
    with Outbox(path) as outbox:
        assert outbox.maybe_sent == 5


def test_an_orderly_end_leaves_only_in_doubt_what_was_sent(path: Path) -> None:
    outbox = Outbox(path)
    fill(outbox, 10)
    outbox.close(sent=4)
    with Outbox(path) as outbox:
        assert outbox.maybe_sent == 4


def test_doubts_are_kept_flagged_and_counted_once(path: Path) -> None:
    stream = Stream(77, 0, boot_id=2, unique_id=b"board")
    with sending(path) as outbox:
        fill(outbox, 5)
        assert outbox.flush(10.0)
        fresh = outbox.adopt(Resumption(stream, acknowledged=1, repeated=3))
        assert [doubt.position for doubt in fresh] == [2, 3]
    with sending(path) as outbox:
        assert outbox.stream == stream
        assert [(row.position, row.doubted) for row in outbox.read(0, 10)] == [
            (2, True),
            (3, True),
            (4, False),
            (5, False),
        ]
        assert outbox.adopt(Resumption(stream, acknowledged=2, repeated=3)) == []
        assert [(doubt.position, doubt.delivered) for doubt in outbox.doubts()] == [(2, True), (3, False)]
        assert outbox.doubts()[0].message == CellResult(2, 0, "monocyte", 1.0, (0, 0, 1, 1))


def test_on_a_new_stream_nothing_has_been_sent_until_that_is_on_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Outbox._transact

    def slow(self: Outbox, *arguments: object) -> None:
        time.sleep(0.05)
        commit(self, *arguments)  # type: ignore[arg-type]

    with sending(path) as outbox:
        fill(outbox, 5)
        with outbox.changed:
            assert outbox.changed.wait_for(lambda: outbox.sendable == 5, 10.0)
        assert positions(outbox, 0) == [1, 2, 3, 4, 5]
        outbox.end_sending()
        outbox.adopt(Resumption(Stream(78, 0, boot_id=2), acknowledged=0, repeated=2))
        assert on_disk(path, "SELECT allowed FROM state") == [0]
        monkeypatch.setattr(Outbox, "_transact", slow)
        outbox.begin_sending()
        assert on_disk(path, "SELECT allowed FROM state") == [5]


def test_a_full_outbox_is_an_error_and_takes_again_when_there_is_room(path: Path) -> None:
    with Outbox(path, capacity=3) as outbox:
        fill(outbox, 3)
        with pytest.raises(OutboxFullError, match="3 messages wait") as caught:
            fill(outbox, 1)
        one_line(caught.value)
        outbox.acknowledge(1)
        fill(outbox, 1)
    assert on_disk(path) == [2, 3, 4]


def test_a_full_disk_is_told_to_everyone_and_nothing_durable_is_lost(path: Path) -> None:
    outbox = sending(path)
    fill(outbox, 100)
    assert outbox.flush(10.0)
    (pages,) = outbox._reader.execute("PRAGMA page_count").fetchone()
    outbox._connection.execute(f"PRAGMA max_page_count={pages + 2}")
    with contextlib.suppress(OutboxError):  # the writer may already have met the end of the disk
        fill(outbox, 5000)
    with pytest.raises(OutboxError, match="the disk is full; free some space") as caught:
        outbox.flush(10.0)
    one_line(caught.value)
    assert isinstance(outbox.error, OutboxError)
    for refused in (lambda: fill(outbox, 1), lambda: outbox.adopt(Resumption(Stream(1, 0, 1), 0))):
        with pytest.raises(OutboxError, match="the disk is full"):
            refused()
    outbox.close()
    with sending(path) as outbox:
        assert positions(outbox, 0) == list(range(1, 101))


def test_a_second_host_is_refused(path: Path) -> None:
    with Outbox(path) as outbox:
        with pytest.raises(OutboxBusyError, match="in use by another program") as caught:
            Outbox(path)
        one_line(caught.value)
        code = f"from firmware_bridge import Outbox; Outbox({str(path)!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        assert "OutboxBusyError" in other.stderr
        fill(outbox, 1)
        assert outbox.flush(10.0)
    Outbox(path).close()


def damaged(path: Path) -> None:
    with Outbox(path) as outbox:
        fill(outbox, 1000)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (text)")
    connection.close()


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE message (text)")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute("PRAGMA user_version=2")
    connection.close()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (damaged, "is damaged; move it away"),
        (lambda path: path.write_bytes(b"hello" * 1000), "is damaged; move it away"),
        (foreign, "is not an outbox but another program's database"),
        (newer, "was written by a newer version of edge-wbc; update this one"),
        (lambda path: path.mkdir(), "choose another place"),
    ],
)
def test_a_file_that_is_no_good_outbox_is_refused_and_left_alone(path: Path, make: object, says: str) -> None:
    path.parent.mkdir()
    make(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(OutboxError, match=says) as caught:
        Outbox(path)
    one_line(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def as_nobody(code: str) -> str:
    """Run it as a user who may write nothing, and return what it printed."""
    drop = "import os\nif os.getuid() == 0:\n    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    done = subprocess.run(
        [sys.executable, "-c", "import firmware_bridge.outbox, urllib.parse\n" + drop + code],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may enter, which pytest's are not."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.parametrize("exists", [False, True])
def test_a_place_that_cannot_be_written_is_refused(open_folder: Path, exists: bool) -> None:
    path = open_folder / "outbox.sqlite"
    if exists:
        Outbox(path).close()
        os.chmod(path, 0o444)
        os.chmod(f"{path}-lock", 0o666)
    os.chmod(open_folder, 0o555)
    said = as_nobody(
        f"try:\n    firmware_bridge.outbox.Outbox({str(path)!r})\n"
        "except firmware_bridge.OutboxError as error:\n    print(error)"
    )
    assert "choose another place for the outbox, or outbox=none" in said
    assert said.count("\n") == 1
    os.chmod(open_folder, 0o755)


def test_a_name_that_means_nothing_is_refused() -> None:
    with pytest.raises(OutboxError):
        Outbox("/proc/no/outbox")
    with pytest.raises(OutboxError):
        Outbox("a\0b")


def test_a_closed_outbox_says_so(path: Path) -> None:
    outbox = Outbox(path)
    outbox.close()
    outbox.close()
    with pytest.raises(LinkError, match="is closed"):
        fill(outbox, 1)


def test_a_million_undelivered_rows_open_in_under_a_second(path: Path) -> None:
    Outbox(path).close()
    connection = sqlite3.connect(path)
    connection.executemany(
        "INSERT INTO message (position, kind, payload) VALUES (?, 16, ?)",
        ((position, payload(position)) for position in range(1, 1_000_001)),
    )
    connection.execute("UPDATE state SET last = 1000000")
    connection.commit()
    connection.close()
    began = time.perf_counter()
    outbox = sending(path)
    first = positions(outbox, 0, AHEAD)
    took_s = time.perf_counter() - began
    began = time.perf_counter()
    with outbox.changed:
        assert outbox.changed.wait_for(lambda: outbox.sendable >= AHEAD, 10.0)
    assert positions(outbox, 0, AHEAD) == list(range(1, AHEAD + 1))
    took_s += time.perf_counter() - began
    outbox.close()
    assert first == []
    assert took_s < 1.0
    print(f"opened 1,000,000 rows in {took_s * 1000:.0f} ms")  # noqa: T201
