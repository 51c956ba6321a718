"""Hand-over of items from one thread to the next."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """A bounded queue with an end.

    With ``latest`` a full channel throws its oldest item away and counts it, so the giver never waits and the taker
    gets the newest; without, the giver waits.
    """

    def __init__(self, capacity: int, *, latest: bool = False) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._latest = latest
        self._ended = False
        self._changed = threading.Condition()
        self.dropped = 0

    def put(self, item: T) -> bool:
        """Hand an item over; False if the channel has ended and the item was not taken."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._ended:
                if self._latest:
                    self._items.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait()
            if self._ended:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, at_least: int = 1, timeout_s: float | None = None) -> T | None:
        """The next item, waiting until so many are there (at most the capacity); None at the end.

        :param timeout_s: wait no longer; None also if nothing is there by then.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) >= at_least or self._ended, timeout_s)
            return self._take()

    def get_waiting(self) -> T | None:
        """The next item if one is there already."""
        with self._changed:
            return self._take()

    def end(self) -> None:
        """No more items: givers are refused, takers get what is left, then None."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self) -> T | None:
        if not self._items:
            return None
        item = self._items.popleft()
        self._changed.notify_all()
        return item
