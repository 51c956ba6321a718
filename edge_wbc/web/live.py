"""The session beside the pages, seen from their process: the newest view, kept once for all who look."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from edge_wbc.web.live_wire import Wire

KEPT = 4
"""Fields kept: whoever was told of one a moment ago still gets it."""
FRESH_S = 0.5
"""An older view is from before somebody looked."""
ANSWER_S = 5.0
"""How long a session may take to say that it did what it was told."""


@dataclass(frozen=True, slots=True)
class View:
    """What everybody is shown."""

    number: int
    """From 1; 0 while there was none."""
    state: bytes
    """JSON."""
    taken_s: float = 0.0
    """On the monotonic clock."""

    @property
    def fresh(self) -> bool:
        return self.number > 0 and time.monotonic() - self.taken_s < FRESH_S


class Live:
    """``listen`` in a thread of its own; the rest from the server's."""

    def __init__(self, wire: Wire, gone: Callable[[], None]) -> None:
        """:param gone: called when the session's process is no more there."""
        self._wire = wire
        self._gone = gone
        self._lock = threading.Lock()
        self._view = View(0, b"{}")
        self._fields: OrderedDict[int, bytes] = OrderedDict()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._wanting = False
        self._numbers = itertools.count(1)
        self._asked: dict[int, Future[str | None]] = {}

    def listen(self) -> None:
        """Take what the session sends, until it is gone."""
        while (message := self._wire.receive()) is not None:
            head, body = message
            if head["kind"] == "view":
                self._take(head, body)
            elif head["kind"] == "did" and (asked := self._asked.pop(head["number"], None)) is not None:
                asked.set_result(head["refused"])
        for asked in list(self._asked.values()):
            asked.cancel()
        self._gone()

    async def view(self, after: int, timeout_s: float) -> View:
        """The newest view as soon as it is another than ``after``, or what there is by then."""
        view = self._view
        if view.number != after and view.fresh:
            return view
        waiting = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._waiting.add(waiting)
            ask, self._wanting = not self._wanting, True
        if ask:
            await asyncio.to_thread(self._wire.send, {"kind": "want", "now": not view.fresh})
        try:
            await asyncio.wait_for(waiting[1].wait(), timeout_s)
        except asyncio.TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiting.discard(waiting)
        return self._view

    def field(self, number: int | None) -> tuple[int, bytes] | None:
        """A field as JPEG with its number: the one asked for if it is still kept, or the newest."""
        with self._lock:
            if not self._fields:
                return None
            found = number if number is not None and number in self._fields else next(reversed(self._fields))
            return found, self._fields[found]

    def do(self, what: str, who: str, **more: Any) -> str | None:
        """Tell the session what somebody wants; a line why it does not, None when it did.

        :raises TimeoutError: it did not answer.
        """
        number, answer = next(self._numbers), Future[str | None]()
        self._asked[number] = answer
        self._wire.send({"kind": "do", "number": number, "what": what, "who": who, **more})
        try:
            return answer.result(ANSWER_S)
        except TooLate:
            raise TimeoutError from None
        finally:
            self._asked.pop(number, None)
            with self._lock:
                self._view = replace(self._view, taken_s=-FRESH_S)  # it tells of before

    def _take(self, head: dict[str, Any], body: bytes) -> None:
        state, jpeg = body[: head["state_bytes"]], body[head["state_bytes"] :]
        with self._lock:
            if jpeg:
                self._fields[head["field"]] = jpeg
                while len(self._fields) > KEPT:
                    self._fields.popitem(last=False)
            self._view = View(head["number"], state, time.monotonic())
            self._wanting = False
            waiting, self._waiting = self._waiting, set()
        for loop, event in waiting:
            with suppress(RuntimeError):  # that loop is closed
                loop.call_soon_threadsafe(event.set)
