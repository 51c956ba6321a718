"""The chain: appended to by several at once, cut off, changed, from elsewhere, on a clock that jumps."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge_wbc.errors import OutputFailed, SessionError
from edge_wbc.review import chain
from edge_wbc.review.chain import FILE, Broken, appending, broken, first_hash, hash_of, rows, written
from tests.conftest import ROOT
from tests.edge_wbc.review.conftest import sql, write_anew

EACH = 25
APPEND = f"""
import sys
from pathlib import Path
from edge_wbc.review.chain import appending
for i in range({EACH}):
    with appending(Path(sys.argv[1]), None) as one:
        one.append(sys.argv[2], "labelled", {{"label": str(i), "before": ""}})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "20260101T000000Z-abc123"
    folder.mkdir()
    return folder


def append(folder: Path, *labels: str) -> None:
    for label in labels:
        with appending(folder, None) as one:
            one.append("ann", "labelled", {"label": label, "before": ""})


def test_each_row_carries_the_hash_of_the_one_before_and_the_first_that_of_the_session(folder: Path) -> None:
    assert rows(folder) == ()
    append(folder, "a", "ä\n\x00")
    first, second = rows(folder)
    assert (first.number, first.previous, second.number) == (1, first_hash(folder), 2)
    assert second.previous == first.hash == hash_of(written(folder)[0].text)
    assert second.body["label"] == "ä\n\x00"
    assert written(folder)[1].text.isascii()
    assert datetime.fromisoformat(second.at_utc).tzinfo is not None
    assert rows(folder, first) == (second,)
    assert rows(folder, second) == ()


def test_several_rows_of_one_transaction_are_there_together_or_not_at_all(folder: Path) -> None:
    append(folder, "a")
    with pytest.raises(ZeroDivisionError), appending(folder, None) as one:  # noqa: PT012
        one.append("ann", "labelled", {})
        raise ZeroDivisionError
    assert len(rows(folder)) == 1
    with appending(folder, None) as one:
        one.append("ann", "labelled", {})
        one.append("ann", "labelled", {})
    assert [row.number for row in one.appended] == [2, 3]
    assert list(broken(written(folder), folder)) == []


def test_threads_that_append_at_once_make_one_chain(folder: Path) -> None:
    threads = [threading.Thread(target=append, args=(folder, *map(str, range(EACH)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.number for row in rows(folder)] == list(range(1, 4 * EACH + 1))


def test_processes_that_append_at_once_make_one_chain(folder: Path) -> None:
    commands = [[sys.executable, "-c", APPEND, str(folder), who] for who in ("ann", "bob")]
    processes = [subprocess.Popen(command, cwd=ROOT) for command in commands]
    assert [process.wait(60) for process in processes] == [0, 0]
    found = rows(folder)
    assert len(found) == 2 * EACH
    for who in ("ann", "bob"):
        assert [row.body["label"] for row in found if row.who == who] == list(map(str, range(EACH)))


def test_who_appends_reads_first_what_others_have(folder: Path) -> None:
    append(folder, "a")
    (known,) = rows(folder)
    append(folder, "b", "c")
    with appending(folder, known) as one:
        assert [row.body["label"] for row in one.news] == ["b", "c"]
        assert one.append("bob", "labelled", {}).number == 4


@pytest.mark.parametrize("left", [b"", None], ids=["empty", "no tables"])
def test_a_file_that_was_only_just_made_before_a_kill_is_an_empty_chain(folder: Path, left: bytes | None) -> None:
    (folder / FILE).write_bytes(b"")
    if left is None:
        with closing(sqlite3.connect(folder / FILE)) as connection:
            connection.execute("VACUUM")
        assert (folder / FILE).stat().st_size
    assert rows(folder) == ()
    append(folder, "a")
    assert len(rows(folder)) == 1


@pytest.mark.parametrize(
    ("pragma", "line"),
    [
        ("user_version=2", "written by a newer version of edge-wbc; update this one"),
        ("application_id=7", "another program's database; move it away"),
    ],
)
def test_another_versions_or_programs_file_is_a_line_and_stays_as_it_is(folder: Path, pragma: str, line: str) -> None:
    append(folder, "a")
    with closing(sqlite3.connect(folder / FILE)) as connection:
        connection.execute(f"PRAGMA {pragma}")
    before = (folder / FILE).read_bytes()
    for use in (lambda: rows(folder), lambda: written(folder), lambda: append(folder, "b")):
        with pytest.raises(SessionError) as error:
            use()
        assert str(error.value) == f"{folder / FILE}: {line}"
    assert (folder / FILE).read_bytes() == before


def test_a_damaged_file_is_a_line(folder: Path) -> None:
    (folder / FILE).write_bytes(b"text\n" * 1000)
    for use in (lambda: rows(folder), lambda: append(folder, "b")):
        with pytest.raises(SessionError, match=r"damaged \(file is not a database\); restore it from a copy$"):
            use()


def test_what_another_program_keeps_locked_is_not_saved_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(folder, "a")
    monkeypatch.setattr(chain, "PATIENCE_S", 0.01)
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OutputFailed, match=r"nothing was saved \(locked by another program\); try again$"):
            append(folder, "b")
        with pytest.raises(SessionError, match=r"locked by another program; try again$"):
            rows(folder)
    append(folder, "b")
    assert len(rows(folder)) == 2


def test_where_nothing_can_be_written_it_says_so(folder: Path) -> None:
    (folder / FILE).mkdir()
    with pytest.raises(OutputFailed, match=r"nothing was saved \(unable to open database file\); make room or check"):
        append(folder, "a")


def test_on_a_clock_that_jumps_back_rows_keep_their_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([datetime(2026, 1, 2, tzinfo=timezone.utc) - timedelta(days=i) for i in range(3)])

    class Clock:
        @staticmethod
        def now(zone: timezone) -> datetime:
            return next(times)

    monkeypatch.setattr(chain, "datetime", Clock)
    append(folder, "a", "b", "c")
    found = rows(folder)
    assert [row.body["label"] for row in found] == ["a", "b", "c"]
    assert found[0].at_utc > found[1].at_utc > found[2].at_utc


def found(folder: Path) -> list[str]:
    return [str(one) for one in broken(written(folder), folder)]


def test_a_changed_row_is_found(folder: Path) -> None:
    append(folder, "a", "b", "c")
    sql(folder, "UPDATE rows SET text = replace(text, 'ann', 'eve') WHERE number = 2")
    assert found(folder) == ["row 2 does not fit its hash"]
    with pytest.raises(SessionError, match="row 2 does not fit its hash; see `edge-wbc sessions verify 2026"):
        rows(folder)
    with pytest.raises(SessionError, match="row 2"):
        append(folder, "d")
    sql(folder, "UPDATE rows SET hash = ? WHERE number = 2", hash_of(written(folder)[1].text))
    assert found(folder) == ["row 3 does not follow the one before it"]


def test_deleted_rows_are_found(folder: Path) -> None:
    append(folder, *"abcdefg")
    sql(folder, "DELETE FROM rows WHERE number IN (2, 4, 5, 6)")
    assert found(folder) == ["row 2 is missing", "row 4 and 2 after it are missing"]
    sql(folder, "DELETE FROM rows WHERE number = 1")
    assert found(folder)[0] == "row 1 and 1 after it are missing"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "[" * 100_000, '{"number":2}', '{"body":{}}', "\udcff"], ids=lambda text: text[:12]
)
def test_a_text_that_is_no_row_is_found(folder: Path, text: str) -> None:
    append(folder, "a", "b", "c")
    data = text.encode(errors="surrogateescape")
    sql(folder, "UPDATE rows SET text = CAST(? AS TEXT), hash = ? WHERE number = 2", data, hash_of(text))
    assert found(folder) == ["row 2 is no row of a chain", "row 3 does not follow the one before it"]


def test_rows_in_another_order_are_found(folder: Path) -> None:
    append(folder, "a", "b", "c")
    sql(folder, "UPDATE rows SET number = 9 WHERE number = 2")
    sql(folder, "UPDATE rows SET number = 2 WHERE number = 3")
    sql(folder, "UPDATE rows SET number = 3 WHERE number = 9")
    assert found(folder)[:2] == ["row 2 is no row of a chain", "row 3 is no row of a chain"]
    sql(folder, "UPDATE rows SET number = -1 WHERE number = 3")
    assert found(folder)[0] == "row -1 has a number that no row has"


def test_another_sessions_chain_does_not_fit(folder: Path) -> None:
    append(folder, "a")
    other = folder.with_name("20260102T000000Z-abc123")
    shutil.copytree(folder, other)
    assert found(other) == ["row 1 is not the first of this session's chain"]


def test_a_chain_that_is_no_longer_the_one_that_is_known_is_not_appended_to(folder: Path) -> None:
    append(folder, "a", "b")
    known = rows(folder)[-1]
    write_anew(folder, lambda row: row.update(who="eve"))
    assert list(broken(written(folder), folder)) == []
    for use in (lambda: rows(folder, known), lambda: appending(folder, known).__enter__()):
        with pytest.raises(SessionError, match="row 2 is no longer there"):
            use()
    (folder / FILE).unlink()
    with pytest.raises(SessionError, match="row 2 is no longer there"), appending(folder, known):
        pass
    assert rows(folder) == ()
    assert str(Broken(2, "is missing")) == "row 2 is missing"
