"""The figures of a report, read back from each of its forms as a person or a program would."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import NamedTuple

import pypdf

from edge_wbc.types import LABELS

NAMES = (*LABELS, "unidentified", "not classed")


class Figures(NamedTuple):
    cells: int
    percent: float | None = None
    low: float | None = None
    high: float | None = None


class Read(NamedTuple):
    verified: Mapping[str, Figures | None]
    preliminary: Mapping[str, Figures | None]
    leukocytes: tuple[int, int]
    per_100: tuple[float | None, float | None]


class Page(HTMLParser):
    """The cells of the table's rows, the tags, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] != "style":
            self.text += data
        if self._in_cell:
            self.rows[-1][-1] += data


def of_html(page: str) -> Read:
    rows = {row[0].replace("not a cell", "not_a_cell"): row[1:7] for row in Page(page).rows if len(row) > 7}
    return _read(rows)


def of_pdf(data: bytes) -> Read:
    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)
    rows = {}
    for name in (*NAMES, "leukocytes", "erythroblasts per 100"):
        (line,) = re.findall(rf"^{name.replace('_', ' ')}((?: [\d.–]+)+)$", text, re.MULTILINE)
        rows[name] = _columns(name, line.split())
    return _read(rows)


def _columns(name: str, found: list[str]) -> list[str]:
    """Empty ones are not in the text."""
    if "per 100" in name:
        return ["", found[0], "", "", found[1], ""]
    return {6: found, 4: [*found, "", ""], 2: [found[0], "", "", found[1], "", ""]}[len(found)]


def _read(rows: Mapping[str, list[str]]) -> Read:
    classes = {name: rows[name] for name in NAMES}
    return Read(
        {name: _figures(row[:3]) for name, row in classes.items()},
        {name: _figures(row[3:]) for name, row in classes.items()},
        (int(rows["leukocytes"][0]), int(rows["leukocytes"][3])),
        (_number(rows["erythroblasts per 100"][1]), _number(rows["erythroblasts per 100"][4])),
    )


def _figures(row: list[str]) -> Figures | None:
    cells, percent, interval = row
    if cells == "–":
        return None
    if not percent:
        return Figures(int(cells))
    low, high = interval.split("–")
    return Figures(int(cells), float(percent), float(low), float(high))


def _number(text: str) -> float | None:
    return None if text in ("–", "") else float(text)


def of_csv(data: bytes) -> Read:
    found: dict[tuple[str, str], Figures] = {}
    numbers: dict[tuple[str, str], str] = {}
    for row in csv.DictReader(io.StringIO(data.decode())):
        key = row["part"], row["name"]
        numbers[key] = row["value"]
        if row["part"] in ("verified", "preliminary") and row["name"] in NAMES:
            found[key] = Figures(int(row["value"]), *(_number(row[name]) for name in ("percent", "low", "high")))
    parts = ("verified", "preliminary")
    verified, preliminary = ({name: found.get((part, name)) for name in NAMES} for part in parts)
    leukocytes = tuple(int(numbers[part, "leukocytes"]) for part in parts)
    per_100 = tuple(_number(numbers[part, "erythroblasts per 100"]) for part in parts)
    return Read(verified, preliminary, leukocytes, per_100)


def of_json(data: bytes) -> Read:
    said = json.loads(data)
    lines = {line["name"]: line for line in said["lines"]}

    def figures(name: str, part: str) -> Figures | None:
        found = lines[name][part]
        return None if found is None else Figures(**found)

    parts = ("verified", "preliminary")
    verified, preliminary = ({name: figures(name, part) for name in NAMES} for part in parts)
    leukocytes = tuple(said[part]["leukocytes"] for part in parts)
    return Read(verified, preliminary, leukocytes, tuple(said[part]["erythroblasts_per_100"] for part in parts))
