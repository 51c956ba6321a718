"""The accuracy–latency front: everything side by side in one run, and what is refused before it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="onnx is not installed: no peer can be written")
pytest.importorskip("matplotlib", reason="matplotlib is not installed: nothing can be drawn")

from edge_wbc.cli.main import cli
from edge_wbc.errors import OutputFailed
from edge_wbc.manifest import Model, manifest_path, read_manifest, sha256, write_manifest
from export.front import (
    REFERENCE,
    Accuracy,
    Front,
    Row,
    accuracy_of,
    median_interval,
    row,
    slower_than_reference,
    take_turns,
)
from export.peers import PEERS
from export.picture import draw_front


def a_row(name: str, ms: float, accuracy: dict[str, Accuracy] | None = None) -> Row:
    ratio = (ms, (0.9 * ms, 1.1 * ms))
    return Row(name, name in PEERS, "fp32", 96, 10, 10, ms, (ms, ms), *ratio, accuracy or {})


def a_front(default_ms: float) -> Front:
    return Front("openvino", "f32", [a_row("leukonet", default_ms), a_row(REFERENCE, 1.0)], [], {})


def test_every_graph_has_one_turn_a_round_and_the_order_turns() -> None:
    asked: list[str] = []
    steps: list[int] = []

    def turn(name: str) -> Callable[[], float]:
        def taken() -> float:
            asked.append(name)
            return float(len(asked))

        return taken

    found = take_turns([turn(name) for name in "abc"], 4, steps.append)
    assert "".join(asked) == "abc" + "bca" + "cab" + "abc"
    assert found == [[1, 6, 8, 10], [2, 4, 9, 11], [3, 5, 7, 12]]
    assert steps == [1, 2, 3, 4]


def test_ratios_are_taken_within_each_round(model: Model) -> None:
    drifting = row("leukonet", model, [1.0, 3.0, 8.0], [4.0, 2.0, 10.0])
    assert (drifting.ms, drifting.ratio) == (3.0, 0.8)
    assert drifting.ratio_interval == (0.25, 1.5)
    assert (drifting.parameters, drifting.macs) == (model.manifest.graph.parameters, model.manifest.graph.macs)


def test_the_interval_of_a_median_narrows_with_rounds() -> None:
    def width(values: list[float]) -> float:
        low, high = median_interval(values)
        assert low <= 5 <= high
        return high - low

    assert width([5.0]) == 0
    assert width([1.0, 5.0, 9.0] * 20) < width([1.0, 5.0, 9.0])


def test_accuracy_comes_from_the_manifest_by_source(model: Model) -> None:
    figures = {"images": 10, "accuracy": 0.9, "balanced_accuracy": 0.8}
    metrics = {"on": "locked", "pbc": figures, "background": figures, "half": {"images": 3}}
    assert accuracy_of(metrics) == {"pbc": Accuracy(10, 0.9, 0.8)}
    assert {"pbc", "kaggle"} <= accuracy_of(model.manifest.metrics).keys()


def test_a_default_model_slower_than_the_reference_is_told() -> None:
    assert slower_than_reference(a_front(0.99)) is None
    said = slower_than_reference(a_front(1.2))
    assert said is not None
    assert "1.20 times" in said
    assert "1.08 to 1.32" in said


@pytest.mark.parametrize(("default_ms", "code"), [(0.9, 0), (1.2, 1)])
def test_the_gate_is_the_exit_code(default_ms: float, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.front.measure", lambda *_: a_front(default_ms))
    assert cli.main(["front", "--json"], standalone_mode=False) == code


def test_a_smoke_run_measures_and_draws_everything(copied: Path, edge_wbc_command: Any, tmp_path: Path) -> None:
    out = tmp_path / "front.svg"
    done = edge_wbc_command("front", "leukonet", copied, "--smoke", "--out", out, "--json")
    assert done.code == 0
    assert {"threads": 1, "batch": 1, "rounds": 1, "precision": "f32", "passed": None}.items() <= done.json.items()
    rows = {found["name"]: found for found in done.json["rows"]}
    assert list(rows) == ["leukonet", str(copied), *PEERS], "the default model once, its copy by its path"
    assert [found["peer"] for found in rows.values()] == [False, False, True, True, True]
    assert rows[REFERENCE]["ratio"] == 1
    assert rows["ResNet-18"]["ms"] > rows[REFERENCE]["ms"] > 0
    assert rows["leukonet"]["accuracy"]["pbc"]["images"] == 547
    assert {name: len(turns) for name, turns in done.json["turns_ms"].items()} == dict.fromkeys(rows, 1)
    drawn = out.read_text(encoding="utf-8")
    assert all(name in drawn for name in ("leukonet", *PEERS, "pbc (n = 547)"))
    for words in (done.json["machine"]["processor"]["model"], "precision hint f32", "1 thread", "1 rounds"):
        assert words in done.err
        assert words in drawn


def test_int8_is_timed_beside_its_fp32_graph_and_the_reference_in_int8(edge_wbc_command: Any) -> None:
    done = edge_wbc_command("front", "leukonet-int8", "--smoke", "--engine", "onnxruntime", "--json")
    assert done.code == 0
    rows = {found["name"]: found for found in done.json["rows"]}
    assert list(rows) == ["leukonet", "leukonet-int8", *PEERS, f"{REFERENCE} int8"]
    assert rows[f"{REFERENCE} int8"]["precision"] == "int8"
    assert rows["leukonet-int8"]["accuracy"]["pbc"]["images"] == 547
    assert [found["other"] for found in done.json["beside"]] == ["leukonet", f"{REFERENCE} int8"]
    turns = done.json["turns_ms"]
    assert done.json["beside"][0]["ratio"] == turns["leukonet-int8"][0] / turns["leukonet"][0]
    assert "leukonet-int8 takes" in done.err


def test_bfloat16_stands_beside_int8_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edge_wbc.engines.openvino.computes_bf16", lambda: True)  # OpenVINO takes the hint anywhere
    cli.main(["front", "leukonet-int8", "--smoke", "--engine", "openvino", "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    (found,) = [row for row in told["rows"] if row["precision"] == "bf16"]
    assert (found["name"], found["accuracy"]) == ("leukonet bf16", {})
    assert "leukonet bf16" in [item["other"] for item in told["beside"]]


def test_people_get_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    measured = replace(
        a_front(0.9), rows=[a_row("leukonet", 0.9, {"pbc": Accuracy(500, 0.9, 0.8)}), a_row(REFERENCE, 1.0)]
    )
    monkeypatch.setattr("export.front.measure", lambda *_: measured)
    cli.main(["front"], standalone_mode=False)
    told = capsys.readouterr().out
    assert "0.81–0.99" in told
    assert "90.0 / 80.0 of 500" in told


def test_sources_of_few_images_are_not_drawn(tmp_path: Path) -> None:
    accuracy = {"pbc": Accuracy(500, 0.9, 0.9), "bccd": Accuracy(24, 1.0, 1.0)}
    out = tmp_path / "front.svg"
    assert draw_front([a_row("small", 0.5, accuracy), a_row(REFERENCE, 1.0)], "", out) == ["bccd"]
    assert "pbc" in out.read_text(encoding="utf-8")
    assert "bccd" not in out.read_text(encoding="utf-8")


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "front.png").mkdir()
    with pytest.raises(OutputFailed, match="choose another place"):
        draw_front([a_row(REFERENCE, 1.0)], "", tmp_path / "front.png")
    assert [path.name for path in tmp_path.iterdir()] == ["front.png"]


def not_a_graph(copied: Path) -> None:
    copied.write_bytes(b"no graph")
    path = manifest_path(copied)
    manifest = read_manifest(path)
    graph = manifest.graph.model_copy(update={"sha256": sha256(copied)})
    write_manifest(path, manifest.model_copy(update={"graph": graph}))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (not_a_graph, "refuses it"),
        (lambda copied: manifest_path(copied).unlink(), "no such manifest"),
        (lambda copied: copied.write_bytes(b"no graph"), "its hash is"),
        (lambda copied: copied.unlink(), "no such graph"),
    ],
)
def test_a_graph_that_cannot_be_used_is_3(spoil: Any, why: str, copied: Path, edge_wbc_command: Any) -> None:
    spoil(copied)
    done = edge_wbc_command("front", copied, "--smoke")
    assert (done.code, done.out, len(done.said())) == (3, "", 1)
    assert why in done.said()[0]


@pytest.mark.parametrize("out", ["missing/front.svg", "front.bmp", "front"])
def test_a_picture_with_no_place_is_refused_before_anything_else(
    out: str, edge_wbc_command: Any, tmp_path: Path
) -> None:
    done = edge_wbc_command("front", "missing.onnx", "--out", tmp_path / out)
    assert (done.code, done.out, len(done.said())) == (2, "", 1)
    assert "--out" in done.said()[0]


def test_an_unwritable_folder_is_refused_before_anything_else(edge_wbc_command: Any) -> None:
    assert edge_wbc_command("front", "missing.onnx", "--out", "/proc/front.svg").code == 2


def test_what_a_wrong_engine_says(edge_wbc_command: Any) -> None:
    assert edge_wbc_command("front", "--smoke", "--engine", "none").code == 2
