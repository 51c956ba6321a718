"""What was sent, and what a board's own record says was applied."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from firmware_bridge import COUNTED_LABELS, UNIDENTIFIED, CellResult, Differential
from firmware_bridge.store import Doubt


@dataclass(frozen=True)
class Record:
    """The example's record as it stands in the board's memory."""

    stream_id: int
    last_seq: int
    applied: int
    chain: int
    counts: dict[str, int]
    differential: tuple[int, ...]


_RECORD = struct.Struct("<27I")
BOOTS_BYTES = 4
STORE_BYTES = 2 * _RECORD.size


class NoRecordError(AssertionError):
    """Neither copy of the record is good: the board has begun no stream yet."""


def newest_record(store: bytes) -> Record:
    """Return the newer good record, found as the firmware finds it.

    :raises NoRecordError: there is none.
    """
    best: tuple[int, ...] | None = None
    for number in range(2):
        raw = store[number * _RECORD.size :][: _RECORD.size]
        words = _RECORD.unpack(raw)
        if not words[0] or zlib.crc32(raw[:-4]) != words[-1]:
            continue
        if best is None or (words[0] - best[0]) & 0xFFFFFFFF < 1 << 31:
            best = words
    if best is None:
        raise NoRecordError("no good record in the board's memory")
    _, stream_id, last_seq, applied, chain, *rest = best
    names = (*COUNTED_LABELS, UNIDENTIFIED)
    counts = {name: count for name, count in zip(names, rest[: len(names)], strict=True) if count}
    return Record(stream_id, last_seq, applied, chain, counts, tuple(rest[len(names) : -1]))


class Ledger:
    """What the board's record must say when each message has been applied once and in order."""

    def __init__(self) -> None:
        self.applied = 0
        self.chain = 0
        self.counts: Counter[str] = Counter()

    def add(self, messages: Iterable[CellResult | Differential], first_seq: int = 1) -> None:
        for seq, message in enumerate(messages, first_seq):
            self.applied += 1
            self.chain = zlib.crc32(struct.pack("<I", seq) + message.encode(), self.chain)
            if isinstance(message, CellResult):
                self.counts[message.label] += 1

    def check(self, record: Record) -> None:
        told = f"{record.applied} applied, {record.counts}, of {self.applied}, {dict(self.counts)}"
        assert (record.applied, record.counts) == (self.applied, dict(self.counts)), told
        assert record.chain == self.chain, "the counts are right, but not the order or a value"


@dataclass(frozen=True)
class Boot:
    """What a board that forgets at each reset had applied before one: results behind position ``start``."""

    number: int
    """The board's boot id."""
    start: int
    record: Record


@dataclass(frozen=True)
class Shown:
    """What a board that forgets did to the results, and what the host showed of it."""

    boots: int
    in_doubt: int
    doubled: int
    lost: int
    hidden: int
    """Lost or doubled, and not in doubt."""


def shown(sent: int, boots: Iterable[Boot], doubts: Iterable[Doubt]) -> Shown:
    """Compare what was applied in each boot with what was in doubt.

    :raises AssertionError: a boot has applied anything but the results that follow its stream's start, each once, in
        order, with the flag where it was in doubt before.
    """
    doubted_at: dict[int, int] = {}
    for doubt in doubts:
        doubted_at.setdefault(doubt.position, doubt.boot_after)
    times, number_of_boots = Counter[int](), 0
    for boot in boots:
        record, ledger = boot.record, Ledger()
        assert record.applied == record.last_seq, f"one stream a boot: {boot}"
        for result in results(record.applied, boot.start):
            position = result.cell_id + 1
            flagged = doubted_at.get(position, boot.number + 1) <= boot.number
            ledger.add([replace(result, redelivered=flagged)], position - boot.start)
            times[position] += 1
        ledger.check(record)
        number_of_boots += 1
    doubled = {position for position, count in times.items() if count > 1}
    lost = set(range(1, sent + 1)) - times.keys()
    hidden = (doubled | lost) - doubted_at.keys()
    return Shown(number_of_boots, len(doubted_at), len(doubled), len(lost), len(hidden))


def results(count: int, first: int = 0) -> list[CellResult]:
    """Return so many results, the same for the same numbers, from number ``first`` on."""
    labels = (*COUNTED_LABELS, UNIDENTIFIED)
    return [
        CellResult(
            n,
            1_700_000_000_000_000_000 + n,
            labels[n % len(labels)],
            n % 101 / 100,
            (n & 0xFFFF, n * 3 & 0xFFFF, 40, n % 300),
        )
        for n in range(first, first + count)
    ]
