"""The durable outbox: a message is a row on disk before its first byte is sent, and leaves when it is acknowledged.

SQLite in WAL mode with synchronous=FULL. One thread writes, everything that has come together in one commit, so that
nobody else waits for the disk unless they ask to (`Outbox.flush`). Beside the rows it keeps, in the same commits, the
position up to which bytes may have gone out: a host that was killed then knows what may be on the instrument.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from firmware_bridge.errors import LinkError, OutboxError, OutboxFullError
from firmware_bridge.outbox_file import connect, lock, outbox_error, prepare, read_doubts, read_state, telling
from firmware_bridge.store import Doubt, Resumption, Row, doubts_of

CAPACITY = 1_000_000
"""Messages that may wait. More is an error: an instrument that is gone so long is not coming back by itself."""

AHEAD = 256
"""Messages that may be sent before the next commit; all of them are in doubt after a kill."""

_ACKNOWLEDGED_WAIT_S = 0.1  # acknowledgements alone are in no hurry: lost ones come again in HELLO_ACK


class Outbox:
    """A `store.Store` in a file. `put`, `flush`, `doubts` are for any thread, the rest for the link's."""

    def __init__(self, path: str | Path, *, capacity: int = CAPACITY) -> None:
        """Open an outbox, or make one.

        :raises OutboxBusyError: another program holds it.
        :raises OutboxError: it is damaged, read-only, from a newer version or no outbox, or the disk is full.
        """
        self.path = Path(path)
        self.changed = threading.Condition()
        self.watch: Callable[[], None] = lambda: None
        self._capacity = capacity
        self._lock = lock(self.path)
        try:
            with telling(self.path):
                self._connection = connect(self.path)
                prepare(self._connection, self.path)
                (mode,) = self._connection.execute("PRAGMA journal_mode=WAL").fetchone()
                if mode != "wal":
                    raise OutboxError(f"{self.path}: this file system can't hold an outbox; choose a local disk")
                self.last, self.acknowledged, self._allowed, self.stream = read_state(self._connection)
                self._reader = connect(self.path)
        except BaseException:
            if hasattr(self, "_connection"):
                self._connection.close()
            os.close(self._lock)
            raise
        self.maybe_sent = min(self._allowed, self.last)
        self._durable = self.last
        self._written_acknowledged = self.acknowledged
        self._read_to = self.maybe_sent
        self._rows: list[tuple[int, int, bytes]] = []
        self._resumption: tuple[Resumption, Sequence[Doubt]] | None = None
        self.error: OutboxError | None = None
        self._closed = False
        self._sending = False
        self._thread = threading.Thread(target=self._write, name=f"outbox {self.path}", daemon=True)
        self._thread.start()

    @property
    def sendable(self) -> int:
        return min(self._durable, self._allowed)

    def put(self, kind: int, payload: bytes) -> int:
        """Take a message and return its position; never waits for the disk.

        :raises OutboxFullError: so many wait that no more are taken.
        :raises OutboxError: the outbox has failed or is closed.
        """
        with self.changed:
            self._check()
            if self.last - self.acknowledged >= self._capacity:
                raise OutboxFullError(
                    f"{self.path}: {self._capacity} messages wait for the instrument and no more are taken; "
                    "connect the instrument"
                )
            self.last += 1
            self._rows.append((self.last, kind, payload))
            self.changed.notify_all()
            return self.last

    def read(self, after: int, limit: int) -> Sequence[Row]:
        with telling(self.path):
            rows = self._reader.execute(
                "SELECT position, kind, payload, doubted FROM message WHERE position > ? AND position <= ? "
                "ORDER BY position LIMIT ?",
                (max(after, self.acknowledged), self.sendable, limit),
            ).fetchall()
        with self.changed:
            if rows:
                self._read_to = max(self._read_to, rows[-1][0])
            if self._may_allow() > self._allowed:
                self.changed.notify_all()
        return [Row(position, kind, payload, bool(doubted)) for position, kind, payload, doubted in rows]

    def acknowledge(self, position: int) -> None:
        with self.changed:
            self.acknowledged = position
            self.changed.notify_all()

    def begin_sending(self) -> None:
        """From now on bytes may go out, of what was read first of all; waits for the disk where that is news.

        :raises OutboxError: the outbox has failed.
        """
        with self.changed:
            self._check()
            self._sending = True
            self.changed.notify_all()
            self.changed.wait_for(lambda: self._allowed >= self._read_to or self.error is not None)
            self._check()

    def end_sending(self) -> None:
        with self.changed:
            self._sending = False

    def adopt(self, resumption: Resumption) -> Sequence[Doubt]:
        """Go on as decided; waits for the disk.

        :raises OutboxError: the outbox has failed.
        """
        until = max(resumption.repeated, resumption.withheld or 0)
        rows = []
        if until > self.acknowledged:
            with telling(self.path):
                rows = [
                    Row(position, kind, payload, bool(doubted))
                    for position, kind, payload, doubted in self._reader.execute(
                        "SELECT position, kind, payload, doubted FROM message WHERE position > ? AND position <= ?",
                        (self.acknowledged, until),
                    )
                ]
        fresh = list(doubts_of(resumption, self.stream, rows))
        with self.changed:
            self._check()
            self._resumption = (resumption, fresh)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self._resumption is None or self.error is not None)
            self._check()
            self.stream = resumption.stream
            self.acknowledged = resumption.acknowledged
            self.changed.notify_all()
        return fresh

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything put so far is on disk; False when time ran out.

        :raises OutboxError: the outbox has failed.
        """
        with self.changed:
            until = self.last
            self.changed.wait_for(lambda: self._durable >= until or self.error is not None, timeout_s)
            if self.error is not None:
                raise self.error.with_traceback(None)
            return self._durable >= until

    def doubts(self) -> Sequence[Doubt]:
        with telling(self.path):
            connection = connect(self.path, read_only=True)
            try:
                return read_doubts(connection, self.acknowledged)
            finally:
                connection.close()

    def fail(self) -> None:
        """Without effect: what is put waits for the next run."""

    def close(self, sent: int | None = None) -> None:
        """Write what is left and close the file; closing twice is without effect.

        :param sent: the position up to which bytes have gone out; what is behind it is then not in doubt.
        """
        with self.changed:
            if self._closed:
                return
            self._closed = True
            self._sent = sent
            self.changed.notify_all()
        self._thread.join()
        self._reader.close()
        self._connection.close()
        os.close(self._lock)

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        if self.error is not None:
            raise self.error.with_traceback(None)
        if self._closed:
            raise LinkError(f"the outbox {self.path} is closed; open it again")

    def _may_allow(self) -> int:
        return min(self.last, max(self._allowed, self._read_to + AHEAD)) if self._sending else self._allowed

    def _write(self) -> None:
        try:
            while self._commit():
                self.watch()
        except Exception as error:  # disk full, file damaged: told to everyone who asks from now on
            with self.changed:
                self.error = outbox_error(self.path, error)
                self.changed.notify_all()
            self.watch()

    def _urgent(self) -> bool:
        return bool(self._rows or self._resumption or self._closed or self._may_allow() > self._allowed)

    def _commit(self) -> bool:
        """Wait for something to write and write all there is; False after the last commit."""
        with self.changed:
            self.changed.wait_for(lambda: self._urgent() or self.acknowledged > self._written_acknowledged)
            self.changed.wait_for(self._urgent, _ACKNOWLEDGED_WAIT_S)
            rows, self._rows = self._rows, []
            closed, resumption = self._closed, self._resumption
            last, acknowledged, allowed = self.last, self.acknowledged, self._may_allow()
            if resumption is not None and resumption[0].stream.stream_id != self.stream.stream_id:
                allowed = acknowledged  # nothing has gone out on a new stream
            if closed and self._sent is not None:
                allowed = max(self._sent, acknowledged)
        self._transact(rows, (last, acknowledged, allowed), resumption)
        with self.changed:
            self._durable, self._allowed, self._written_acknowledged = last, allowed, acknowledged
            if resumption is not None:
                self._resumption = None
            self.changed.notify_all()
        return not closed

    def _transact(
        self,
        rows: Sequence[tuple[int, int, bytes]],
        figures: tuple[int, int, int],
        resumption: tuple[Resumption, Sequence[Doubt]] | None,
    ) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO message (position, kind, payload) VALUES (?, ?, ?)", rows)
        acknowledged = figures[1]
        if resumption is not None:
            decided, fresh = resumption
            stream = decided.stream
            acknowledged = max(acknowledged, decided.acknowledged)
            execute(
                "UPDATE state SET stream_id = ?, start = ?, boot_id = ?, unique_id = ?",
                (stream.stream_id, stream.start, stream.boot_id, stream.unique_id),
            )
            execute("UPDATE message SET doubted = 1 WHERE position <= ?", (decided.repeated,))
            self._connection.executemany(
                "INSERT INTO doubt VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (d.position, d.kind, d.payload, d.repeated, d.boot_before, d.boot_after, d.noticed_unix_ns)
                    for d in fresh
                ],
            )
        if acknowledged > self._written_acknowledged:
            execute("DELETE FROM message WHERE position <= ?", (acknowledged,))
        execute("UPDATE state SET last = ?, acknowledged = ?, allowed = ?", (figures[0], acknowledged, figures[2]))
        execute("COMMIT")
