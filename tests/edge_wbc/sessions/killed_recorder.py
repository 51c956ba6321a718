"""Records a session that is killed at each of its writes, or whose disk is full from there on; reads what is left.

``killed_recorder.py LIBRARY FOLDER kill|fill``, with `faults.c` preloaded. Prints a JSON object a step.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import shutil
import sys
import traceback
from pathlib import Path

import numpy as np

from edge_wbc.differential import Tally
from edge_wbc.errors import EdgeWbcError, OutputFailed
from edge_wbc.manifest import Model, load_model
from edge_wbc.records import starting_now
from edge_wbc.sessions import recorder
from edge_wbc.sessions.archive import contents, crops
from edge_wbc.types import Box, Cell, CountedCell, FrameRef, FrameResult, Prediction, Session, Sighting, Summary

SESSION = Session("20260101T000000Z-abc123", "smear://", "field", "leukonet", "openvino f32", "", 0, 0, "0")
FRAMES = ((1, 2), (3,))
"""Numbers of the cells in each."""


def crop_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)


def record(place: Path, model: Model, durable: mmap.mmap) -> None:
    """Record frame by frame, each committed before the next; ``durable`` holds how many cells are."""
    session = starting_now(SESSION)
    sink = recorder.Recorder(place, session.session_id, model, "openvino")
    try:
        sink.open(session)
        for index, numbers in enumerate(FRAMES):
            frame = FrameRef(index, session.started_ns, "smear://")
            counted = tuple(
                CountedCell(
                    number,
                    frame,
                    Cell(Box(number, 0, 9, 9), 0.5),
                    decided(number),
                    (Sighting(decided(number), crop_of(number)),) * (1 + number % 2),
                )
                for number in numbers
            )
            sink.frame(FrameResult(frame, (), (), counted, 0))
            while sink.report()["cells"] < numbers[-1]:
                sink.last(())  # raises where it has failed
            durable[0] = sink.report()["cells"]
        differential = Tally(model.manifest.labels).differential()
        sink.finish(differential, Summary(2, 0, 0, 3, 1.0, 1.0, {}, {}, differential, ended="source"))
    finally:
        sink.close()


def decided(number: int) -> Prediction:
    return Prediction("monocyte", number / 10, {"monocyte": number / 10})


def left(folder: Path) -> dict[str, object]:
    """What can be read, checked against what was given."""
    try:
        read = contents(folder)
    except EdgeWbcError as error:
        return {"cells": 0, "ended": "", "trouble": str(error), "right": True}
    numbers = [one.number for one in read.cells]
    pixels = dict(crops(read.head))
    right = list(pixels) == numbers == list(range(1, len(numbers) + 1))
    right &= all((pixels[number] == crop_of(number)).all() for number in numbers)
    right &= all(one.prediction == decided(one.number) for one in read.cells)
    return {"cells": len(numbers), "ended": read.head.ended, "trouble": "", "right": bool(right)}


def main() -> None:
    library = ctypes.CDLL(sys.argv[1])
    place, fill = Path(sys.argv[2]), sys.argv[3] == "fill"
    model = load_model()
    recorder.COMMIT_S = recorder.COUNT_S = 0.0
    durable = mmap.mmap(-1, 1)
    step, harmed = 0, True
    while harmed:
        durable[0] = 0
        child = os.fork()
        if not child:
            code = 0
            try:
                (library.faults_fill if fill else library.faults_arm)(step)
                record(place, model, durable)
            except OutputFailed as error:
                library.faults_arm(-1)
                code = 5 if "; make room" in str(error) else 1
            except BaseException:
                traceback.print_exc()
                code = 1
            seen = library.faults_seen()
            library.faults_arm(-1)
            os._exit(code or (6 if seen <= step else 0))
        status = os.waitpid(child, 0)[1]
        harmed = not (os.WIFEXITED(status) and os.WEXITSTATUS(status) == 6)
        folder = place / SESSION.session_id
        found = left(folder) if folder.is_dir() else {"cells": 0, "ended": "", "trouble": "nothing", "right": True}
        how = {"step": step, "signal": status & 127, "code": status >> 8, "durable": durable[0]}
        print(json.dumps({**how, **found}), flush=True)  # noqa: T201
        shutil.rmtree(folder, ignore_errors=True)
        step += 1


if __name__ == "__main__":
    main()
