"""One session as `run` was asked for it: made, and told of when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from edge_wbc import RESEARCH_USE
from edge_wbc.cli.common import print_json, say
from edge_wbc.cli.session import mode_of, new_session

if TYPE_CHECKING:
    from edge_wbc.engines.base import Engine
    from edge_wbc.pipeline import Outcome, Pipeline
    from edge_wbc.sessions.recorder import Recorder
    from edge_wbc.sinks.base import Sink
    from edge_wbc.sources.base import Source
    from edge_wbc.types import Frame, FrameResult, Summary


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for on the command line."""

    source: str
    mode: str | None
    limit: int | None
    until: int | None
    label: str
    notes: tuple[str, ...]
    recorded: bool
    place: Path | None
    """Where to record; None: the user's data folder."""
    quota_bytes: int
    button: bool
    as_json: bool

    @property
    def sessions(self) -> Path:
        """Where sessions lie."""
        from edge_wbc.sessions.schema import default_place

        return self.place or default_place()


def made(
    asked: Asked,
    source: Source,
    engine: Engine,
    sinks: list[Sink],
    notice: Callable[[str], None],
    watch: Callable[[Frame, FrameResult], None] | None,
    *,
    waiting: bool = False,
) -> tuple[Pipeline, Recorder | None]:
    """The pipeline of a session, and what records it if it is recorded.

    :param waiting: it begins when it is told to.
    """
    from edge_wbc.pipeline import Pipeline
    from edge_wbc.sessions.recorder import Recorder

    session = new_session(asked.source, asked.mode or mode_of(source), engine)
    recorder = None
    if asked.recorded:
        recorder = Recorder(
            asked.sessions,
            session.session_id,
            engine.model,
            engine.name,
            label=asked.label,
            notes=asked.notes,
            quota_bytes=asked.quota_bytes,
        )
        sinks = [*sinks, recorder]
    pipeline = Pipeline(
        source,
        engine,
        sinks,
        session,
        limit=asked.limit,
        until=asked.until,
        button=asked.button,
        waiting=waiting,
        notice=notice,
        watch=watch,
    )
    if recorder is not None:
        recorder.mosaic = pipeline.mosaic
    return pipeline, recorder


def tell(asked: Asked, outcome: Outcome, pipeline: Pipeline, recorder: Recorder | None, until: int | None) -> None:
    """What a session amounted to, for a person or as JSON.

    :param until: so many leukocytes were to be counted.
    """
    if asked.as_json:
        print_json({**asdict(outcome.summary), "notice": RESEARCH_USE})
    else:
        from edge_wbc.cli.show import differential_table, slide_line, summary_lines

        differential_table(outcome.summary.differential, "Differential")
        for line in summary_lines(outcome.summary):
            say(line)
        if (slide := pipeline.slide()) is not None:
            say(slide_line(slide))
        if recorder is not None and outcome.session is not None and recorder.folder.is_dir():
            record = f" --record {quote(str(asked.place))}" if asked.place else ""
            say(f"next: edge-wbc sessions show {outcome.session.session_id}{record}")
    if until is not None:
        say(_reached(until, outcome.summary))


def _reached(until: int, summary: Summary) -> str:
    """How the count stands to what was asked for."""
    total = summary.differential.total
    if total < until:
        return f"--until-cells {until}: {total} leukocytes counted, {until - total} too few"
    more = f", {total - until} more than asked: all of the last frame's count" if total > until else ""
    return f"--until-cells {until}: {total} leukocytes counted{more}"
