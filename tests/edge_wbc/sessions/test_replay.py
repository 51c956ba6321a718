"""Recorded crops decided again, by the engines themselves."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from edge_wbc.classify import LARGEST_BATCH, classify
from edge_wbc.counting import pooled
from edge_wbc.engines.base import open_engine
from edge_wbc.errors import ModelError, SessionError
from edge_wbc.manifest import load_model
from edge_wbc.sessions.archive import contents
from edge_wbc.sessions.replay import check_graph, replay
from edge_wbc.sessions.room import make_room
from edge_wbc.sources.base import open_source
from edge_wbc.types import Box, Cell, CountedCell, FrameRef, Sighting
from edge_wbc.vision.crop import crop
from edge_wbc.vision.locate import locate

EACH = 9
"""Crops decided in each size of batch."""


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def engine(request):
    with closing(open_engine(request.param, load_model(), threads=1)) as engine:
        yield engine


@pytest.fixture(scope="module")
def cut():
    """Crops of simulated cells, uint8 (N, 64, 64, 3)."""
    crops = []
    for frame in open_source("smear://?seed=4&cells=120").frames():
        crops += [crop(frame.pixels, cell.box, 64) for cell in locate(frame.pixels)]
        if len(crops) >= EACH * LARGEST_BATCH:
            return np.stack(crops[: EACH * LARGEST_BATCH])
    raise AssertionError("too few cells on the slide")


@pytest.fixture
def decided(engine, cut, session):
    """The crops, an equal number decided in batches of each size."""
    cells = []
    for size in range(1, LARGEST_BATCH + 1):
        some = cut[len(cells) : len(cells) + EACH]
        for start in range(0, EACH, size):
            batch = some[start : start + size]
            cells += [
                CountedCell(
                    len(cells) + 1 + i,
                    FrameRef(0, session.started_ns, "x"),
                    Cell(Box(0, 0, 9, 9), 0.5),
                    prediction,
                    (Sighting(prediction, crop),),
                )
                for i, (prediction, crop) in enumerate(zip(classify(batch, engine), batch, strict=True))
            ]
    return cells


@pytest.fixture
def recorded(decided, recorder_of, session, engine):
    recorder = recorder_of()
    recorder.open(session)
    recorder.last(decided)
    recorder.close()
    return recorder.folder


def change(folder, statement, *values):
    with closing(sqlite3.connect(folder / "session.sqlite")) as connection, connection:
        connection.execute(statement, values)


def test_decisions_made_in_any_size_of_batch_are_the_same_to_the_last_digit(recorded, engine):
    done = []
    outcome = replay(contents(recorded), engine, done.append)
    assert (outcome.same, outcome.different, outcome.left_out) == (EACH * LARGEST_BATCH, (), 0)
    assert done == [EACH * LARGEST_BATCH]


def test_what_differs_is_listed_cell_by_cell(recorded, decided, engine):
    change(recorded, "UPDATE crops SET pixels = (SELECT pixels FROM crops WHERE cell = 1) WHERE cell = 12")
    change(recorded, "UPDATE cells SET probability = probability - 0.000001 WHERE number = 30")
    change(recorded, "UPDATE cells SET label = 'unidentified' WHERE number = 31")
    outcome = replay(contents(recorded), engine)
    assert [one.number for one in outcome.different] == [12, 30, 31]
    first, _, last = outcome.different
    assert first.recorded == decided[11].prediction
    assert first.replayed.probabilities == pytest.approx(decided[0].prediction.probabilities, abs=1e-5)
    assert first.most > 1e-4
    assert last.replayed.label == decided[30].prediction.label
    assert outcome.same == len(decided) - 3


def test_the_threshold_is_that_of_the_recording(recorded, decided, engine):
    strict = 0.999
    names = engine.model.manifest.labels.names
    change(recorded, "UPDATE session SET unidentified_below = ?", strict)
    below = {one.number for one in decided if one.prediction.probability < strict}
    outcome = replay(contents(recorded), engine)
    assert {one.number for one in outcome.different} == below - {
        one.number for one in decided if one.prediction.label == "unidentified"
    }
    assert below
    assert len(names) == 9


def test_cells_of_several_sightings_are_decided_again_from_each_of_them(decided, engine, cut, recorder_of, session):
    recorder = recorder_of()
    recorder.open(session)
    for first in range(0, 40, 4):
        looks = tuple(
            Sighting(decided[first + i].prediction, cut[first + i], weight) for i, weight in enumerate((0.9, 0.2, 0.4))
        )
        together = pooled(looks, engine.model.manifest.labels.unidentified_below)
        recorder.last((replace(decided[first], prediction=together, sightings=looks),))
    recorder.close()
    outcome = replay(contents(recorder.folder), engine)
    assert (outcome.same, outcome.different, outcome.left_out) == (10, (), 0)
    change(recorder.folder, "UPDATE sightings SET crop = ? WHERE rowid = 5", cut[60].tobytes())
    change(recorder.folder, "UPDATE sightings SET weight = 0.8 WHERE rowid = 8")
    outcome = replay(contents(recorder.folder), engine)
    assert [one.number for one in outcome.different] == [decided[4].number, decided[8].number]
    assert (outcome.same, outcome.left_out) == (8, 0)


def test_cells_whose_crops_were_not_kept_are_told(recorded, decided, engine):
    change(recorded, "UPDATE cells SET sightings = 2 WHERE number <= 5")
    change(recorded, "DELETE FROM crops WHERE cell > 70")
    outcome = replay(contents(recorded), engine)
    assert (outcome.same, outcome.left_out) == (len(decided) - 7, 7)
    make_room(recorded.parent, 0)
    with pytest.raises(SessionError, match=r"its crops were removed on 20.* to keep the quota"):
        replay(contents(recorded), engine)


def test_another_graph_is_refused(recorded):
    recorded = contents(recorded)
    check_graph(load_model(), recorded.head)
    with pytest.raises(
        ModelError, match=r"was recorded with the graph .*leukonet-4.onnx is .*name that graph by --mod"
    ):
        check_graph(load_model("leukonet-4"), recorded.head)
    with pytest.raises(ModelError):
        check_graph(load_model(), replace(recorded.head, graph_sha256="0" * 64))
