"""The comparison with the loop most people write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from edge_wbc.bench import naive_loop
from edge_wbc.bench.beside_loop import PIPELINE, Run, compare, in_f32, lay_out, plain_graph, run_rounds
from edge_wbc.bench.instrument import simulated_instrument
from edge_wbc.classify import classify, cut
from edge_wbc.engines.base import open_engine
from edge_wbc.manifest import MODELS, load_model
from edge_wbc.sources.base import open_source
from edge_wbc.sources.files import read_image
from edge_wbc.types import Frame
from edge_wbc.vision.locate import locate

pytest.importorskip("onnx", reason="onnx is not installed: the loop's graph can't be made")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    for frame in open_source("smear://?seed=4&cells=10").frames():
        if isinstance(frame, Frame):
            cv2.imwrite(str(folder / f"{frame.index:03d}.png"), frame.pixels)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "plain.onnx"
    plain_graph(load_model(), path)
    return path


def test_every_program_delivers_every_cell_of_every_frame(frames: Path, plain: Path) -> None:
    steps: list[int] = []
    results = run_rounds(frames, load_model(), plain, 1, "openvino", steps.append)
    assert steps == [1, 2, 3, 4, 5]
    assert next(iter(results)) == PIPELINE
    runs = [run for several in results.values() for run in several]
    assert {run.frames for run in runs} == {len(list(frames.iterdir()))}
    assert len({run.cells for run in runs}) == 1
    assert all(run.applied == run.cells > 5 for run in runs)


def test_the_loop_sends_in_order_what_the_pipeline_would_say(frames: Path, plain: Path) -> None:
    simulate = [sys.executable, "-m", "firmware_bridge", "simulate", "--json"]
    with subprocess.Popen(simulate, stdout=subprocess.PIPE, text=True) as instrument:
        assert instrument.stdout is not None
        port = json.loads(instrument.stdout.readline())["port"]
        command = [sys.executable, "-m", "edge_wbc.bench.naive_loop", str(frames), str(plain), port, "1"]
        said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        instrument.terminate()
        lines = [json.loads(line) for line in instrument.stdout.read().splitlines()]
    names = load_model().manifest.labels.names
    applied = [line for line in lines if line["type"] == "applied"]
    assert [line["cell"] for line in applied] == list(range(1, said["cells"] + 1))
    assert [line["label"] for line in applied] == [names[best] for best in said["labels"]]
    engine = open_engine("onnxruntime", load_model())
    images = [read_image(path) for path in sorted(frames.iterdir())]
    crops = cut([(pixels, cell) for pixels in images for cell in locate(pixels)], engine)
    ours = [max(p.probabilities, key=p.probabilities.__getitem__) for p in classify(crops, engine)]
    engine.close()
    same = sum(names[best] == label for best, label in zip(said["labels"], ours, strict=True))
    assert same >= 0.8 * len(ours)  # it cuts and shrinks its crops as people do: a few may differ, not most


def test_the_loop_stays_as_short_as_people_write_it() -> None:
    assert len(Path(naive_loop.__file__).read_text().splitlines()) <= 60


def test_the_loop_runs_the_f32_graph_also_beside_a_pipeline_in_int8(tmp_path: Path) -> None:
    assert in_f32(load_model("leukonet-4-int8")).graph.stem == "leukonet-4"
    assert in_f32(load_model("leukonet")).graph.stem == "leukonet"
    for suffix in (".onnx", ".manifest.json"):
        for path in MODELS.glob(f"leukonet-int8*{suffix}"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    alone = load_model(str(tmp_path / "leukonet-int8.onnx"))
    assert in_f32(alone) == alone, "there is no other"


def test_the_loop_with_our_engine_names_cells_as_the_pipeline_does(frames: Path) -> None:
    with simulated_instrument() as instrument:
        command = [sys.executable, "-m", "edge_wbc.bench.engine_loop", str(frames), "leukonet", instrument.port, "1"]
        done = subprocess.run([*command, "openvino"], capture_output=True, text=True, check=True)
    engine = open_engine("openvino", load_model(), 1)
    images = [read_image(path) for path in sorted(frames.iterdir())]
    crops = cut([(pixels, cell) for pixels in images for cell in locate(pixels)], engine)
    ours = [max(p.probabilities, key=p.probabilities.__getitem__) for p in classify(crops, engine)]
    engine.close()
    names = load_model().manifest.labels.names
    assert [names[best] for best in json.loads(done.stdout)["labels"]] == ours


def test_ratios_are_taken_within_each_round() -> None:
    ours = [Run(100, 10, 1.0, 10), Run(100, 10, 2.0, 10), Run(100, 10, 4.0, 10)]
    loop = [Run(100, 10, 1.5, 10), Run(100, 10, 4.0, 10), Run(100, 10, 10.0, 9)]
    first, second = compare({PIPELINE: ours, "loop": loop})
    assert (first.fps, first.ratio) == (50, None)
    assert second.ratio == pytest.approx(2.0)
    assert second.ratio_range == pytest.approx((1.5, 2.5))
    assert second.applied == 9


def test_frames_are_laid_out_in_turns(frames: Path, tmp_path: Path) -> None:
    given = sorted(frames.iterdir())[:3]
    assert lay_out(given, tmp_path, 2) == 6
    assert [path.resolve().name for path in sorted(tmp_path.iterdir())] == [path.name for path in given] * 2
