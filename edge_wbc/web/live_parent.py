"""The pages beside a session, seen from the session's process: started, listened to, and done without if they die."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from edge_wbc.errors import EdgeWbcError, EnvironmentMissing, InputRefused, UsageError
from edge_wbc.web.live_desk import Desk
from edge_wbc.web.live_view import LiveView
from edge_wbc.web.live_wire import Wire

CHILD = ("-m", "edge_wbc.web.live_child")
LEAVE_S = 3.0
"""How long the pages' process may take to end."""
_ERRORS: dict[int, type[EdgeWbcError]] = {2: UsageError, 3: InputRefused, 4: EnvironmentMissing}


class Pages:
    """The process and its connection."""

    def __init__(self, place: Path, serving: dict[str, Any], control: Sequence[str] = ()) -> None:
        """
        :param place: where sessions are recorded.
        :param serving: what `listening.Serving` has, as JSON.
        :param control: model and engine that quality control runs with when the pages begin; none: it does not.
        :raises EdgeWbcError: it can't serve.
        """
        ours, theirs = Pipe()
        assert isinstance(ours, Connection)
        self.process = subprocess.Popen(
            [sys.executable, *CHILD, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,  # Ctrl-C is for the session alone
        )
        theirs.close()
        self.wire = Wire(ours)
        self.wire.send({"kind": "serve", "place": str(place), "serving": serving, "control": list(control)})
        answer = self.wire.receive()
        if answer is None or answer[0]["kind"] != "ready":
            self.end()
            if answer is None:
                raise EnvironmentMissing("the pages' process ended before it served; what it said stands above")
            raise _ERRORS.get(answer[0]["code"], EnvironmentMissing)(answer[0]["line"])
        self.url = str(answer[0]["url"])

    def end(self) -> None:
        """Let it end, or end it."""
        self.wire.shut()
        try:
            self.process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.wire.close()


@contextmanager
def pages(
    place: Path,
    serving: dict[str, Any],
    view: LiveView,
    desk: Desk,
    notice: Callable[[str], None],
    control: Sequence[str] = (),
) -> Iterator[Pages]:
    """Serve a session's pages in a process of their own while this lasts.

    :param notice: told if the process dies.
    :param control: as of `Pages`.

    :raises EdgeWbcError: it can't be served.
    """
    beside = Pages(place, serving, control)
    over = threading.Event()
    threads = [
        threading.Thread(
            target=_listen, args=(beside.wire, view, desk, over, notice), name="edge-wbc page", daemon=True
        ),
        threading.Thread(target=view.run, args=(beside.wire,), name="edge-wbc view", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield beside
    finally:
        over.set()
        view.close()
        beside.end()
        for thread in threads:
            thread.join(LEAVE_S)


def _listen(wire: Wire, view: LiveView, desk: Desk, over: threading.Event, notice: Callable[[str], None]) -> None:
    while (message := wire.receive()) is not None:
        head, _ = message
        if head["kind"] == "want":
            view.want(now=head["now"])
        elif head["kind"] == "do":
            refused = desk.do(head["what"], head["who"], head.get("label"), head.get("until"))
            wire.send({"kind": "did", "number": head["number"], "refused": refused})
    if not over.is_set():
        view.close()
        notice("the pages' server is gone; a session that runs goes on without it")
        desk.alone()
