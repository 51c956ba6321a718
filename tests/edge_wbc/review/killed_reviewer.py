"""Moves cells in a process killed at each of its writes, or with a full disk from there on; reads what is left.

``killed_reviewer.py LIBRARY FOLDER kill|fill``, with `faults.c` preloaded; FOLDER is a recorded session of five cells,
which nobody has reviewed. Prints a JSON object a step. Of a full disk there is room again before it is read.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import sys
import traceback
from pathlib import Path

from edge_wbc.errors import EdgeWbcError, OutputFailed
from edge_wbc.review import decide
from edge_wbc.review.chain import FILE, broken, written
from edge_wbc.review.review import Review

MOVES = ("monocyte", "basophil")


def work(folder: Path, saved: mmap.mmap) -> Review:
    """Two moves, one undone; ``saved`` holds how many of the three were told as saved."""
    review = Review(folder)
    try:
        for to in MOVES:
            decide.move(review, "ann", {number: review.class_of(number) for number in (1, 2)}, to)
            saved[0] += 1
        decide.undo(review, "ann")
        saved[0] += 1
    except EdgeWbcError:
        assert len(review.rows) == saved[0], "what was not saved is not shown either"
        raise
    return review


def left(folder: Path) -> dict[str, object]:
    """What can be read, and whether it can be gone on with."""
    found = list(written(folder))
    review = Review(folder)
    rows = len(review.rows)
    stands = [*MOVES, MOVES[0]][rows - 1] if rows else None
    right = rows == len(found) and not list(broken(found, folder))
    right &= [review.moved.get(number) for number in (1, 2)] == [stands, stands]
    decide.move(review, "bob", {3: review.class_of(3)}, "monocyte")
    return {"rows": rows, "right": bool(right), "goes_on": len(Review(folder).rows) == rows + 1}


def main() -> None:
    library = ctypes.CDLL(sys.argv[1])
    folder, fill = Path(sys.argv[2]), sys.argv[3] == "fill"
    saved = mmap.mmap(-1, 1)
    step, harmed = 0, True
    while harmed:
        saved[0] = 0
        child = os.fork()
        if not child:
            code = 0
            try:
                (library.faults_fill if fill else library.faults_arm)(step)
                work(folder, saved)
            except OutputFailed as error:
                code = 5 if "nothing was saved (" in str(error) and "\n" not in str(error) else 1
            except BaseException:
                traceback.print_exc()
                code = 1
            seen = library.faults_seen()
            library.faults_arm(-1)
            os._exit(code or (6 if seen <= step else 0))
        status = os.waitpid(child, 0)[1]
        harmed = not (os.WIFEXITED(status) and os.WEXITSTATUS(status) == 6)
        how = {"step": step, "signal": status & 127, "code": status >> 8, "saved": saved[0]}
        print(json.dumps({**how, **left(folder)}), flush=True)  # noqa: T201
        for file in folder.glob(f"{FILE}*"):
            file.unlink()
        step += 1


if __name__ == "__main__":
    main()
