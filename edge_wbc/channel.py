"""Hand-over of items from one thread to the next."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """A bounded queue with an end. Nobody is woken for nothing: takers that wait for several items ask for the same
    number.

    With ``latest`` a full channel throws its oldest item away and counts it, so the giver never waits and the taker
    gets the newest; without, the giver waits.
    """

    def __init__(self, capacity: int, *, latest: bool = False) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._latest = latest
        self._ended = False
        self._lock = threading.Lock()
        self._filled, self._emptied = threading.Condition(self._lock), threading.Condition(self._lock)
        self._wanted = 1
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Items that wait to be taken."""
        return len(self._items)

    def put(self, *items: T) -> bool:
        """Hand items over, and wake a taker once; False if the channel has ended and the rest was not taken."""
        with self._lock:
            for item in items:
                while len(self._items) >= self._capacity and not self._ended:
                    if self._latest:
                        self._items.popleft()
                        self.dropped += 1
                    else:
                        self._filled.notify()
                        self._emptied.wait()
                if self._ended:
                    return False
                self._items.append(item)
            if len(self._items) >= self._wanted:
                self._filled.notify()
            return True

    def get(self, at_least: int = 1, timeout_s: float | None = None) -> T | None:
        """The next item, waiting until so many are there (at most the capacity); None at the end.

        :param timeout_s: wait no longer; None also if nothing is there by then.
        """
        with self._lock:
            self._wanted = at_least
            self._filled.wait_for(lambda: len(self._items) >= at_least or self._ended, timeout_s)
            return self._take()

    def get_waiting(self) -> T | None:
        """The next item if one is there already."""
        with self._lock:
            return self._take()

    def end(self) -> None:
        """No more items: givers are refused, takers get what is left, then None."""
        with self._lock:
            self._ended = True
            self._filled.notify_all()
            self._emptied.notify_all()

    def _take(self) -> T | None:
        if not self._items:
            return None
        item = self._items.popleft()
        self._emptied.notify()
        return item
