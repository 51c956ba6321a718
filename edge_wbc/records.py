"""Results as plain dictionaries: the form of JSONL lines and ``--json`` summaries, which scripts rely on."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import Any

from edge_wbc import RESEARCH_USE
from edge_wbc.types import CountedCell, FrameResult, Refused, Session, Summary


def place(origin: str) -> dict[str, str]:
    """``path`` of a file, ``source`` of anything else."""
    return {"source" if "://" in origin else "path": origin}


def utc_ns(time_ns: int, session: Session) -> int:
    """Monotonic time → nanoseconds since 1970."""
    return session.started_unix_ns + time_ns - session.started_ns


def utc_text(time_ns: int, session: Session) -> str:
    """Monotonic time → ISO 8601 in UTC."""
    return _iso(utc_ns(time_ns, session))


def starting_now(session: Session) -> Session:
    """The same session, started at this moment."""
    started_ns, started_unix_ns = time.monotonic_ns(), time.time_ns()
    return replace(session, started_utc=_iso(started_unix_ns), started_ns=started_ns, started_unix_ns=started_unix_ns)


def beginning_now(session: Session) -> Session:
    """A session of its own like this one, that begins at this moment."""
    began = starting_now(session)
    seconds = datetime.fromtimestamp(began.started_unix_ns // 10**9, timezone.utc)
    return replace(began, session_id=f"{seconds:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")


def _iso(unix_ns: int) -> str:
    return datetime.fromtimestamp(unix_ns / 1e9, timezone.utc).isoformat(timespec="milliseconds")


def session_record(session: Session) -> dict[str, Any]:
    return {"type": "session", "event": "start", "notice": RESEARCH_USE, **asdict(session)}


def end_record(session: Session, summary: Summary) -> dict[str, Any]:
    return {"type": "session", "event": "end", "session_id": session.session_id, **asdict(summary)}


def cell_records(counted: Iterable[CountedCell]) -> Iterator[dict[str, Any]]:
    for one in counted:
        yield {
            "type": "cell",
            **place(one.frame.origin),
            "frame": one.frame.index,
            "time_ns": one.frame.time_ns,
            "cell": one.number,
            "box": list(one.cell.box),
            "score": one.cell.score,
            "label": one.prediction.label,
            "probability": one.prediction.probability,
            "probabilities": dict(one.prediction.probabilities),
            **_followed(one),
        }


def _followed(one: CountedCell) -> dict[str, Any]:
    sightings = {} if one.place is None and len(one.sightings) == 1 else {"sightings": len(one.sightings)}
    return sightings if one.place is None else sightings | {"place": [round(one.place.x, 1), round(one.place.y, 1)]}


def frame_record(result: FrameResult, session: Session) -> dict[str, Any]:
    return {
        "type": "frame",
        **place(result.frame.origin),
        "frame": result.frame.index,
        "time_ns": result.frame.time_ns,
        "utc": utc_text(result.frame.time_ns, session),
        "cells": len(result.cells) + len(result.again),
        **({} if result.rejected is None else {"rejected": result.rejected}),
    }


def refused_record(refused: Refused) -> dict[str, Any]:
    return {
        "type": "frame",
        **place(refused.origin),
        "frame": refused.index,
        "cells": 0,
        "refused": refused.reason,
    }
