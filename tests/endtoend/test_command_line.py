"""What scripts rely on: verbs, ``--help``, ``--json``, exit codes, and what is not imported."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import pytest

from edge_wbc import __version__
from edge_wbc.cli.main import VERBS
from edge_wbc.types import LABELS, Box

OFFLINE = {"torch", "onnx", "tensorrt", "pycuda", "safetensors"}
SLOW = {"cv2", "scipy", "openvino", "onnxruntime", "rich", "pydantic"}


class Fresh(NamedTuple):
    """What a new interpreter did with a piece of code."""

    code: int
    printed: str
    modules: set[str]
    """Every package it holds at the end."""
    threads: list[str]
    """Its threads beside the main one."""


def fresh(code: str, *arguments: str) -> Fresh:
    code = (
        f"import json, sys, threading\ntry:\n    {code}\n"
        "finally:\n"
        "    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]\n"
        "    print(end='\\0' + json.dumps([list(sys.modules), threads]))\n"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    printed, _, rest = done.stdout.rpartition("\0")
    modules, threads = json.loads(rest)
    return Fresh(done.returncode, printed, {name.partition(".")[0] for name in modules}, threads)


def edge_wbc(*arguments: str) -> Fresh:
    return fresh("from edge_wbc.cli.main import main; main(sys.argv[1:])", *arguments)


@pytest.mark.parametrize("verb", list(VERBS))
def test_help_of_every_verb_imports_nothing_offline(verb: str) -> None:
    done = edge_wbc(verb, "--help")
    assert done.code == 0
    assert done.printed.startswith(f"Usage: edge-wbc {verb} ")
    assert not OFFLINE & done.modules


def test_help_lists_every_verb_and_exit_code() -> None:
    done = edge_wbc("--help")
    assert done.code == 0
    listed = done.printed.partition("Verbs:")[2]
    assert [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "][
        : len(VERBS)
    ] == list(VERBS)
    told = " ".join(done.printed.split())
    for words in ("0 done", "2 usage", "3 input refused", "4 hardware", "5 an output failed", "130 interrupted"):
        assert words in told
    assert "Research use only. Not for diagnosis." in told
    assert not (OFFLINE | SLOW) & done.modules


def test_the_package_imports_nothing_heavy() -> None:
    modules = fresh("import edge_wbc, edge_wbc.types, edge_wbc.errors, edge_wbc.cli.main").modules
    assert "edge_wbc" in modules
    assert not (OFFLINE | SLOW) & modules


def test_a_session_leaves_nothing_behind() -> None:
    """A thread that is still inside OpenCV when the interpreter ends would abort the process."""
    done = edge_wbc("run", "smear://?seed=1", "--limit", "1", "--engine", "onnxruntime", "--json")
    assert [name for name in done.threads if name.startswith("edge-wbc")] == []
    assert done.code == 0
    assert "onnxruntime" in done.modules
    assert not OFFLINE & done.modules
    assert "openvino" not in done.modules, "only the engine asked for"


def test_openvino_tells_nobody_that_it_was_started() -> None:
    """Its converter would, in a thread and a forked process of its own."""
    done = edge_wbc("run", "smear://?seed=1", "--limit", "1", "--engine", "openvino", "--json")
    assert done.code == 0
    assert "openvino" in done.modules
    assert "openvino_telemetry" not in done.modules
    assert done.threads == []


def test_openvinos_converter_can_still_be_had() -> None:
    done = fresh("import edge_wbc.engines.openvino, openvino.tools.ovc as ovc; print(callable(ovc.convert_model))")
    assert done.printed == "True\n"


def test_version(edge_wbc_command: Any) -> None:
    done = edge_wbc_command("--version")
    assert (done.code, done.out) == (0, f"edge-wbc, version {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["run"],
        ["run", "smear://", "--limit", "0"],
        ["run", "smear://", "--engine", "tensorflow"],
        ["run", "smear://?sed=1"],
        ["run", "smear://", "--frobnicate"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], edge_wbc_command: Any) -> None:
    done = edge_wbc_command(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err
    assert "Traceback" not in done.err


def assert_summary(summary: dict[str, Any]) -> None:
    assert {"frames", "dropped", "cells", "fps", "stages", "differential"} <= summary.keys()
    assert summary["fps"] > 0
    for stage in ("read", "locate", "crop", "classify"):
        times = summary["stages"][stage]
        assert 0 < times["p50"] <= times["p99"]
        assert times["n"] >= 1
    shares = summary["differential"]["shares"]
    assert list(shares) == list(LABELS)
    counted = sum(share["count"] for share in shares.values()) + summary["differential"]["unidentified"]
    assert counted == summary["cells"]


def test_run_to_json(edge_wbc_command: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = edge_wbc_command("run", "smear://?seed=1&cells=40", "--limit", "5", "--to", f"jsonl:{out}", "--json")
    assert done.code == 0
    assert done.err == ""
    assert len(done.out.splitlines()) == 1
    assert_summary(done.json)
    assert (done.json["frames"], done.json["dropped"], done.json["refused"]) == (5, 0, 0)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["type"] for line in lines} == {"session", "frame", "cell"}
    cells = [line for line in lines if line["type"] == "cell"]
    assert len(cells) == done.json["cells"] > 0
    for cell in cells:
        assert cell["source"] == "smear://?seed=1&cells=40"
        assert {"frame", "time_ns", "score"} <= cell.keys()
        assert len(cell["box"]) == 4
        assert all(isinstance(length, int) and length >= 0 for length in cell["box"])
        assert tuple(cell["probabilities"]) == LABELS
        assert cell["probability"] == max(cell["probabilities"].values())
        assert cell["label"] in (*LABELS, "unidentified")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, draw_field: Any) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name, nuclei in (
        ("0", [Box(200, 100, 60, 60), Box(400, 300, 60, 60)]),
        ("1", []),
        ("2", [Box(300, 200, 60, 60)]),
    ):
        cv2.imwrite(str(folder / f"{name}.png"), draw_field(nuclei))
    return folder


def test_classify_to_json_and_csv(edge_wbc_command: Any, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = edge_wbc_command("classify", images, "--csv", out, "--json")
    assert done.code == 0
    assert done.err == ""
    assert_summary(done.json)
    assert (done.json["frames"], done.json["cells"]) == (3, 3)
    results = done.json["results"]
    assert [(cell["path"], cell["frame"], cell["cell"]) for cell in results] == [
        (f"{images}/0.png", 0, 1),
        (f"{images}/0.png", 0, 2),
        (f"{images}/2.png", 2, 3),
    ]
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["origin"], row["label"]) for row in rows] == [(cell["path"], cell["label"]) for cell in results]


def test_in_cell_mode_every_image_is_one_cell(edge_wbc_command: Any, images: Path) -> None:
    done = edge_wbc_command("classify", images, "--mode", "cell", "--engine", "onnxruntime", "--json")
    assert done.code == 0
    assert [cell["frame"] for cell in done.json["results"]] == [0, 1, 2]


def test_for_people_there_is_a_table(edge_wbc_command: Any, images: Path) -> None:
    done = edge_wbc_command("classify", images / "0.png")
    assert done.code == 0
    assert "Research use only" in done.out
    assert "neutrophil" in done.out
    assert "1 frames (0 dropped, 0 refused), 2 cells" in done.err
