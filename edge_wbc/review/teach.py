"""Teaching back: the cells of signed sessions as a labelled folder to train on.

    DIR/CLASS/SESSION_NUMBER.png    a cell's sharpest look, as the network saw it: nothing is cut again
    DIR/groups.csv                  a row a cell: see `lessons.Lesson`

Images are written after the list and removed before it, so that none is there that is not listed. What is listed and
not there is written when the same is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_wbc.errors import OutputFailed, UsageError, reason
from edge_wbc.files import part_of, write_whole
from edge_wbc.review.lessons import LIST, Lesson, Lessons, as_csv, images, read_list

AGAIN = "make room or choose another place, and teach again"


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a folder."""

    new: int
    """Images that were not there."""
    gone: int
    """Images taken away: a newer version of a review has the cell in another class, or in none."""
    cells: int
    """In the folder now."""


def teach(given: Sequence[Lessons], folder: Path, advance: Callable[[int], object] = lambda done: None) -> Written:
    """Bring a folder to what signed sessions teach; cells of other sessions in it stay, and nothing comes twice.

    Interrupted at any moment, it leaves whole files, and the same again completes it.

    :param advance: called with the number of cells done.
    :raises UsageError: the folder holds something else, or crops of another size.
    :raises SourceError: its list is damaged.
    :raises OutputFailed: it can't be written.
    :raises SessionError: a session can't be read.
    """
    _refuse_other_things(folder)
    before = {(one.session, one.cell): one for one in (read_list(folder) if (folder / LIST).is_file() else [])}
    names = {taught.head.session.session_id for taught in given}
    kept = {key: one for key, one in before.items() if key[0] not in names}
    after = kept | {(one.session, one.cell): one for taught in given for one in taught.rows}
    _refuse_mixed(folder, after.values())
    stay = {one.file for one in after.values()}
    gone = [one.file for one in before.values() if one.file not in stay]
    try:
        for file in gone:
            (folder / file).unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputFailed(f"{folder}: {reason(error)}; {AGAIN}") from None
    write_whole(folder / LIST, as_csv(after[key] for key in sorted(after)), AGAIN)
    done = new = 0
    for taught in given:
        for row, data in images(taught):
            new += _write(folder / row.file, data)
            done += 1
            advance(done)
    _remove_empty(folder, {PurePosixPath(file).parent.name for file in gone})
    return Written(new, len(gone), len(after))


def _refuse_other_things(folder: Path) -> None:
    """:raises UsageError: a folder that holds something, and no list."""
    try:
        others = (
            [] if (folder / LIST).is_file() else [path for path in folder.iterdir() if path != part_of(folder / LIST)]
        )
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{folder}: {reason(error)}; name a new folder") from None
    if others:
        raise UsageError(f"{folder} holds {others[0].name} and no {LIST}; name a new folder, or one taught to before")


def _refuse_mixed(folder: Path, rows: Iterable[Lesson]) -> None:
    """:raises UsageError: crops of several sizes or margins: no network sees both."""
    sizes: dict[int, str] = {}
    margins: dict[float, str] = {}
    for one in rows:
        sizes.setdefault(one.crop_px, one.session)
        if one.margin is not None:
            margins.setdefault(one.margin, one.session)
    for found, unit in ((sizes, "pixels"), (margins, "times the cell")):
        if len(found) > 1:
            (first, session), (second, other), *_ = found.items()
            raise UsageError(
                f"{folder}: crops of session {session} are {first:g} {unit} wide, those of {other} {second:g}; "
                "teach them to folders of their own"
            )


def _write(path: Path, data: bytes) -> bool:
    """Whether it was not there. What is there and differs is put right."""
    there = path.is_file()
    try:
        if there and path.read_bytes() == data:
            return False
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"{path}: {reason(error)}; {AGAIN}") from None
    write_whole(path, data, AGAIN)
    return not there


def _remove_empty(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        try:
            (folder / name).rmdir()
        except OSError:  # something else is in it
            continue
