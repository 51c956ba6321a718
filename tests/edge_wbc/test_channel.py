"""Hand-over between threads. Every thread is joined with a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edge_wbc.channel import Channel

DEADLINE_S = 10


def started(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def ends(thread: threading.Thread) -> bool:
    thread.join(DEADLINE_S)
    return not thread.is_alive()


def test_the_latest_drops_the_oldest_and_counts() -> None:
    channel: Channel[int] = Channel(2, latest=True)
    assert all(channel.put(number) for number in range(7))
    assert channel.dropped == 5
    assert [channel.get(), channel.get()] == [5, 6]
    assert channel.get_waiting() is None


def test_a_full_channel_makes_the_giver_wait() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(0)
    giver = started(lambda: channel.put(1))
    giver.join(0.1)
    assert giver.is_alive()
    assert channel.get() == 0
    assert ends(giver)
    assert channel.get() == 1
    assert channel.dropped == 0


def test_the_taker_waits_for_an_item() -> None:
    channel: Channel[int] = Channel(1)
    taken: list[int | None] = []
    taker = started(lambda: taken.append(channel.get()))
    channel.put(5)
    assert ends(taker)
    assert taken == [5]


def test_after_the_end_what_is_left_is_taken_then_none() -> None:
    channel: Channel[int] = Channel(4)
    channel.put(1)
    channel.put(2)
    channel.end()
    assert not channel.put(3)
    assert [channel.get(), channel.get(), channel.get(), channel.get_waiting()] == [1, 2, None, None]


def test_the_end_wakes_everyone_who_waits() -> None:
    full: Channel[int] = Channel(1)
    full.put(0)
    empty: Channel[int] = Channel(1)
    answers: list[object] = []
    waiting = [started(lambda: answers.append(full.put(1))), started(lambda: answers.append(empty.get()))]
    full.end()
    empty.end()
    assert all(map(ends, waiting))
    assert sorted(map(str, answers)) == ["False", "None"]


def test_a_refused_item_is_not_counted_as_dropped() -> None:
    channel: Channel[int] = Channel(1, latest=True)
    channel.put(0)
    channel.end()
    assert not channel.put(1)
    assert channel.dropped == 0
    assert channel.get() == 0


def test_nothing_is_lost_or_doubled_between_many_threads() -> None:
    channel: Channel[int] = Channel(3)
    taken: list[int] = []
    barrier = threading.Barrier(8)

    def give(start: int) -> None:
        barrier.wait(DEADLINE_S)
        for number in range(start, start + 100):
            channel.put(number)

    def take() -> None:
        barrier.wait(DEADLINE_S)
        while (item := channel.get()) is not None:
            taken.append(item)

    givers = [started(lambda start=100 * number: give(start)) for number in range(4)]  # type: ignore[misc]
    takers = [started(take) for _ in range(4)]
    assert all(map(ends, givers))
    channel.end()
    assert all(map(ends, takers))
    assert sorted(taken) == list(range(400))
