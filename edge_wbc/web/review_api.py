"""The review of a session, as JSON and pictures: looked at, moved, explained, signed.

A page says which row of the chain, and which cell, it knows last (``after``, ``cell``); every answer to a change has
what came since, of others too.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from edge_wbc.review import agreement as agreements
from edge_wbc.review import decide
from edge_wbc.review.review import CLASSES_OF_A_REVIEW, PILES, Review
from edge_wbc.types import UNIDENTIFIED, CountedCell
from edge_wbc.web import field as fields
from edge_wbc.web.access import Reviewer, Viewer
from edge_wbc.web.crops import MOST, sheet
from edge_wbc.web.review_view import changes, one, whole
from edge_wbc.web.site import Unknown, site_of

MOST_NUMBER = 2**31 - 1
MOST_CELLS = 100_000
"""Cells in one decision."""
_NUMBER = "[1-9][0-9]{0,8}"

router = APIRouter(
    prefix="/api/sessions/{session_id}",
    responses={
        400: {"description": "No JSON."},
        401: {"description": "Nobody has logged in."},
        403: {"description": "Not with this role."},
        404: {"description": "No such session or cell, or no field was kept."},
        409: {"description": "As things stand it can't be done: another has moved a cell (`cells`, `by`), or signed."},
        422: {"description": "What was sent, or the session, can't be read."},
        507: {"description": "Nothing was saved: no room, or no right to write."},
    },
)


def _known(name: str) -> str:
    if name not in (*CLASSES_OF_A_REVIEW, UNIDENTIFIED):
        raise ValueError("no such class")
    return name


def _number(value: object) -> object:
    if isinstance(value, (bool, str)):  # which pydantic would take for one
        raise ValueError("no number")
    return value


Id = Annotated[str, Path(min_length=1, max_length=100)]
Cell = Annotated[int, Path(ge=1, le=MOST_NUMBER)]
Count = Annotated[int, Field(ge=0, le=MOST_NUMBER), BeforeValidator(_number)]
CellKey = Annotated[str, Field(pattern=f"^{_NUMBER}$")]
Seen = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": [*CLASSES_OF_A_REVIEW, UNIDENTIFIED]})]
Target = Annotated[str, Field(json_schema_extra={"enum": list(CLASSES_OF_A_REVIEW)})]
Text = Annotated[str, Field(max_length=decide.MOST_TEXT)]
Reason = Annotated[str, Field(min_length=1, max_length=decide.MOST_TEXT)]


class Known(BaseModel):
    """What the page knows."""

    after: Count = 0
    cell: Count = 0


class Moves(Known):
    cells: dict[CellKey, Seen] = Field(
        min_length=1, max_length=MOST_CELLS, json_schema_extra={"additionalProperties": False}
    )
    to: Target
    why: Text = ""


class Explanation(Known):
    pile: Annotated[str, Field(json_schema_extra={"enum": list(PILES)})]
    why: Reason


class Label(Known):
    label: Text


class Readings(Known):
    cells: dict[CellKey, Target] = Field(
        min_length=1, max_length=MOST_CELLS, json_schema_extra={"additionalProperties": False}
    )


class Amendment(Known):
    why: Reason


@router.get("/review")
def review(request: Request, user: Viewer, session_id: Id, blind: bool = False) -> Response:
    """Classes of all cells as they stand, column by column; blind: without the network's and the first reader's."""
    with site_of(request).review(session_id) as found:
        return JSONResponse(whole(found, user.name if blind else None))


@router.get("/review/rows")
def rows(
    request: Request,
    user: Viewer,
    session_id: Id,
    after: Annotated[int, Query(ge=0, le=MOST_NUMBER)] = 0,
    cell: Annotated[int, Query(ge=0, le=MOST_NUMBER)] = 0,
    blind: bool = False,
) -> Response:
    """What was decided after row ``after``, and the cells after number ``cell``."""
    with site_of(request).review(session_id) as found:
        return JSONResponse(changes(found, after, cell, user.name if blind else None))


@router.get("/cells/{number}")
def cell(request: Request, user: Viewer, session_id: Id, number: Cell, blind: bool = False) -> dict[str, Any]:
    """One cell: where it was seen, what the network said, who decided what."""
    with site_of(request).review(session_id) as found:
        return one(found, _cell(found, number), user.name if blind else None)


@router.get("/crops", response_class=Response)
def crops(
    request: Request,
    user: Viewer,
    session_id: Id,
    cells: Annotated[str, Query(pattern=f"^{_NUMBER}(,{_NUMBER}){{0,{MOST - 1}}}$")],
) -> Response:
    """Crops as one JPEG, eight a row, in the order asked for; crossed squares where there is none."""
    data, complete = sheet(site_of(request).folder(session_id), [int(number) for number in cells.split(",")])
    kept = "private, max-age=31536000, immutable" if complete else "private, max-age=10"
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": kept})


@router.get("/field/{number}", response_class=Response)
def field(request: Request, user: Viewer, session_id: Id, number: Cell) -> Response:
    """The field with the cell marked, as a JPEG; ``X-Field-Of``: a ``frame``, or the slide's ``mosaic``."""
    with site_of(request).review(session_id) as found:
        shown = _cell(found, number)
        folder = found.folder
    data, of = fields.field(folder, shown)
    headers = {"Cache-Control": "private, max-age=300", "X-Field-Of": of}
    return Response(data, media_type="image/jpeg", headers=headers)


@router.get("/agreement")
def agreement(request: Request, user: Viewer, session_id: Id) -> Response:
    """Of each who has read blind with the review as it stands: Cohen's kappa, over all and a class."""
    with site_of(request).review(session_id) as found:
        return JSONResponse({"readers": [asdict(agreements.agreement(found, one)) for one in found.readers]})


@router.post("/moves")
def move(request: Request, user: Reviewer, session_id: Id, body: Moves) -> Response:
    """Give cells another class. ``cells``: by number, the class each was seen in."""
    with site_of(request).review(session_id) as found:
        decide.move(found, user.name, _by_number(body.cells), body.to, body.why)
        return _since(found, body)


@router.post("/undo")
def undo(request: Request, user: Reviewer, session_id: Id, body: Known) -> Response:
    """Take back the newest of one's own moves."""
    with site_of(request).review(session_id) as found:
        decide.undo(found, user.name)
        return _since(found, body)


@router.post("/explanations")
def explain(request: Request, user: Reviewer, session_id: Id, body: Explanation) -> Response:
    """Say why cells stay in a pile."""
    with site_of(request).review(session_id) as found:
        decide.explain(found, user.name, body.pile, body.why)
        return _since(found, body)


@router.post("/label")
def label(request: Request, user: Reviewer, session_id: Id, body: Label) -> Response:
    """Say what the session is of."""
    with site_of(request).review(session_id) as found:
        decide.label(found, user.name, body.label)
        return _since(found, body)


@router.post("/read")
def read(request: Request, user: Reviewer, session_id: Id, body: Readings) -> Response:
    """Classes that a blind reader gives; the answer is a blind one too."""
    with site_of(request).review(session_id) as found:
        decide.read(found, user.name, _by_number(body.cells))
        return _since(found, body, user.name)


@router.post("/sign")
def sign(request: Request, user: Reviewer, session_id: Id, body: Known) -> Response:
    """Close the review as it stands."""
    with site_of(request).review(session_id) as found:
        decide.sign(found, user.name)
        return _since(found, body)


@router.post("/amend")
def amend(request: Request, user: Reviewer, session_id: Id, body: Amendment) -> Response:
    """Open a signed review again, as a new version."""
    with site_of(request).review(session_id) as found:
        decide.amend(found, user.name, body.why)
        return _since(found, body)


def _since(found: Review, known: Known, reader: str | None = None) -> Response:
    return JSONResponse(changes(found, known.after, known.cell, reader))


def _by_number(cells: dict[str, str]) -> dict[int, str]:
    return {int(number): name for number, name in cells.items()}


def _cell(found: Review, number: int) -> CountedCell:
    if number not in found.cells:
        raise Unknown(f"no cell {number} in this session")
    return found.cells[number]
