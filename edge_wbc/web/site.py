"""What the pages are about: where sessions lie, who may come in, and the session that runs beside them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Request

from edge_wbc.errors import SessionError
from edge_wbc.review.review import Review
from edge_wbc.sessions.schema import folders
from edge_wbc.web.control_desk import Desk
from edge_wbc.web.live import Live

MOST_OPEN = 8
"""Reviews kept in memory: one of 10,000 cells takes some 10 MB."""


class Unknown(SessionError):
    """What was asked for is not there."""


@dataclass(slots=True)
class _Opened:
    review: Review
    lock: threading.Lock


@dataclass(slots=True)
class Site:
    """One server's. Handlers get at it by `site_of`."""

    place: Path
    """Where sessions are recorded."""
    live: Live | None = None
    """The session that runs beside the pages, if they were started with one."""
    control: Desk | None = None
    """Who runs quality control; see `desk`."""
    _reviews: OrderedDict[str, _Opened] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def desk(self) -> Desk:
        """Who runs quality control, with the default model and engine where nothing else was said."""
        with self._lock:
            self.control = self.control or Desk(self.place)
            return self.control

    @contextmanager
    def review(self, session_id: str) -> Iterator[Review]:
        """A session's review, up to date, for this thread alone until it is left.

        :raises Unknown: no session has exactly this id.
        :raises SessionError: it can't be read.
        """
        opened = self._opened(session_id)
        with opened.lock:
            try:
                opened.review.refresh()
            except SessionError:  # its chain was replaced, say: what is there is read anew the next time
                self._forget(session_id)
                raise
            yield opened.review

    def folder(self, session_id: str) -> Path:
        """Found among the folders that are there: nothing of a request becomes part of a path.

        :raises Unknown: no session has exactly this id.
        """
        for folder in folders(self.place):
            if folder.name == session_id:
                return folder
        raise Unknown("no such session; look for it in the list of sessions")

    def _forget(self, session_id: str) -> None:
        with self._lock:
            self._reviews.pop(session_id, None)

    def _opened(self, session_id: str) -> _Opened:
        folder = self.folder(session_id)
        with self._lock:
            opened = self._reviews.pop(session_id, None)
            if opened is None:
                opened = _Opened(Review(folder), threading.Lock())
            self._reviews[session_id] = opened
            while len(self._reviews) > MOST_OPEN:
                self._reviews.popitem(last=False)
        return opened


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site
