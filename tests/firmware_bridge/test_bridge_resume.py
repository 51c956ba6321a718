"""What a greeting means for what waits: the whole table."""

from __future__ import annotations

import pytest

from firmware_bridge.errors import ProtocolError
from firmware_bridge.messages import HelloAck
from firmware_bridge.resume import decide
from firmware_bridge.schema import Persistence
from firmware_bridge.store import MemoryStore, Resumption, Row, Stream, doubts_of

SAME, OTHER = 1, 2
KNOWN = Stream(5, start=10, boot_id=SAME, unique_id=b"board")


def hello(stream_id: int, last: int, boot_id: int, persistence: int, unique_id: bytes = b"board") -> HelloAck:
    return HelloAck(1, 0, 0, unique_id, b"\0\1\0", boot_id, stream_id, last, 300, 64, persistence)


def decided(answer: HelloAck, acknowledged: int = 12, maybe_sent: int = 16, stream: Stream = KNOWN) -> Resumption:
    return decide(stream, acknowledged, maybe_sent, answer, fresh_id=99)


@pytest.mark.parametrize("persistence", [*Persistence, 9])
@pytest.mark.parametrize("last", [2, 4, 6])
def test_an_instrument_that_went_on_tells_how_far_it_came(persistence: int, last: int) -> None:
    assert decided(hello(5, last, SAME, persistence)) == Resumption(KNOWN, 10 + last)


@pytest.mark.parametrize("persistence", [Persistence.RAM_ONLY, 9])
def test_one_that_started_again_and_promises_nothing_leaves_what_was_in_flight_in_doubt(persistence: int) -> None:
    resumption = decided(hello(5, 4, OTHER, persistence))
    assert (resumption.acknowledged, resumption.repeated, resumption.withheld) == (14, 16, None)
    assert resumption.stream == Stream(5, 10, OTHER, b"board")


def test_one_that_remembers_over_a_loss_of_power_leaves_nothing_in_doubt() -> None:
    resumption = decided(hello(5, 4, OTHER, Persistence.ATOMIC))
    assert (resumption.acknowledged, resumption.repeated, resumption.withheld) == (14, 0, None)


@pytest.mark.parametrize(("last", "withheld"), [(4, 14), (2, None)])
def test_one_that_counts_first_leaves_the_last_counted_in_doubt(last: int, withheld: int | None) -> None:
    resumption = decided(hello(5, last, OTHER, Persistence.COMMIT_BEFORE))
    assert (resumption.acknowledged, resumption.repeated, resumption.withheld) == (10 + last, 0, withheld)


@pytest.mark.parametrize("persistence", list(Persistence))
@pytest.mark.parametrize("stream_id", [0, 7])
@pytest.mark.parametrize("boot_id", [SAME, OTHER])
def test_one_that_does_not_know_the_stream_gets_a_new_one(persistence: int, stream_id: int, boot_id: int) -> None:
    resumption = decided(hello(stream_id, 1234, boot_id, persistence))
    assert resumption == Resumption(Stream(99, 12, boot_id, b"board"), 12, repeated=16)
    assert resumption.stream.seq(13) == 1


def test_another_instrument_on_the_same_stream_leaves_doubt() -> None:
    assert decided(hello(5, 4, SAME, Persistence.RAM_ONLY, b"other")).repeated == 16


def test_numbers_wrap_and_positions_do_not() -> None:
    acknowledged = 2**32 - 2
    wrapped = decided(
        hello(5, 3, SAME, Persistence.ATOMIC), acknowledged, acknowledged + 9, Stream(5, 0, SAME, b"board")
    )
    assert wrapped.acknowledged == acknowledged + 5


def test_the_first_instrument_ever_leaves_none() -> None:
    first = decided(hello(0, 0, OTHER, Persistence.RAM_ONLY), 0, 1, Stream(5, 0))
    assert list(doubts_of(first, Stream(5, 0), [Row(1, 16, b"")])) == []


@pytest.mark.parametrize(("last", "says"), [(1, "its memory is damaged"), (7, "which was never sent")])
def test_what_the_host_cannot_have_sent_or_forgotten_is_refused(last: int, says: str) -> None:
    with pytest.raises(ProtocolError, match=says) as caught:
        decided(hello(5, last, SAME, Persistence.ATOMIC))
    assert "\n" not in str(caught.value)
    assert "instrument log --new-stream" in str(caught.value)


def test_the_memory_store_lists_doubts_and_their_delivery() -> None:
    store = MemoryStore()
    for _ in range(4):
        store.put(16, b"")
    fresh = store.adopt(Resumption(Stream(9, 1, OTHER), acknowledged=1, repeated=3))
    assert [(doubt.position, doubt.repeated, doubt.delivered) for doubt in fresh] == [
        (2, True, False),
        (3, True, False),
    ]
    assert [row.doubted for row in store.read(0, 10)] == [True, True, False]
    store.acknowledge(2)
    assert [doubt.delivered for doubt in store.doubts()] == [True, False]
    assert store.adopt(Resumption(Stream(9, 1, OTHER), acknowledged=2, repeated=3)) == []
