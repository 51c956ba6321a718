"""Sessions recorded, reviewed, signed, taught, trained on, and the network tried on slides that were held out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: nothing can be trained")

from edge_wbc.classify import classify  # noqa: E402
from edge_wbc.cli.main import main  # noqa: E402
from edge_wbc.engines.base import Engine, open_engine  # noqa: E402
from edge_wbc.errors import SourceError  # noqa: E402
from edge_wbc.manifest import load_model  # noqa: E402
from edge_wbc.review.lessons import lessons, read_list  # noqa: E402
from edge_wbc.review.review import Review  # noqa: E402
from edge_wbc.review.teach import teach  # noqa: E402
from edge_wbc.sessions.archive import crops as recorded_crops  # noqa: E402
from edge_wbc.types import Prediction  # noqa: E402
from tests.conftest import Done  # noqa: E402
from tests.reviewed import reviewed  # noqa: E402
from training import evaluate, run_train, weights  # noqa: E402
from training.augment import centre  # noqa: E402
from training.crops import both_crops, run_time_crops, stored_crops  # noqa: E402
from training.datasets import Sample, read_all, read_taught  # noqa: E402
from training.prepare import join_same_images, read_folder  # noqa: E402
from training.tune import hold_out, hold_out_slides, open_start  # noqa: E402

SLIDES = [f"smear://?seed={seed}&cells=40&stain=magenta&faults=stain,vignette" for seed in (1, 2, 3)]


class Lab(NamedTuple):
    place: Path
    reviews: list[Review]
    cells: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Three slides, recorded for real, each cell moved to where it belongs, signed, and taught to one folder."""
    place, cells = tmp_path_factory.mktemp("sessions"), tmp_path_factory.mktemp("taught") / "mine"
    reviews = list(reviewed(place, SLIDES))
    teach([lessons(review) for review in reviews], cells)
    return Lab(place, reviews, cells)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for one another take ten times as long on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs ``edge-wbc ARGUMENTS…`` in this process."""

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments)])
        said = capsys.readouterr()
        return Done(int(str(ended.value.code)), said.out, said.err)

    return run


def of_sessions(lab: Lab) -> dict[tuple[str, int], np.ndarray]:
    """Every recorded crop, by session and cell, from the sessions themselves."""
    return {
        (review.folder.name, number): pixels
        for review in lab.reviews
        for number, pixels in recorded_crops(review.recorded.head)
    }


def keys(samples: list[Sample]) -> list[tuple[str, int]]:
    return [(name, int(number)) for name, number in (sample.path.stem.rsplit("_", 1) for sample in samples)]


def test_training_and_evaluation_see_the_recorded_crops_bit_for_bit(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = read_all(lab.cells)
    expected = np.stack([of_sessions(lab)[key] for key in keys(samples)])
    assert len(samples) == 120

    def nothing(done: int) -> None: ...

    stored = stored_crops(samples, nothing)
    assert stored.shape == (120, 96, 96, 3)
    seen = centre(torch.from_numpy(stored), 64).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(seen, expected)
    np.testing.assert_array_equal(run_time_crops(samples, nothing), expected)
    stored_too, seen_too, located = both_crops(samples, nothing)
    np.testing.assert_array_equal(stored_too, stored)
    np.testing.assert_array_equal(seen_too, expected)
    assert located.all()

    given: list[np.ndarray] = []

    def watched(crops: np.ndarray, engine: Engine) -> list[Prediction]:
        given.extend(crops)
        return classify(crops, engine)

    monkeypatch.setattr(evaluate, "classify", watched)
    engine = open_engine("openvino", load_model(), 1)
    try:
        for mode in ("cell", "field"):
            given.clear()
            evaluate.score(samples, engine, mode, nothing)
            np.testing.assert_array_equal(np.stack(given), expected)
    finally:
        engine.close()


def test_the_old_networks_held_out_figure_is_what_it_said_at_the_microscope(
    lab: Lab, command: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}
    real = run_train.right

    def right(network, labels, crops, samples):  # type: ignore[no-untyped-def]
        seen.update(samples=samples, crops=crops)
        return real(network, labels, crops, samples)

    monkeypatch.setattr(run_train, "right", right)
    out = tmp_path / "mine.safetensors"
    done = command("train", "--data", lab.cells, "--from", "leukonet", "--smoke", "--out", out, "--json")
    assert done.code in (0, 1)
    held = done.json["held_out"]
    assert done.json["held_out_cells"] == "held out: 1 of 3 slides, with all of their 40 cells"
    samples = seen["samples"]
    assert isinstance(samples, list)
    (session,) = {name for name, _ in keys(samples)}
    assert held["cells"] == len(samples) == 40
    assert sum(done.json["images"].values()) == 80

    shown = centre(torch.from_numpy(np.asarray(seen["crops"])), 64).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(shown, np.stack([of_sessions(lab)[key] for key in keys(samples)]))
    (review,) = [one for one in lab.reviews if one.folder.name == session]
    said = {
        number: max(one.prediction.probabilities, key=one.prediction.probabilities.__getitem__)
        for number, one in review.cells.items()
    }
    agreed = sum(said[number] == review.class_of(number) for number in review.cells)
    assert sum(held["right_before"].values()) == held["overall"]["right_before"] == agreed
    assert held["by"] == "field"
    assert held["verdict"] in ("better", "not distinguishable", "worse")
    assert json.loads(json.dumps(weights.load(out)[2]["held_out"])) == held


def damaged(tmp_path: Path) -> Path:
    """leukonet, but that it hardly ever says neutrophil."""
    start = open_start("leukonet")
    with torch.no_grad():
        start.network.head.bias[start.labels.index("neutrophil")] -= 4
    path = tmp_path / "damaged.safetensors"
    weights.save(path, start.network, start.labels, {})
    return path


def test_a_network_that_learns_from_reviewed_cells_is_told_better_and_one_that_forgets_worse(
    lab: Lab, command: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new.safetensors"
    start = damaged(tmp_path)
    done = command("train", "--data", lab.cells, "--from", start, "--smoke", "--steps", 40, "--out", out, "--json")
    assert done.code == 0, done.err
    held = done.json["held_out"]
    assert held["verdict"] == "better"
    assert held["right_after"]["neutrophil"] > held["right_before"]["neutrophil"]
    assert "better than damaged" in done.err
    assert f"next: edge-wbc export {out}" in done.err

    broken, labels, _ = weights.load(start)
    monkeypatch.setattr(run_train, "fit", lambda *given, **more: (broken, labels))
    done = command("train", "--data", lab.cells, "--from", "leukonet", "--out", out, "--json")
    assert done.code == 1
    assert done.json["held_out"]["verdict"] == "worse"
    assert "next: keep leukonet" in done.err
    assert out.is_file()


def sample(slide: str, field: int, label: str) -> Sample:
    return Sample(Path("x.png"), label, "t", f"t/{slide}/{field}", None, True, f"t/{slide}")


def test_whole_slides_are_held_out_a_fifth_of_the_cells_whatever_the_order() -> None:
    samples = [sample(f"s{i % 10}", i // 20, ("neutrophil", "monocyte")[i % 3 == 0]) for i in range(400)]
    held = hold_out_slides(samples)
    assert held is not None
    out = {one.slide for one, is_out in zip(samples, held, strict=True) if is_out}
    assert len(out) == 2
    assert not out & {one.slide for one, is_out in zip(samples, held, strict=True) if not is_out}
    back = hold_out_slides(samples[::-1])
    assert back is not None
    assert back[::-1] == held


def test_a_slide_with_most_of_a_class_trains_and_where_no_slide_can_be_spared_fields_are_held_out() -> None:
    for rare in range(4):
        samples = [sample(f"s{i % 4}", i, "neutrophil") for i in range(80)]
        samples += [sample(f"s{rare}", 100 + i, "basophil") for i in range(3)]
        held = hold_out_slides(samples)
        assert held is not None
        assert f"t/s{rare}" not in {one.slide for one, out in zip(samples, held, strict=True) if out}
    for many in (0, 60):  # one slide; two with most of a class on each
        samples = [sample("s0", i // 4, ("neutrophil", "monocyte")[i % 4 > 1]) for i in range(80)]
        samples += [sample("s1", i // 4, ("neutrophil", "monocyte")[i % 20 > 0]) for i in range(many)]
        samples += [sample("s0", i // 4, "neutrophil") for i in range(many)]
        assert hold_out_slides(samples) is None
        held = hold_out(samples)
        assert any(held)
        assert len({one.group for one in samples}) == len(
            {(one.group, out) for one, out in zip(samples, held, strict=True)}
        )
    assert hold_out_slides([Sample(Path("x.png"), "neutrophil", "t", "t/1", None)]) is None


def test_a_slide_recorded_twice_is_never_parted(lab: Lab, tmp_path: Path) -> None:
    place = tmp_path / "again"
    (one,) = reviewed(place, SLIDES[:1])
    teach([lessons(review) for review in (*lab.reviews, one)], tmp_path / "cells")
    cells = join_same_images(read_folder(tmp_path / "cells", "leukonet", lambda line: None))
    slides = {name: {s.slide for s in cells.samples if s.path.name.startswith(name)} for name, _ in keys(cells.samples)}
    assert len(slides) == 4
    assert slides[one.folder.name] == slides[lab.reviews[0].folder.name]


@pytest.fixture
def mine(lab: Lab, tmp_path: Path) -> Path:
    """A folder of a test's own."""
    teach([lessons(lab.reviews[0])], tmp_path / "mine")
    return tmp_path / "mine"


def test_a_folder_that_does_not_fit_its_list_is_refused(mine: Path) -> None:
    path = mine / read_list(mine)[0].file
    moved = path.with_name("renamed.png")
    path.rename(moved)
    with pytest.raises(SourceError, match=r"listed in groups\.csv and not there, with 0 more; teach its session again"):
        read_taught(mine)
    (mine / "groups.csv").write_bytes(b"".join((mine / "groups.csv").read_bytes().splitlines(keepends=True)[:1]))
    with pytest.raises(SourceError, match=r"not listed in groups\.csv, with 39 more; change classes in the review"):
        read_taught(mine)
    for image in mine.rglob("*.png"):
        image.unlink()
    with pytest.raises(SourceError, match="no cell was taught to it"):
        read_taught(mine)


def test_crops_of_another_network_are_refused(mine: Path, command: Callable[..., Done], tmp_path: Path) -> None:
    out = ("--out", tmp_path / "w.safetensors")
    done = command("train", "--data", mine, "--from", "leukonet-4", *out)
    assert done.code in (2, 3)
    path = mine / read_list(mine)[5].file
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (96, 96)))
    done = command("train", "--data", mine, "--from", "leukonet", *out)
    assert (done.code, done.out) == (2, "")
    assert f"{path}: a crop of 96×96, this network sees 64×64 pixels" in done.said()[-1]
    listed = (mine / "groups.csv").read_text()
    (mine / "groups.csv").write_text(listed.replace(",64,1.5,", ",64,2.0,"))
    done = command("train", "--data", mine, "--from", "leukonet", *out)
    assert (done.code, done.out) == (3, "")
    assert "crops are 2 times as wide as the cell" in done.said()[-1]
    assert not list(tmp_path.glob("w.*"))


def test_taught_cells_are_not_packed_and_a_graph_is_exported_from_what_they_taught(
    mine: Path, command: Callable[..., Done], tmp_path: Path
) -> None:
    done = command("train", "--data", mine, "--pack", tmp_path / "p")
    assert (done.code, done.out) == (2, "")
    assert "taught cells are not packed" in done.said()[-1]
    out = tmp_path / "w.safetensors"
    done = command("train", "--data", mine, "--from", "leukonet", "--smoke", "--steps", 1, "--out", out)
    assert "a fifth of the fields of each class; no slide of 1 can be spared whole" in done.err
    assert command("export", out).code == 0
    assert load_model(tmp_path / "w.onnx").manifest.training["held_out"]["by"] == "field"
