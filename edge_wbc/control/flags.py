"""What a session's report has to say of quality control."""

from __future__ import annotations

from edge_wbc.control.run import Run, runs
from edge_wbc.control.slides import slides
from edge_wbc.errors import SessionError
from edge_wbc.sessions.archive import Head


def flags_for(head: Head) -> tuple[str, ...]:
    """Lines to print in the report of a session; none where nothing is wrong.

    The run that counts is the newest before or on the session's day (UTC) by the history's order, of those with the
    session's graph if there is one.
    """
    place, session = head.folder.parent, head.session
    day = session.started_utc[:10]
    try:
        until = [one for one in runs(place) if one.at_utc[:10] <= day]
        seen = [one for one in slides(place) if one.session_id == session.session_id]
    except SessionError as error:
        return (f"quality control is not known: {error}",)
    alike = [one for one in until if one.graph_sha256 == head.graph_sha256]
    if not until:
        found = ["no quality control was run on the day of the session or before"]
    elif not alike:
        newest = until[-1]
        found = [
            f"quality control was never run with this session's graph ({head.graph_sha256[:12]}…) until then; "
            f"{_named(newest)} was of another ({newest.graph_sha256[:12]}…)"
        ]
    else:
        found = _of(alike[-1], day, session.engine)
    return (*found, *(f"beside earlier sessions: {words}" for one in seen for words in one.outside.values()))


def _of(one: Run, day: str, engine: str) -> list[str]:
    found = []
    if one.at_utc[:10] != day:
        found.append(f"no quality control on the day of the session ({day}); the newest before was {_named(one)}")
    if one.outside:
        found.append(f"{_named(one)} was outside its limits: {'; '.join(one.outside.values())}")
    if one.engine != engine:
        found.append(f"{_named(one)} was on {one.engine}, the session on {engine}")
    return found


def _named(one: Run) -> str:
    return f"quality control {one.number} of {one.at_utc[:16].replace('T', ' ')} UTC"
