"""The bad wire itself: what it is asked for it does, and no more."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.firmware_bridge.firmware.wire import Faults, Line, Pieces

DATA = random.Random(1).randbytes(200_000)


def spoilt(faults: Faults, at_once: int) -> tuple[bytes, int, Counter[str]]:
    """Return what goes on in time, how many bytes are late, and the faults."""
    done: Counter[str] = Counter()
    pieces = Pieces(faults, random.Random(2), done)
    given = [part for at in range(0, len(DATA), at_once) for part in pieces.spoil(DATA[at : at + at_once])]
    in_time = b"".join(part for late_s, part in given if not late_s)
    return in_time, sum(len(part) for late_s, part in given if late_s), done


@pytest.mark.parametrize("kind", ["drop", "double", "delay"])
@pytest.mark.parametrize("at_once", [1, 7, 4096])
def test_a_piece_meets_its_fate_however_its_bytes_come(kind: str, at_once: int) -> None:
    faults = Faults(**{kind: 0.05})
    in_time, late, done = spoilt(faults, at_once)
    assert (in_time, late, done) == spoilt(faults, len(DATA))
    assert 0.04 < abs(len(in_time) - len(DATA)) / len(DATA) < 0.06
    assert late in (0, len(DATA) - len(in_time))


@pytest.mark.parametrize("at_once", [1, 4096])
def test_one_bit_of_a_piece_is_flipped(at_once: int) -> None:
    in_time, _, done = spoilt(Faults(flip=0.04), at_once)
    changed = [a ^ b for a, b in zip(in_time, DATA, strict=True) if a != b]
    assert len(changed) == done["flip"]
    assert all(bits & (bits - 1) == 0 for bits in changed)
    assert 0.0015 < len(changed) / len(DATA) < 0.0025, "0.2 % of the bytes"


def test_a_wire_without_faults_changes_nothing() -> None:
    assert spoilt(Faults(), 100)[0] == DATA


def test_a_paced_line_delivers_each_byte_when_its_time_has_passed() -> None:
    line = Line(baud=1000)  # 10 ms a byte
    line.put(b"abc", 5.0)
    assert line.arrived(5.009) == b""
    assert line.arrived(5.021) == b"ab"
    line.put(b"d", 5.021)
    assert line.arrived(5.0301) == b"c"
    assert line.arrived(5.0401) == b"d"
    line.put(b"e", 9.0)
    assert line.arrived(9.009) == b""
    assert line.arrived(9.0101) == b"e"
