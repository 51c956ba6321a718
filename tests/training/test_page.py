"""The HTML page: nothing beside itself, the same bytes from the same figures, refused in time."""

from __future__ import annotations

import errno
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edge_wbc import RESEARCH_USE
from edge_wbc.errors import EnvironmentMissing, OutputFailed, UsageError
from edge_wbc.types import Prediction
from tests.data import class_folders
from training.datasets import Sample
from training.evaluate import Scored, by_photograph
from training.figures import figures
from training.page import Origin, Part, check_page, page, write_page
from training.plots import confusion_svg, photographs_svg, reliability_svg, risk_coverage_svg
from training.thumbnails import Thumbnail, worst_errors

pytest.importorskip("matplotlib", reason="matplotlib is not installed: nothing can be drawn")

VOID = {"meta", "img"}
ORIGIN = Origin("small 1.0 fp32", "ab" * 32, "onnxruntime f32", "cell", 0.5, "cells", "edge-wbc evaluate cells", "now")


class Elements(HTMLParser):
    """Every element and its attributes; complains about one that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += f"{data} "


def scored(label: str, said: str, group: str, probability: float = 0.9, name: str = "x.png") -> Scored:
    other = "monocyte" if said != "monocyte" else "neutrophil"
    prediction = Prediction(said, probability, {said: probability, other: 1 - probability})
    return Scored(Sample(Path(name), label, group.split("/")[0], group, None), said, prediction)


def part(name: str, rows: list[Scored]) -> Part:
    shown = [Thumbnail(item, "data:image/jpeg;base64,AA==") for item in worst_errors(rows)]
    return Part(name, figures(rows, 0.5), by_photograph(rows), shown)


@pytest.fixture
def rows() -> list[Scored]:
    """Four photographs with 20 images each; of the last, all are wrong."""
    right = [scored("neutrophil", "neutrophil", f"a/{i % 3}", 0.6 + i / 200) for i in range(60)]
    return right + [scored("monocyte", "neutrophil", "a/<3>", 0.55 + i / 100) for i in range(20)]


def test_the_page_needs_nothing_beside_itself(rows):
    elements = Elements(page(ORIGIN, part("all cells", rows), [part("a", rows), part("b", rows[:70])]))
    names = [name for name, _ in elements.found]
    assert names.count("svg") == 8
    assert not {"script", "link", "iframe", "base", "object"} & set(names)
    for _, attributes in elements.found:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href"):
                assert value.startswith(("data:", "#"))
            elif not name.startswith("xmlns"):
                assert "//" not in (value or "")
    style = next(text for text in page(ORIGIN, part("a", rows), []).split("<style>")[1:])
    assert not {"url(", "@import"} & set(style.partition("</style>")[0].split())


def test_what_svg_elements_refer_to_is_in_the_page(rows):
    elements = Elements(page(ORIGIN, part("a", rows), []))
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    used = {value[1:] for _, a in elements.found for name, value in a.items() if name == "xlink:href"}
    assert used
    assert used <= set(ids)


def test_the_page_says_what_was_done_and_what_came_of_it(rows):
    whole = part("all cells", rows)
    words = " ".join(Elements(page(ORIGIN, whole, [])).words.split())
    for told in (
        RESEARCH_USE,
        "ab" * 32,
        "onnxruntime f32",
        "edge-wbc evaluate cells",
        "75.0%",
        "4 photographs are few",
    ):
        assert told in words
    report = whole.figures.report
    low, high = report.accuracy_interval
    assert f"{low:.1%}–{high:.1%}" in words
    assert f"Calibration error {whole.figures.reliability.ece:.3f} over 80 crops." in words
    assert f"By chance: {whole.figures.reliability.by_chance:.3f}" in words
    assert whole.figures.risk_coverage.model.words in words
    assert "a/<3> monocyte 0 of 20 neutrophil 20" in words, "the worst photograph"
    assert words.count("monocyte → neutrophil") == 20


def test_the_same_figures_give_the_same_bytes(rows):
    one = page(ORIGIN, part("all cells", rows), [part("a", rows)])
    assert page(ORIGIN, part("all cells", rows), [part("a", rows)]) == one
    later = Origin(**{name: getattr(ORIGIN, name) for name in Origin.__slots__} | {"date": "later"})
    assert page(later, part("all cells", rows), [part("a", rows)]) == one.replace(">now<", ">later<")


def test_names_from_outside_do_no_harm(rows):
    evil = '"><script>alert(1)</script>'
    rows = [*rows, scored("monocyte", "neutrophil", f"a/{evil}", name=evil)]
    elements = Elements(page(ORIGIN, part(evil, rows), []))
    assert "script" not in [name for name, _ in elements.found]
    assert any(attributes.get("title") == evil for _, attributes in elements.found)


def test_errors_shown_are_bounded_and_the_page_says_so():
    rows = [scored("monocyte", "neutrophil", f"a/{i % 40}", 0.5 + i / 200) for i in range(80)]
    assert [item.sample.group for item in worst_errors(rows)] == [f"a/{i}" for i in range(39, 15, -1)]
    words = " ".join(Elements(page(ORIGIN, part("a", rows), [])).words.split())
    assert "Errors: 80; shown are 24, the surest of each photograph first" in words
    assert "Photographs with errors: 40 of 40; shown are the worst 20" in words


def test_each_plot_stands_alone_and_shows_its_numbers(rows):
    whole = part("a", rows)
    told = {
        confusion_svg(whole.figures.report.confusion): ("60", "20", "neutrophil", "said to be"),
        reliability_svg(whole.figures.reliability): ("accuracy", "probability of the most probable class"),
        risk_coverage_svg(whole.figures.risk_coverage): ("threshold 0.5:", "rejects 0.0%", "known cells rejected, %"),
        photographs_svg(whole.photographs): ("monocyte", "right of a photograph's images, %"),
    }
    for svg, words in told.items():
        elements = Elements(svg)
        assert elements.found[0][0] == "svg"
        assert elements.found[0][1]["xmlns"] == "http://www.w3.org/2000/svg"
        for word in words:
            assert word in elements.words
        assert "var(--mark, #0072b2)" in svg, "a colour that a page can change, with one of its own"


@pytest.mark.parametrize("place", ["missing/report.html", ".", "file/report.html", "n" * 255, "nul\0.html"])
def test_a_page_that_cannot_be_written_is_refused_before_the_work(place, tmp_path, edge_wbc_command):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="--page"):
        check_page(tmp_path / place)
    if "\0" not in place:
        done = edge_wbc_command("evaluate", tmp_path / "no such data", "--page", tmp_path / place)
        assert (done.code, done.out, len(done.said())) == (2, "", 1)
        assert "--page" in done.err


def test_without_matplotlib_there_is_a_hint(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnvironmentMissing, match=r"pip install 'edge-wbc\[train\]'"):
        check_page(tmp_path / "report.html")


def test_a_full_disk_leaves_the_page_that_was_there(tmp_path, monkeypatch):
    place = tmp_path / "report.html"
    write_page(place, "before")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputFailed, match="no space left on device"):
        write_page(place, "after")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert place.read_text() == "before"


def test_the_verb_writes_the_page_with_thumbnails(tmp_path, edge_wbc_command):
    data = class_folders(tmp_path / "data", ("platelet", "eosinophil"), 3)
    place = tmp_path / "report.html"
    done = edge_wbc_command("evaluate", data, "--mode", "cell", "--engine", "onnxruntime", "--page", place, "--json")
    assert done.code == 0
    elements = Elements(place.read_text())
    wrong = done.json["images"] - sum(row.get(label, 0) for label, row in done.json["confusion"].items())
    assert wrong, "drawn cells fool the network"
    pictures = [attributes["src"] for name, attributes in elements.found if name == "img"]
    assert len(pictures) == wrong
    assert len(set(pictures)) == wrong
    assert f"edge-wbc evaluate {data} --mode cell" in elements.words
    assert done.json["graph_sha256"] in elements.words
