"""The pages' own process beside a session: it shares no lock with the pipeline, and can fail alone.

python -m edge_wbc.web.live_child FD    FD: a socket to the session's process; see `live_wire`
"""

from __future__ import annotations

import os
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from pydantic import TypeAdapter

from edge_wbc.errors import EdgeWbcError
from edge_wbc.web.control_desk import Desk
from edge_wbc.web.live import Live
from edge_wbc.web.live_wire import Wire
from edge_wbc.web.server import Serving, serve
from edge_wbc.web.site import Site

LEAVE_S = 3.0
"""How long requests may take to end when the session's process is gone."""


def main(descriptor: int) -> None:
    wire = Wire(Connection(descriptor))
    if (first := wire.receive()) is None:
        return
    stop = threading.Event()

    def gone() -> None:
        stop.set()
        leaving = threading.Timer(LEAVE_S, os._exit, (1,))
        leaving.daemon = True
        leaving.start()

    live = Live(wire, gone)
    control = Desk(Path(first[0]["place"]), *first[0]["control"])
    site = Site(Path(first[0]["place"]), live=live, control=control)

    def ready(url: str) -> None:
        wire.send({"kind": "ready", "url": url})
        if first[0]["control"]:
            control.begin()

    threading.Thread(target=live.listen, name="edge-wbc session", daemon=True).start()
    try:
        serving = TypeAdapter(Serving).validate_python(first[0]["serving"])
        serve(site, serving, ready, stop)
    except EdgeWbcError as error:
        wire.send({"kind": "failed", "line": str(error), "code": error.exit_code})


if __name__ == "__main__":
    main(int(sys.argv[1]))
