"""A review as the page gets it: plain dictionaries, columns where there is a value a cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from edge_wbc.draw import COLOURS
from edge_wbc.records import place, utc_text
from edge_wbc.review.chain import Row
from edge_wbc.review.review import CLASSES_OF_A_REVIEW, NOT_CLASSED, PILES, Review, Signature
from edge_wbc.types import NOT_A_CELL, UNIDENTIFIED, CountedCell

KEYS = {
    "neutrophil": "n",
    "eosinophil": "e",
    "basophil": "b",
    "lymphocyte": "l",
    "monocyte": "m",
    "immature granulocyte": "g",
    "erythroblast": "r",
    "platelet": "p",
    NOT_A_CELL: "x",
    NOT_CLASSED: "u",
}
"""The key that moves a cell to a class: its first letter, or the next one that is free."""
SHOWN = (UNIDENTIFIED, NOT_CLASSED, *(name for name in CLASSES_OF_A_REVIEW if name != NOT_CLASSED))
"""Classes in the order of the page: what signing needs empty stands first."""
_INDEX = {name: i for i, name in enumerate(SHOWN)}


def told_of(row: Row | None) -> dict[str, Any] | None:
    """Who decided, and when; None of the network."""
    return None if row is None else {"who": row.who, "at_utc": row.at_utc, "row": row.number}


def whole(review: Review, reader: str | None) -> dict[str, Any]:
    """Everything the page begins with.

    :param reader: who reads blind, and gets neither the network's classes nor another's; None shows all.
    """
    cells = tuple(review.cells.values())
    common = {
        "session_id": review.folder.name,
        "model": review.recorded.head.session.model,
        "started_utc": review.recorded.head.session.started_utc,
        "classes": [_class(name) for name in SHOWN],
        "piles": list(PILES),
        "readers": list(review.readers),
        **_state(review, reader),
    }
    if reader is not None:
        read = review.blind(reader)
        return common | {
            "blind": True,
            "number": [one.number for one in cells],
            "now": [_INDEX[read[one.number]] if one.number in read else None for one in cells],
        }
    moved = {number: mover for number in review.cells if (mover := review.moved_by(number)) is not None}
    return common | {
        "blind": False,
        **_columns(cells),
        "now": [_INDEX[review.class_of(one.number)] for one in cells],
        "moved": {number: [row.who, row.number] for number, row in moved.items()},
        "preliminary": asdict(review.preliminary),
        "verified": asdict(review.verified),
    }


def changes(review: Review, after: int, after_cell: int, reader: str | None) -> dict[str, Any]:
    """What a page that knows the chain up to row ``after``, and the cells up to ``after_cell``, does not know yet."""
    news = [row for row in review.rows[after:] if reader is None or row.who == reader]
    added = [one for one in review.cells.values() if one.number > after_cell] if after_cell < len(review.cells) else []
    found = _state(review, reader) | {"news": [_news(row) for row in news]}
    if reader is not None:
        read = review.blind(reader)
        touched: Iterable[int] = (int(number) for row in news if row.kind == "read" for number in row.body["cells"])
        return found | {
            "cells": {number: [_INDEX[read[number]], None] for number in touched},
            "added": {"number": [one.number for one in added]},
        }
    touched = {int(number) for row in news if row.kind in ("moved", "undone") for number in row.body["cells"]}
    found["cells"] = {number: [_INDEX[review.class_of(number)], _moved(review, number)] for number in touched}
    found["added"] = _columns(added)
    if added:
        found["preliminary"] = asdict(review.preliminary)
    if touched or added:
        found["verified"] = asdict(review.verified)
    return found


def one(review: Review, cell: CountedCell, reader: str | None) -> dict[str, Any]:
    """What is known of one cell. A blind reader gets no class."""
    told = {
        "cell": cell.number,
        **place(cell.frame.origin),
        "frame": cell.frame.index,
        "utc": utc_text(cell.frame.time_ns, review.recorded.head.session),
        "box": list(cell.cell.box),
        "sightings": len(cell.sightings),
        "place": None if cell.place is None else [round(cell.place.x, 1), round(cell.place.y, 1)],
    }
    if reader is not None:
        return told
    return told | {
        "label": cell.prediction.label,
        "probability": cell.prediction.probability,
        "probabilities": dict(cell.prediction.probabilities),
        "class": review.class_of(cell.number),
        "history": [_decision(row, cell.number) for row in review.history(cell.number)],
    }


def _state(review: Review, reader: str | None) -> dict[str, Any]:
    state = {
        "running": review.running,
        "label": review.label,
        "version": review.version,
        "signed": None if review.signed is None else _signature(review.signed),
        "signatures": [_signature(one) for one in review.signatures],
        "head": review.head,
        "row": len(review.rows),
    }
    if reader is not None:
        return state
    explained = {pile: {"why": row.body["why"], **(told_of(row) or {})} for pile, row in review.explained.items()}
    return state | {"explained": explained}


def _columns(cells: Iterable[CountedCell]) -> dict[str, list[Any]]:
    cells = tuple(cells)
    return {
        "number": [one.number for one in cells],
        "network": [_INDEX[one.prediction.label] for one in cells],
        "probability": [round(one.prediction.probability, 4) for one in cells],
    }


def _moved(review: Review, number: int) -> list[Any] | None:
    row = review.moved_by(number)
    return None if row is None else [row.who, row.number]


def _class(name: str) -> dict[str, str | None]:
    blue, green, red = COLOURS.get(name, (0, 0, 0))
    return {"name": name, "key": KEYS.get(name), "colour": f"#{red:02x}{green:02x}{blue:02x}"}


def _signature(signed: Signature) -> dict[str, Any]:
    return {"version": signed.version, **(told_of(signed.row) or {})}


def _news(row: Row) -> dict[str, Any]:
    cells = row.body.get("cells")
    told = {"kind": row.kind, **(told_of(row) or {}), "to": row.body.get("to"), "why": row.body.get("why")}
    return told | {"cells": len(cells) if isinstance(cells, Mapping) else None}


def _decision(row: Row, number: int) -> dict[str, Any]:
    to = row.body["to"] if row.kind == "moved" else row.body["cells"][str(number)]
    before = row.body["cells"][str(number)] if row.kind == "moved" else None
    return {"kind": row.kind, **(told_of(row) or {}), "from": before, "to": to, "why": row.body.get("why", "")}
