"""Whether two tracks close to each other are one cell: lobes found apart, or neighbours found as one."""

from __future__ import annotations

TOGETHER = 2
"""Frames in which two tracks were one box, beyond those in which they were two, before they are one cell."""
MOST_APART = 20
"""Frames in which they were two, of which no more are remembered."""


class Pairs:
    """Votes for and against, frame by frame."""

    def __init__(self) -> None:
        self._votes: dict[tuple[int, int], int] = {}

    def together(self, a: int, b: int) -> bool:
        """They were one box; whether that makes them one cell."""
        self._votes[a, b] = self._votes.get((a, b), 0) + 1
        return self._votes[a, b] >= TOGETHER

    def apart(self, a: int, b: int) -> None:
        """They were two."""
        self._votes[a, b] = max(-MOST_APART, self._votes.get((a, b), 0) - 1)

    def forget(self, *numbers: int) -> None:
        """Nothing hangs on these tracks any more."""
        gone = set(numbers)
        for pair in [pair for pair in self._votes if not gone.isdisjoint(pair)]:
            del self._votes[pair]
