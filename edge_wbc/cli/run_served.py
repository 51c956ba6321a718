"""``run --serve``: sessions over one source, one after another, begun and ended on a page in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_wbc.cli.common import say
from edge_wbc.cli.one_session import Asked, made, tell
from edge_wbc.cli.session import exit_code, mode_of, notice, open_engine_for, stopping
from edge_wbc.errors import EdgeWbcError, EnvironmentMissing, UsageError

if TYPE_CHECKING:
    from edge_wbc.engines.base import Engine
    from edge_wbc.pipeline import Pipeline
    from edge_wbc.sources.base import Source
    from edge_wbc.web.live_desk import Desk
    from edge_wbc.web.live_view import LiveView

PACKAGES = ("fastapi", "uvicorn", "jinja2", "argon2")
NUMBERED = ("jsonl", "csv", "video")
"""Outputs to files: those of later sessions get a number, and leave those of earlier ones alone."""


def serving_at(address: str, **guarding: Any) -> dict[str, Any]:
    """Where ``--serve`` says, as the pages' process takes it: none of the web is imported here.

    :raises UsageError: that is no address.
    :raises EnvironmentMissing: the web's packages are not installed.
    """
    for name in PACKAGES:
        if find_spec(name) is None:
            raise EnvironmentMissing(f"no package {name}; pip install 'edge-wbc[web]'")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--serve {address}: no HOST:PORT; write for example --serve 127.0.0.1:8642 after the source")
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in guarding.items()}
    return {"host": host.strip("[]"), "port": int(port), **plain}


def run_served(asked: Asked, to: Sequence[str], engine: str, model: str, serving: dict[str, Any]) -> int:
    """Serve until Ctrl-C, which ends a session that runs in order.

    :raises EdgeWbcError: the source, the engine or the pages can't be had.
    """
    from edge_wbc.supervisor import open_supervised
    from edge_wbc.web.live_desk import Desk
    from edge_wbc.web.live_parent import pages
    from edge_wbc.web.live_view import LiveView

    for uri in to:
        _open_sinks([uri], 1)  # what is wrong with one is to be said now
    source = open_supervised(asked.source, notice)
    with closing(open_engine_for(source, engine, model)) as loaded:
        desk = Desk(_about(asked, source, loaded), asked.label, asked.until, recorded=asked.recorded)
        view = LiveView(desk.state, desk.figures)
        desk.watching = view.changed
        served = _Served(asked, to, loaded, desk, view)
        with (
            stopping(served.stop) as interrupted,
            pages(asked.sessions, serving, view, desk, served.notice, (model, loaded.name)) as beside,
        ):
            say(f"open {beside.url} in a browser; Ctrl-C ends it")
            served.run(source, interrupted)
    if served.code == 0 and not interrupted():
        raise EnvironmentMissing("the pages' server is gone; run again")
    return served.code


class _Served:
    """One session after another, in the main thread."""

    def __init__(self, asked: Asked, to: Sequence[str], engine: Engine, desk: Desk, view: LiveView) -> None:
        self.code = 0
        """The gravest of its sessions'."""
        self._asked, self._to, self._engine = asked, to, engine
        self._desk, self._view = desk, view
        self._pipeline: Pipeline | None = None
        self._sessions = 0

    def stop(self) -> None:
        self._desk.close()
        if self._pipeline is not None:
            self._pipeline.stop()

    def notice(self, line: str) -> None:
        notice(line)
        self._desk.notice(line)

    def run(self, source: Source | None, interrupted: Any) -> None:
        """:param source: opened already; None is one that is opened when a session is to begin."""
        while True:
            try:
                source = source or self._opened()
                again = self._one(source, interrupted)
            except EdgeWbcError as error:
                self.notice(str(error))
                self._desk.failed(str(error))
                again = False
            source = None
            if self._desk.over or (not again and not self._desk.wait_asked()):
                return

    def _opened(self) -> Source:
        from edge_wbc.supervisor import open_supervised

        return open_supervised(self._asked.source, self.notice)

    def _one(self, source: Source, interrupted: Any) -> bool:
        """One session, or a wait for it that ends without. Whether the source is worth looking at after it."""
        sinks = _open_sinks(self._to, self._sessions + 1)
        pipeline, recorder = made(self._asked, source, self._engine, sinks, self.notice, self._view.watch, waiting=True)
        self._pipeline = pipeline
        if interrupted():
            pipeline.stop()
        self._desk.attend(pipeline, (lambda text: None) if recorder is None else recorder.label)
        outcome = pipeline.run()
        error = None if outcome.error is None else str(outcome.error)
        until = self._desk.leave(outcome.session, outcome.summary, error)
        self._pipeline = None
        if outcome.session is None:
            if error is None and not self._desk.over:
                self.notice("the source ended before a session began; Start opens it again")
            return False
        self._sessions += 1
        tell(self._asked, outcome, pipeline, recorder, until)
        self.code = max(self.code, exit_code(outcome, interrupted()))
        return source.live and outcome.error is None and outcome.summary.ended != "source"


def _open_sinks(to: Sequence[str], number: int) -> list[Any]:
    from edge_wbc.sinks.base import open_sink

    return [open_sink(numbered(uri, number)) for uri in to]


def numbered(uri: str, number: int) -> str:
    """An output of the session of this number, from 1: ``jsonl:out.jsonl`` is ``jsonl:out-2.jsonl`` for the second."""
    scheme, _, path = uri.partition(":")
    if number == 1 or scheme not in NUMBERED:
        return uri
    folder, slash, name = path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    return f"{scheme}:{folder}{slash}{stem or ending}-{number}{dot if stem else ''}{ending if stem else ''}"


def _about(asked: Asked, source: Source, engine: Engine) -> dict[str, Any]:
    from edge_wbc.draw import COLOURS

    return {
        "source": asked.source,
        "live": source.live,
        "mode": asked.mode or mode_of(source),
        "model": engine.model.name,
        "graph_sha256": engine.model.manifest.graph.sha256,
        "engine": f"{engine.name} {engine.precision}",
        "colours": {label: f"#{red:02x}{green:02x}{blue:02x}" for label, (blue, green, red) in COLOURS.items()},
    }
