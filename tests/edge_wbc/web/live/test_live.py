"""The session beside the pages: what may be done to it, what is sent of it and when, and the API before both."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from edge_wbc.differential import Tally
from edge_wbc.types import Box, Cell, Frame, FrameResult, Prediction, SeenAgain, Session, Summary
from edge_wbc.web import live_view
from edge_wbc.web.live import Live
from edge_wbc.web.live_desk import Desk
from edge_wbc.web.live_parent import _listen
from edge_wbc.web.live_view import LiveView
from edge_wbc.web.live_wire import Wire
from edge_wbc.web.server import Serving, beside
from edge_wbc.web.site import Site
from tests.edge_wbc.web.conftest import Served

DEADLINE_S = 10
ABOUT = {"source": "here://", "live": True, "colours": {}}


class Played:
    """A pipeline of which only the phases are there."""

    def __init__(self, session: Session, summary: Summary) -> None:
        self.phase, self.session, self.until, self.label = "waiting", session, -1, None
        self._summary = summary

    def turn(self, before: str, after: str) -> bool:
        turned = self.phase == before
        self.phase = after if turned else self.phase
        return turned

    def aim(self, until: int | None) -> None:
        self.until = until

    def begin(self) -> bool:
        return self.turn("waiting", "running")

    def pause(self) -> bool:
        return self.turn("running", "paused")

    def resume(self) -> bool:
        return self.turn("paused", "running")

    def end(self) -> None:
        self.phase = "over"

    def relabel(self, text: str) -> None:
        self.label = text

    def status(self) -> Summary:
        return self._summary


@pytest.fixture
def summary(model) -> Summary:
    tally = Tally(model.manifest.labels)
    tally.add(["neutrophil"] * 3 + ["lymphocyte"])
    report = {"serial:///dev/x": {"sent": 4, "acknowledged": 1, "trouble": "no answer"}}
    return Summary(
        40, 5, 1, 4, 30.0, 1.5, {"p50": 5.0}, {}, tally.differential(), report, {"blurred": 2}, ended="cells"
    )


@pytest.fixture
def played(session: Session, summary: Summary) -> Played:
    return Played(session, summary)


@pytest.fixture
def desk() -> Desk:
    return Desk(ABOUT, "from the command line", 200, recorded=True)


def test_a_session_is_started_paused_labelled_and_ended_at_the_desk(
    desk: Desk, played: Played, summary: Summary
) -> None:
    assert (desk.state()["phase"], desk.state()["until"]) == ("waiting", 200)
    desk.attend(played, played.relabel)
    assert desk.do("pause", "rita") == "no session runs; start one first"
    assert desk.do("start", "rita", "Anna", 50) is None
    assert (played.phase, played.until, played.label) == ("running", 50, "Anna")
    assert desk.do("start", "rita") == "a session runs already; end it first"
    assert desk.do("resume", "rita") == "the session is running already"
    assert [desk.do(what, "rita") for what in ("pause", "resume", "pause")] == [None] * 3
    assert desk.do("label", "rita", "Berta") is None
    assert (desk.state()["phase"], played.label) == ("paused", "Berta")
    assert desk.state()["session"]["id"] == played.session.session_id
    assert desk.do("end", "rita") is None
    assert desk.state()["phase"] == "ending"
    assert desk.leave(played.session, summary, None) == 50
    state = desk.state()
    assert (state["phase"], state["session"], state["label"], state["until"]) == ("ended", None, "", 50)
    assert state["ended"] == {
        "id": played.session.session_id,
        "label": "Berta",
        "how": "cells",
        "line": "target reached",
        "leukocytes": 4,
        "until": 50,
        "recorded": True,
    }
    assert [one["text"] for one in state["notices"]] == [
        f"{what} by rita" for what in ("start", "pause", "resume", "pause", "end")
    ]


def test_what_is_shown_after_a_session_is_its_own_until_the_next_begins(desk, played, session, summary) -> None:
    desk.attend(played, played.relabel)
    desk.do("start", "rita")
    desk.leave(session, summary, None)
    empty = Summary(0, 0, 0, 0, 0.0, 0.0, {}, {}, summary.differential)
    desk.attend(again := Played(session, empty), again.relabel)
    assert (desk.state()["phase"], desk.figures()["frames"]["processed"]) == ("ended", 40)
    assert desk.do("start", "rita") is None
    assert (desk.state()["phase"], desk.figures()["frames"]["processed"]) == ("running", 0)


def test_asked_for_while_no_source_is_open_it_begins_once_one_is(desk: Desk, played: Played) -> None:
    waited: list[bool] = []
    waiting = threading.Thread(target=lambda: waited.append(desk.wait_asked()))
    waiting.start()
    assert desk.do("start", "rita", "Anna", 9) is None
    assert desk.do("start", "ada") == "a session runs already; end it first"
    waiting.join(DEADLINE_S)
    assert waited == [True]
    desk.attend(played, played.relabel)
    assert (played.phase, played.until, played.label) == ("running", 9, "Anna")


def test_a_source_that_can_not_be_opened_is_told_and_may_be_tried_again(desk: Desk) -> None:
    desk.do("start", "rita")
    desk.failed("v4l2:///dev/video9: not there; look for it by `edge-wbc sources`")
    state = desk.state()
    assert (state["phase"], state["problem"][:4]) == ("ended", "v4l2")
    assert desk.do("start", "rita") is None


def test_when_the_pages_are_gone_what_waits_does_not_begin_and_what_runs_goes_on(desk, played) -> None:
    desk.attend(played, played.relabel)
    desk.do("start", "rita")
    desk.alone()
    assert (played.phase, desk.wait_asked()) == ("running", False)
    played.phase = "waiting"
    desk.alone()
    assert played.phase == "over"


def test_figures_say_what_was_refused_rejected_and_lost(desk: Desk, played: Played) -> None:
    desk.attend(played, played.relabel)
    figures = desk.figures()
    assert figures is not None
    assert figures["frames"] == {"given": 46, "processed": 40, "dropped": 5, "refused": 1, "rejected": {"blurred": 2}}
    assert figures["outputs"] == [
        {
            "uri": "serial:///dev/x",
            "instrument": True,
            "figures": {"sent": 4, "acknowledged": 1},
            "error": "no answer",
        }
    ]
    shares = figures["differential"]["shares"]
    assert (shares["neutrophil"]["count"], shares["neutrophil"]["percent"]) == (3, 75.0)
    assert shares["neutrophil"]["low"] < 75 < shares["neutrophil"]["high"]


def shown(index: int, size: tuple[int, int] = (640, 480)) -> tuple[Frame, FrameResult]:
    """A frame of one grey with a cell, and one that was seen before."""
    pixels = np.full((size[1], size[0], 3), index, np.uint8)
    frame = Frame(pixels, index, 0, "here")
    said = Prediction("monocyte", 0.9, {"monocyte": 0.9})
    again = (SeenAgain(Cell(Box(1, 2, 3, 4), 0.5), "basophil"),)
    return frame, FrameResult(frame.ref, (Cell(Box(5, 6, 7, 8), 0.5),), (said,), (), 0, again, "blurred")


@contextmanager
def viewing(view: LiveView) -> Iterator[Wire]:
    """The other end of a view that runs."""
    ours, theirs = Pipe()
    wire = Wire(ours)
    running = threading.Thread(target=view.run, args=(wire,))
    running.start()
    try:
        yield Wire(theirs)
    finally:
        view.close()
        running.join(DEADLINE_S)
        assert not running.is_alive()
        wire.close()
        theirs.close()


def test_nobody_who_looks_no_work_and_then_the_newest_frame_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    encoded = live_view.encoded
    monkeypatch.setattr(live_view, "encoded", lambda pixels: made.append(int(pixels[0, 0, 0])) or encoded(pixels))
    monkeypatch.setattr(live_view, "STILL_S", 0.001)
    view = LiveView(lambda: {"phase": "running"}, lambda: None)
    with viewing(view) as wire:
        for index in range(100):
            view.watch(*shown(index))
        assert not wire.connection.poll(0.05)
        assert made == []
        view.want(now=False)
        head, body = wire.receive()  # type: ignore[misc]
        state, jpeg = json.loads(body[: head["state_bytes"]]), body[head["state_bytes"] :]
        view.watch(*shown(200))
        view.watch(*shown(201))
        assert not wire.connection.poll(0.05), "one that nobody wants"
        view.want(now=False)
        assert wire.receive()[0]["field"] == 102  # type: ignore[index]
    assert made == [99, 201]
    assert (head["number"], head["field"], state["number"], state["phase"]) == (1, 100, 1, "running")
    assert state["field"] == {
        "view": 100,
        "number": 99,
        "width": 640,
        "height": 480,
        "cells": [
            {"box": [5, 6, 7, 8], "label": "monocyte", "probability": 0.9},
            {"box": [1, 2, 3, 4], "label": "basophil", "probability": None},
        ],
        "rejected": "blurred",
        "advice": "out of focus; refocus",
    }
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (480, 640, 3)


def test_a_view_takes_a_fifth_of_a_processor_at_most_and_comes_ten_times_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 0.05, 1.0, 1.001])
    monkeypatch.setattr(live_view.time, "thread_time", lambda: next(clock))
    rested: list[float] = []
    view = LiveView(dict, lambda: None)
    monkeypatch.setattr(view, "_rest", rested.append)
    with viewing(view) as wire:
        for index in range(2):
            view.watch(*shown(index))
            view.want(now=False)
            wire.receive()
    assert rested == pytest.approx([0.2, 0.1])


@pytest.mark.parametrize(
    ("size", "sent"), [((2592, 1944), (960, 720)), ((640, 480), (640, 480)), ((961, 30), (960, 30))]
)
def test_a_wide_frame_is_sent_smaller(size: tuple[int, int], sent: tuple[int, int]) -> None:
    picture = cv2.imdecode(np.frombuffer(live_view.encoded(shown(9, size)[0].pixels), np.uint8), cv2.IMREAD_COLOR)
    assert (picture.shape[1], picture.shape[0]) == sent


def test_a_page_that_is_gone_ends_the_view() -> None:
    view = LiveView(dict, lambda: None)
    with viewing(view) as wire:
        wire.close()
        view.watch(*shown(0))
        view.want(now=True)


def test_beside_no_session_there_is_none(alone: Served, client) -> None:
    browser: httpx.Client = client(alone)
    browser.get(alone.url)
    assert browser.get("/api/live").json() == {"number": 0, "phase": "none"}
    assert browser.get("/api/live/field.jpg").status_code == 404
    assert "Live" in browser.get("/live").text


@pytest.fixture
def both(place: Path, people, desk: Desk, played: Played) -> Iterator[tuple[Served, LiveView]]:
    """A server beside a session; both ends of the wire are in this process."""
    ours, theirs = Pipe()
    wire = Wire(ours)
    view = LiveView(desk.state, desk.figures)
    desk.watching = view.changed
    desk.attend(played, played.relabel)
    live = Live(Wire(theirs), lambda: None)
    threads = [
        threading.Thread(target=view.run, args=(wire,)),
        threading.Thread(target=_listen, args=(wire, view, desk, threading.Event(), lambda line: None)),
        threading.Thread(target=live.listen),
    ]
    for thread in threads:
        thread.start()
    with beside(Site(place, live=live), Serving(port=0, users=people.path)) as url:
        yield Served(url, people), view
    wire.shut()
    view.close()
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_whoever_may_look_sees_the_session_and_only_a_reviewer_runs_it(both, come_in, played: Played) -> None:
    served, view = both
    view.watch(*shown(77))
    viewer, reviewer = come_in(served, "vera"), come_in(served, "rita")
    state = viewer.get("/api/live").json()
    assert (state["phase"], state["field"]["number"]) == ("waiting", 77)
    picture = viewer.get("/api/live/field.jpg", params={"view": state["field"]["view"]})
    assert (picture.headers["content-type"], picture.headers["x-field"]) == ("image/jpeg", "1")
    for what in ("start", "pause", "resume", "end"):
        assert viewer.post(f"/api/live/{what}", json={}).status_code == 403
    assert played.phase == "waiting"
    assert reviewer.post("/api/live/pause", json={}).json() == {"detail": "no session runs; start one first"}
    assert reviewer.post("/api/live/start", json={"label": "<b>Anna</b>", "until": 20}).json() == {"done": "start"}
    assert (played.phase, played.until, played.label) == ("running", 20, "<b>Anna</b>")
    assert viewer.get("/api/live").json()["phase"] == "running", "not what was so before"
    assert reviewer.post("/api/live/start", json={}).status_code == 409
    assert reviewer.post("/api/live/label", json={"label": "Berta"}).json() == {"done": "label"}
    assert reviewer.post("/api/live/end", json={}).json() == {"done": "end"}
    assert 'id="start"' in reviewer.get("/live").text
    assert 'id="start"' not in viewer.get("/live").text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("start", {"until": 0}),
        ("start", {"until": 10**7}),
        ("start", {"label": "x" * 201}),
        ("label", {}),
        ("label", {"label": 3}),
    ],
)
def test_what_makes_no_sense_is_refused(both, come_in, path: str, body: dict, played: Played) -> None:
    served, _ = both
    assert come_in(served, "rita").post(f"/api/live/{path}", json=body).status_code == 422
    assert played.phase == "waiting"


def test_a_question_for_something_newer_is_answered_when_there_is(both, come_in, played: Played) -> None:
    served, _ = both
    viewer, reviewer = come_in(served, "vera"), come_in(served, "rita")
    before = viewer.get("/api/live").json()
    answers: list[dict] = []
    asking = threading.Thread(
        target=lambda: answers.append(viewer.get("/api/live", params={"after": before["number"]}).json())
    )
    asking.start()
    reviewer.post("/api/live/start", json={})
    asking.join(DEADLINE_S)
    assert answers[0]["number"] > before["number"]
    after, phase = answers[0]["number"], answers[0]["phase"]
    while phase != "running":
        state = viewer.get("/api/live", params={"after": after}).json()
        after, phase = state["number"], state["phase"]


def test_all_who_look_get_the_same_picture_encoded_once(both, come_in, monkeypatch: pytest.MonkeyPatch) -> None:
    served, view = both
    made: list[int] = []
    encoded = live_view.encoded
    monkeypatch.setattr(live_view, "encoded", lambda pixels: made.append(1) or encoded(pixels))
    people = [come_in(served, name) for name in ("vera", "rita", "ada")]
    view.watch(*shown(5))
    pictures = []
    for one in people:
        state = one.get("/api/live").json()
        pictures.append(one.get("/api/live/field.jpg", params={"view": state["field"]["view"]}).content)
    assert len(set(pictures)) == 1
    assert made == [1]


def test_a_field_that_is_not_kept_any_more_is_answered_by_the_newest(both, come_in) -> None:
    served, view = both
    viewer = come_in(served, "vera")
    after = 0
    for index in range(1, 8):
        view.watch(*shown(index))
        state = viewer.get("/api/live", params={"after": after}).json()
        while state["field"]["number"] != index:
            state = viewer.get("/api/live", params={"after": state["number"]}).json()
        after = state["number"]
    numbers = [viewer.get("/api/live/field.jpg", params={"view": view}).headers["x-field"] for view in (1, 4, 7, 999)]
    assert numbers == ["7", "4", "7", "7"]
