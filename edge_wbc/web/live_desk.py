"""What a person at the page can do to sessions, and what they are told: one source, one session after another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from edge_wbc.gate import OVER, PAUSED, RUNNING, WAITING
from edge_wbc.types import Session, Summary
from edge_wbc.web.live_state import ENDINGS, summary_state

NOTICES = 5
"""So many of the latest lines are shown."""
LOOK_S = 0.2
"""How often it is looked whether all is over."""


class Running(Protocol):
    """Of a pipeline what is needed here."""

    @property
    def phase(self) -> str: ...
    @property
    def session(self) -> Session: ...
    def begin(self, until: int | None = None) -> bool: ...
    def pause(self) -> bool: ...
    def resume(self) -> bool: ...
    def end(self) -> None: ...
    def status(self) -> Summary: ...


class Desk:
    """For the threads of the page's connection, and the one that runs the sessions."""

    def __init__(self, about: Mapping[str, Any], label: str, until: int | None, *, recorded: bool) -> None:
        """
        :param about: source, mode, model and engine, as they are shown.
        :param label: offered for the next session, as is ``until``.
        :param recorded: whether sessions can be looked at afterwards.
        """
        self._about = dict(about)
        self._recorded = recorded
        self._changed = threading.Condition()
        self._pipeline: Running | None = None
        self._relabel: Callable[[str], None] = lambda text: None
        self._label, self._until = label, until
        self._asked = False
        self._over = False
        self._ended: dict[str, Any] | None = None
        self._last: Summary | None = None
        self._problem: str | None = None
        self._notices: deque[dict[str, Any]] = deque(maxlen=NOTICES)
        self._told = 0
        self.watching: Callable[[], None] = lambda: None
        """Called when something changed that is to be shown at once."""

    def notice(self, line: str) -> None:
        with self._changed:
            self._told += 1
            self._notices.append({"number": self._told, "text": line})
        self.watching()

    def attend(self, pipeline: Running, relabel: Callable[[str], None]) -> None:
        """From now on it is about a pipeline that waits; it begins at once if that was asked for.

        :param relabel: takes a session's label, before it begins and while it runs.
        """
        with self._changed:
            self._pipeline, self._relabel, self._problem = pipeline, relabel, None
            if self._asked:
                self._begin()
        self.watching()

    def leave(self, session: Session | None, summary: Summary, error: str | None) -> int | None:
        """The pipeline has ended: with a session, or before one began. Returns how many leukocytes were asked for.

        :param error: a line, if it ended by one.
        """
        with self._changed:
            self._pipeline, self._problem = None, error
            if session is not None:
                self._last = summary
                self._ended = {
                    "id": session.session_id,
                    "label": self._label,
                    "how": summary.ended if summary.ended in ENDINGS else "error",
                    "line": ENDINGS.get(summary.ended, summary.ended),
                    "leukocytes": summary.differential.total,
                    "until": self._until,
                    "recorded": self._recorded and summary.frames + summary.refused > 0,
                }
                self._label = ""
            until = self._until
        self.watching()
        return until

    def failed(self, line: str) -> None:
        """The source or an output could not be opened."""
        with self._changed:
            self._pipeline, self._problem, self._asked = None, line, False
        self.watching()

    @property
    def over(self) -> bool:
        """Whether no session will begin any more."""
        return self._over

    def wait_asked(self) -> bool:
        """Wait until somebody wants a session to begin; False when there will be none."""
        with self._changed:
            while not self._changed.wait_for(lambda: self._asked or self._over, LOOK_S):
                pass
            return not self._over

    def close(self) -> None:
        """No session will begin any more; may be called by a signal's handler."""
        self._over = True

    def alone(self) -> None:
        """Nobody can ask for anything any more: what waits for it does not begin, what runs goes on."""
        self.close()
        with self._changed:
            if self._pipeline is not None and self._pipeline.phase == WAITING:
                self._pipeline.end()

    def do(self, what: str, who: str, label: str | None = None, until: int | None = None) -> str | None:
        """Do what somebody asks for; a line why not, or None when it is done.

        :param what: start, pause, resume, end or label.
        :param who: is named in the notice.
        """
        with self._changed:
            refused = self._do(what, label, until)
        if refused is None and what != "label":
            self.notice(f"{what} by {who}")
        self.watching()
        return refused

    def _do(self, what: str, label: str | None, until: int | None) -> str | None:
        phase = self._phase()
        if what == "start":
            if phase not in (WAITING, "ended") or self._asked:
                return "a session runs already; end it first"
            self._label, self._until = label or "", until
            self._asked = True
            if self._pipeline is not None:
                self._begin()
            self._changed.notify_all()
            return None
        if self._pipeline is None or phase not in (RUNNING, PAUSED):
            return "no session runs; start one first"
        if what == "label":
            self._label = label or ""
            self._relabel(self._label)
        elif what == "end":
            self._pipeline.end()
        elif not (self._pipeline.pause() if what == "pause" else self._pipeline.resume()):
            return f"the session is {phase} already"
        return None

    def _begin(self) -> None:
        assert self._pipeline is not None
        self._relabel(self._label)
        self._asked = not self._pipeline.begin(self._until)

    def _phase(self) -> str:
        if self._pipeline is None:
            return "ended" if self._ended is not None or self._problem is not None else WAITING
        phase = self._pipeline.phase
        if phase == WAITING and self._ended is not None:
            return "ended"
        return "ending" if phase == OVER else phase

    def state(self) -> dict[str, Any]:
        """Everything but the field and its figures, cheap: the phase, of which session, what happened."""
        with self._changed:
            phase = self._phase()
            runs = self._pipeline is not None and phase in (RUNNING, PAUSED, "ending")
            session = self._pipeline.session if self._pipeline is not None and runs else None
            return {
                "phase": phase,
                "session": session
                and {"id": session.session_id, "started_utc": session.started_utc, "recorded": self._recorded},
                "about": self._about,
                "label": self._label,
                "until": self._until,
                "ended": self._ended,
                "problem": self._problem,
                "notices": list(self._notices),
            }

    def figures(self) -> dict[str, Any] | None:
        """Counts of the session that runs, or else of the last one."""
        with self._changed:
            pipeline = self._pipeline
            idle = pipeline is None or pipeline.phase == WAITING
            last = self._last
        if pipeline is not None and not (idle and last is not None):
            return summary_state(pipeline.status())
        return None if last is None else summary_state(last)
