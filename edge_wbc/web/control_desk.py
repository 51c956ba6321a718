"""Who runs quality control for the pages: one run at a time, with the model and engine of the sessions."""

from __future__ import annotations

import threading
from pathlib import Path

from edge_wbc.bench.machine import called
from edge_wbc.control.run import Run, run_once
from edge_wbc.control.slides import take_in
from edge_wbc.errors import EdgeWbcError


class Busy(EdgeWbcError):
    """A run is under way."""


class Desk:
    """Of one server, used by any thread. ``app.state.control`` where it is not to be the one of the defaults."""

    def __init__(self, place: Path, model: str = "leukonet", engine: str = "auto") -> None:
        self._place, self._model, self._engine = place, model, engine
        self._lock = threading.Lock()
        self.trouble: tuple[str, ...] = ()
        """What went wrong the last time, and sessions that can't be read."""

    @property
    def running(self) -> bool:
        return self._lock.locked()

    def run(self) -> Run:
        """Run the set and take in finished sessions; the engine is closed when this returns.

        :raises Busy: a run is under way.
        :raises EdgeWbcError: as `run_once`; it stays in ``trouble``.
        """
        if not self._lock.acquire(blocking=False):
            raise Busy("a run of quality control is under way; wait for it")
        try:
            return self._run()
        finally:
            self._lock.release()

    def begin(self) -> threading.Thread:
        """The run at start-up, in a thread of its own: it delays nothing, and its trouble is told on the page."""
        thread = threading.Thread(target=self._begun, name="edge-wbc control")
        thread.start()
        return thread

    def _begun(self) -> None:
        try:
            self.run()
        except EdgeWbcError:
            return  # told by `trouble`

    def _run(self) -> Run:
        try:
            done = run_once(self._place, self._model, self._engine, called())
            self.trouble = tuple(take_in(self._place))
        except EdgeWbcError as error:
            self.trouble = (str(error),)
            raise
        return done
