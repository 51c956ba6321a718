"""A camera that comes back: what is lost is opened again, and the session goes on.

    opener ──▶ attempt (a thread of its own: opens, reads) ──▶ one frame ──▶ Supervised.frames()
                  │ fails, ends, stalls, freezes
                  └── left behind; wait; the next attempt

A driver that hangs while it opens or reads hangs its attempt only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

from edge_wbc.attempt import Attempt
from edge_wbc.errors import CameraError, UsageError
from edge_wbc.health import Health
from edge_wbc.sources.base import Source, open_source
from edge_wbc.types import Frame, Refused

REMEDY = "check the camera, its cable and its power"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what is waited for, in seconds."""

    first_frame_s: float = 10.0
    """From opening to the first frame. USB cameras take one to three."""
    stall_s: float = 3.0
    """Between two frames."""
    wait_s: float = 0.1
    """Before the first attempt to open it again; each attempt that fails doubles it…"""
    longest_wait_s: float = 1.0
    """… up to this: a camera that is back shows its frames again in less than two seconds."""
    losses: int = 10
    """The budget: more losses than this…"""
    window_s: float = 60.0
    """… within this time end the session: a loose cable."""
    away_s: float = 120.0
    """A camera that does not come back in this time ends it too."""


class Supervised:
    """A live source that is opened again when it is lost. Indices of frames go on.

    Before its first frame nothing is tried twice: a camera that was never there is told at once. An end without an
    error is the end.
    """

    live = True

    def __init__(
        self,
        opener: Callable[[str], Source],
        uri: str,
        notice: Callable[[str], None] = lambda line: None,
        patience: Patience = Patience(),
        *,
        opened: Source | None = None,
    ) -> None:
        """
        :param notice: called with one line for each loss and return, from the thread that takes the frames.
        :param opened: the source, if it was opened already.
        :raises EdgeWbcError: whatever ``opener`` raises.
        """
        self.uri = uri
        self.restarts = 0
        """How many times it was lost and came back."""
        self._opener = opener
        self._notice = notice
        self._patience = patience
        source = opener(uri) if opened is None else opened
        self.continuous = source.continuous
        self._first: Source | None = source
        self._remedy = str(getattr(self._first, "remedy", REMEDY))
        self._remarked: set[str] = set()
        self._health = Health(uri, notice)
        self._closed = threading.Event()
        self._attempt: Attempt | None = None
        self._changing = threading.Lock()
        self._losses: list[float] = []
        self._next_index = 0
        self._last_ns = 0
        self._seen = 0.0
        self._remark(self._first)
        self._lost_s = 0.0
        self._lost_since: float | None = None

    @property
    def lost_s(self) -> float:
        """Seconds without frames, from the last one before a loss to the first one after it."""
        since = self._lost_since
        return self._lost_s + (0.0 if since is None else time.monotonic() - since)

    def frames(self) -> Iterator[Frame | Refused]:
        first, self._first = self._first, None
        if first is None or (attempt := self._begin(lambda: first)) is None:
            return
        item = attempt.get(self._patience.first_frame_s)
        if item is None:
            if attempt.ended or self._closed.is_set():
                return
            raise attempt.error or CameraError(f"{self.uri}: no frame came; {self._remedy}")
        while True:
            what = yield from self._follow(attempt, item)
            if not what:
                return
            attempt.leave()
            if (found := self._back(what)) is None:
                return
            attempt, item = found

    def _follow(self, attempt: Attempt, first: Frame | Refused) -> Generator[Frame | Refused, None, str]:
        """Hand on what an attempt gives; returns why it was lost, or nothing at the end."""
        base = self._next_index - first.index
        item: Frame | Refused | None = first
        while item is not None:
            self._seen = time.monotonic()
            what = ""
            if isinstance(item, Frame):
                self._last_ns, before_ns = item.time_ns, self._last_ns
                if item.time_ns < before_ns:
                    late_s = (before_ns - item.time_ns) / 1e9
                    why = f"{self.uri}: a frame from {late_s:.3f} s before the one before it; left out"
                    item = Refused(item.index, item.origin, why)
                else:
                    what = self._health.look(item)
            self._next_index = base + item.index + 1
            yield replace(item, index=base + item.index)
            if what:
                return what
            item = attempt.get(self._patience.stall_s)
        if attempt.ended or self._closed.is_set():
            return ""
        return attempt.reason(self.uri) or f"no frame for {self._patience.stall_s:g} s"

    def _back(self, what: str) -> tuple[Attempt, Frame | Refused] | None:
        """Open it again until a frame comes; none if the session was closed meanwhile.

        :raises CameraError: the budget is used up.
        """
        patience = self._patience
        self._lost_since = since = self._seen
        self._losses = [lost for lost in self._losses if since - lost < patience.window_s] + [since]
        if len(self._losses) > patience.losses:
            often = f"lost {len(self._losses)} times within {patience.window_s:g} s"
            raise CameraError(f"{self.uri}: {often}, at last: {what}; {self._remedy}")
        self._notice(f"{self.uri}: {what}; opening it again")
        self._health.reopened()
        wait_s = patience.wait_s
        while not self._closed.wait(wait_s) and (attempt := self._begin(lambda: self._opener(self.uri))):
            item = attempt.get(patience.first_frame_s)
            if item is not None:
                lost_s = time.monotonic() - since
                self._lost_s, self._lost_since = self._lost_s + lost_s, None
                self.restarts += 1
                self._notice(f"{self.uri}: frames again after {lost_s:.1f} s")
                self._remark(attempt.source)
                return attempt, item
            attempt.leave()
            if isinstance(attempt.error, UsageError):
                raise attempt.error
            what = attempt.reason(self.uri) or "no frame came"
            if time.monotonic() - since > patience.away_s:
                raise CameraError(f"{self.uri}: {what}, for {patience.away_s:g} s; {self._remedy}")
            wait_s = min(2 * wait_s, patience.longest_wait_s)
        return None

    def close(self) -> None:
        self._closed.set()
        with self._changing:
            attempt = self._attempt
            first, self._first = self._first, None
        if first is not None:
            first.close()
        if attempt is not None:
            attempt.leave()

    def _remark(self, source: Source | None) -> None:
        """Tell what the source has to say of itself, each line once."""
        for line in getattr(source, "remarks", ()):
            if line not in self._remarked:
                self._remarked.add(line)
                self._notice(line)

    def _begin(self, opener: Callable[[], Source]) -> Attempt | None:
        with self._changing:
            if self._closed.is_set():
                return None
            self._attempt = Attempt(opener)
            return self._attempt


def open_supervised(uri: str, notice: Callable[[str], None]) -> Source:
    """Open a source; one that may be lost and come back (``reopens``) is supervised.

    :raises EdgeWbcError: as :func:`open_source`.
    """
    source = open_source(uri)
    if not getattr(source, "reopens", False):
        return source
    return Supervised(open_source, uri, notice, opened=source)
