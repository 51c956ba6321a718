"""One attempt to read a source, in a thread that may be left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edge_wbc.channel import Channel
from edge_wbc.errors import EdgeWbcError
from edge_wbc.sources.base import Source
from edge_wbc.types import Frame, Refused


class Attempt:
    """A source that is opened and read in a thread of its own."""

    def __init__(self, opener: Callable[[], Source]) -> None:
        self.error: EdgeWbcError | None = None
        self.ended = False
        """It came to its end, by itself and in order."""
        self._opener = opener
        self.source: Source | None = None
        self._crash: BaseException | None = None
        self._given: Channel[Frame | Refused] = Channel(1)
        self._changing = threading.Lock()
        self._left = False
        threading.Thread(target=self._run, name="edge-wbc source", daemon=True).start()

    def get(self, timeout_s: float) -> Frame | Refused | None:
        """The next item; None if none came in this time, at the end, and after an error.

        A bug in the source is raised.
        """
        item = self._given.get(timeout_s=timeout_s)
        if item is None and self._crash is not None:
            raise self._crash
        return item

    def reason(self, uri: str) -> str:
        """What its error says happened, without the name of the source and what to do."""
        return str(self.error or "").partition("; ")[0].removeprefix(f"{uri}: ")

    def leave(self) -> None:
        """Take nothing more from it, and close its source."""
        self._given.end()
        with self._changing:
            self._left = True
            source = self.source
        if source is not None:
            source.close()

    def _run(self) -> None:
        try:
            source = self._opener()
            with self._changing:
                self.source = source
            if not self._left:
                self.ended = all(self._given.put(item) for item in source.frames()) and not self._left
            source.close()
        except EdgeWbcError as error:
            self.error = error
        except BaseException as error:
            self._crash = error
        finally:
            self._given.end()
