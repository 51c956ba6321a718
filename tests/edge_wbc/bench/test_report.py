"""A benchmark's result as a page and as Markdown."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edge_wbc.bench import svg
from edge_wbc.bench.machine import identify, look
from edge_wbc.bench.markdown import markdown
from edge_wbc.bench.page import page
from edge_wbc.bench.pictures import pictures
from edge_wbc.bench.results import Accuracy, Result, Row, measured, result, write
from edge_wbc.bench.statistics import Interval, summary
from edge_wbc.bench.tables import tables
from edge_wbc.bench.trust import Doubt
from edge_wbc.cli.bench import bench
from tests.edge_wbc.bench.trees import ORIN
from tests.edge_wbc.bench.trees import write as tree

EVIL = '<script>alert("|x|")</script>'


@pytest.fixture(scope="module")
def orin(tmp_path_factory):
    return tree(tmp_path_factory.mktemp("orin"), ORIN)


def made(root, kind, *rows: Row, settings=None, doubts=()) -> Result:
    looks = look(root), look(root)
    told = {"smoke": False, "machine": identify(root), "looks": looks, "settings": settings or {"threads": 1}}
    return result(kind, rows=rows, doubts=doubts, **told)


def engine(model, batch=1, ms=2.0, agreeing=63) -> Row:
    rounds = [[int(1e6 * ms * factor) for factor in (0.98, 1.0, 1.03)] * 40 + [int(9e6 * ms)] for _ in range(6)]
    what = {"model": model, "engine": "openvino", "batch": str(batch)}
    accuracy = Accuracy(64, agreeing, 0.02, {"neutrophil": 1.0, "basophil": 0.5})
    return measured(f"{model}, batch {batch}", what, rounds, batch, accuracy=accuracy)


def pipeline(root) -> Result:
    parts = {name: summary([ms] * 9) for name, ms in (("read", 1.0), ("wait engine", 3.0), ("classify", 2.0))}
    row = replace(measured("single-stream", {"scenario": "single-stream"}, [[6_000_000] * 9] * 6), parts=parts)
    return made(root, "pipeline", replace(row, bound="classify"))


def roofline(root) -> Result:
    told = {"macs": 4e6, "bytes": 1e5, "bound": 0.1}
    layer = Row("conv1", {"layer": "conv1"}, "ms", "lower", median=Interval(0.2, None, None), told=told)
    return made(root, "roofline", layer, settings={"bytes a second": 2e10, "peak int8": 8e10})


class Page(HTMLParser):
    """Well-formed, and nothing in it from elsewhere."""

    VOID = frozenset({"meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag not in {"script", "link", "iframe", "img", "object"}
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in {"src", "href"}, value
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_holds_every_kind_with_its_pictures_and_needs_nothing_else(orin):
    several = made(orin, "engine", engine("a", 1), engine("a", 8, 9.0), engine("b", 1, 1.0, 60))
    read = Page(page([several, pipeline(orin), roofline(orin)]))
    said = " ".join(read.text)
    assert read.tags.count("svg") == sum(len(pictures(one)) for one in (several, pipeline(orin), roofline(orin))) == 8
    assert "Research use only" in said
    assert "Jetson Orin Nano" in said
    assert "63 of 64" in said
    assert "default-src 'none'" in page([several])


def test_what_a_file_says_can_not_become_markup(orin):
    row = replace(engine("a"), name=EVIL, what={"model": EVIL, "batch": "1"}, error=EVIL)
    found = made(orin, "engine", row, settings={EVIL: EVIL}, doubts=(Doubt("load", EVIL),))
    assert EVIL in "".join(Page(page([found])).text)
    lines = markdown([found]).splitlines()
    assert not any(re.search(r"(?<!\\)<", line) for line in lines)
    head = next(line for line in lines if line.startswith("| model"))
    bars = re.compile(r"(?<!\\)\|")
    assert {len(bars.findall(line)) for line in lines[lines.index(head) : lines.index(head) + 3]} == {
        len(bars.findall(head))
    }


def test_figures_are_those_of_the_result(orin):
    row = engine("a", 1, 2.0)
    row = replace(row, ratios={"b, batch 1": Interval(0.5, 0.4, 0.6)})
    figures, beside = tables(made(orin, "engine", row))
    told = dict(zip(figures.columns, figures.rows[0], strict=True))
    assert (told["median"], told["p50"], told["far out"]) == ("2.000", "2.000", "6")
    assert (told["agree"], told["least recall"]) == ("63 of 64", "0.50")
    assert beside.rows == (("a, batch 1", "b, batch 1", "0.500", "0.400–0.600"),)
    assert "0.400–0.600" in markdown([made(orin, "engine", row)])


def test_each_figure_that_needs_it_is_explained_under_its_table(orin):
    text = markdown([made(orin, "engine", engine("a")), roofline(orin)])
    for name in ("median", "p99.9", "agree", "least recall", "far out", "bound", "near"):
        assert f"- *{name}*: " in text


def test_doubts_and_failures_stand_in_both(orin):
    failed = Row("broken", {"model": "b"}, "ms", "lower", error="it broke")
    absent = Row("torch", {"model": "t"}, "ms", "lower", absent="PyTorch is not installed")
    found = made(orin, "engine", engine("a"), failed, absent, doubts=(Doubt("load", "other programs took 9 %"),))
    for text in (page([found]), markdown([found])):
        for said in ("other programs took 9 %", "it broke", "PyTorch is not installed"):
            assert said in text


def test_a_waterfall_has_its_parts_one_after_the_other_and_waits_are_pale(orin):
    drawn = pictures(pipeline(orin))[0].svg
    bars = [
        (float(x), float(width), "fill-opacity" in rest)
        for x, width, rest in re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"([^>]*)>', drawn)
    ]
    assert [pale for *_, pale in bars] == [False, True, False]
    for (x, width, _), (following, *_) in itertools.pairwise(bars):
        assert x + width == pytest.approx(following, abs=0.2)
    widths = np.array([width for _, width, _ in bars])
    assert widths / widths.sum() == pytest.approx([1 / 6, 3 / 6, 2 / 6], abs=0.01)


def test_a_sample_far_out_is_drawn(orin):
    drawn = pictures(made(orin, "engine", engine("a")))[-1].svg
    places = [float(x) for x in re.findall(r'<rect x="([\d.]+)"', drawn)]
    assert max(places) > 0.9 * (svg.WIDTH - svg.RIGHT) > 300 > sorted(places)[-2], "nine times the others"


@given(st.floats(1e-6, 1e6), st.floats(1.001, 1e6), st.booleans())
def test_ticks_lie_within_their_scale_and_are_few(least, factor, log):
    scale = svg.across(least, least * factor, log=log)
    ticks = scale.ticks
    assert len(ticks) <= 8
    assert all(svg.LEFT - 1 <= scale(value) <= svg.WIDTH - svg.RIGHT + 1 for value in ticks)
    assert ticks == sorted(ticks)


def test_the_command_writes_both_or_prints(orin, tmp_path):
    write(tmp_path / "a.json", made(orin, "engine", engine("a")))
    run = CliRunner().invoke(bench, ["report", f"{tmp_path}/a.json"])
    assert (run.exit_code, run.output[:10]) == (0, "## engine:")
    files = ["--page", f"{tmp_path}/a.html", "--markdown", f"{tmp_path}/a.md"]
    assert CliRunner().invoke(bench, ["report", f"{tmp_path}/a.json", *files]).exit_code == 0
    assert (tmp_path / "a.md").read_text() == run.output
    Page((tmp_path / "a.html").read_text())


def test_a_file_that_is_no_result_is_named(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    run = CliRunner().invoke(bench, ["report", f"{tmp_path}/a.json"])
    assert "no benchmark's result" in str(run.exception)


def test_what_a_row_tells_besides_is_shown_and_explained(orin):
    told = {"p99 ÷ p50": 1.6, "at most": 1.5, "dropped": 3.0, "occupied locate": 0.82, "occupied sink": 0.1}
    found = pipeline(orin)
    found = replace(found, rows=(replace(found.rows[0], told=told),))
    table = next(table for table in tables(found) if table.title == "Beside the times")
    assert dict(zip(table.columns[1:], table.rows[0][1:], strict=True)) == {
        "occupied": "locate 82%, sink 10%",
        "p99 ÷ p50": "1.6",
        "at most": "1.5",
        "dropped": "3",
    }
    assert set(table.meanings) == set(table.columns[1:])
