"""The verb ``train`` as a person types it: what it writes, how it goes on, and what it refuses in one line."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: nothing can be trained")

from edge_wbc.cli.main import main  # noqa: E402
from tests.conftest import ROOT, Done  # noqa: E402
from tests.data import class_folders, drawn_cell  # noqa: E402
from training import datasets, prepare, weights  # noqa: E402
from training.datasets import CLASSES  # noqa: E402

PAPERS = ("EOSINOPHIL", "LYMPHOCYTE", "MONOCYTE", "NEUTROPHIL")


@pytest.fixture
def train(capsys):
    """Runs ``edge-wbc train ARGUMENTS…`` in this process."""

    def run(*arguments) -> Done:
        with pytest.raises(SystemExit) as ended:
            main(["train", *map(str, arguments)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Done(ended.value.code, said.out, said.err)

    return run


@pytest.fixture
def cells(tmp_path):
    return class_folders(tmp_path / "cells", ("neutrophil", "lymphocyte", "monocyte"), 6)


def papers_images(root, each=4):
    """A folder laid out as for training: kaggle/TRAIN, two images a photograph, and pbc."""
    class_folders(root / "kaggle" / "TRAIN", PAPERS, each)
    class_folders(root / "pbc", ("neutrophil", "basophil"), each)
    for i, path in enumerate(sorted((root / "pbc").rglob("*.png"))):
        cv2.imwrite(str(path), drawn_cell(5000 + i))
    with (root / "kaggle_train_originals.csv").open("w") as file:
        table = csv.writer(file)
        table.writerow(("class", "file", "original", "group"))
        for i, label in enumerate(PAPERS):
            table.writerows((label, f"{j}.png", 9000 + 10 * i + j // 2, 9000 + 10 * i + j // 2) for j in range(each))
    return root


def refused(done, code, *texts):
    """It ended with one line that holds the texts."""
    assert done.code == code, done.err
    assert done.out == ""
    (line,) = done.said()
    for text in texts:
        assert str(text) in line
    assert done.err.splitlines()[-1] == line


def limited(command, blocks=None):
    """A process; with ``blocks``, no file of it may grow beyond so many times 512 bytes."""
    words = [sys.executable, "-m", "edge_wbc", "train", *map(str, command)]
    if blocks:
        words = ["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process) -> Done:
    out, err = process.communicate(timeout=300)  # a busy machine takes its time
    assert "Traceback" not in err
    return Done(process.returncode, out, err)


def rows(log):
    return list(csv.DictReader(log.read_text().splitlines()))


def interrupted(command, log, number=signal.SIGINT):
    """A process that gets a signal when its log has two rows more than before."""
    enough = 2 + (len(rows(log)) if log.exists() else 0)
    process = limited(command)
    while process.poll() is None and not (log.exists() and len(rows(log)) >= enough):
        time.sleep(0.02)
    process.send_signal(number)
    return ended(process)


def test_ctrl_c_and_on_again_end_with_the_weights_of_an_uninterrupted_run(cells, tmp_path):
    settings = ("--data", cells, "--steps", 240, "--smoke", "--out")
    out = tmp_path / "w.safetensors"
    first = interrupted((*settings, out), out.with_suffix(".csv"))
    assert first.code == 130
    (line,) = first.said()
    assert "interrupted; start the same command again: it goes on from step " in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells", "w.checkpoint", "w.csv"]

    kept = (tmp_path / "w.checkpoint").read_bytes()
    other = ended(limited(("--data", cells, "--steps", 241, "--smoke", "--out", out)))
    refused(other, 2, "w.checkpoint", "steps 240, now 241", "delete it to start afresh")
    full = ended(limited((*settings, out), blocks=4000))  # weights fit, a checkpoint doesn't
    assert full.code == 5
    assert full.said() == [full.err.splitlines()[-1]]
    assert "file too large; make room, then start the same command again: it goes on from step" in full.said()[0]
    assert (tmp_path / "w.checkpoint").read_bytes() == kept

    second = interrupted((*settings, out), out.with_suffix(".csv"), signal.SIGTERM)
    assert second.code == 130
    last = ended(limited((*settings, out)))
    assert last.code == 0
    assert "going on from step" in last.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells", "w.csv", "w.safetensors"]
    assert [int(row["step"]) for row in rows(tmp_path / "w.csv")] == list(range(10, 241, 10))

    whole = tmp_path / "whole.safetensors"
    assert ended(limited((*settings, whole))).code == 0
    (one, _, _), (two, _, _) = weights.load(out), weights.load(whole)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name


def test_the_weights_say_how_to_repeat_the_run(train, cells, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = train(
        "--data",
        cells,
        "--steps",
        2,
        "--smoke",
        "--seed",
        5,
        "--size",
        64,
        "--widths",
        "32,32,64",
        "--blocks",
        "1,1,2",
        "--json",
    )
    assert done.code == 0
    network, labels, record = weights.load(tmp_path / "leukonet.safetensors")
    assert labels == ("neutrophil", "lymphocyte", "monocyte")
    assert (network.architecture.size, network.architecture.widths) == (64, (32, 32, 64))
    assert network.architecture.blocks == (1, 1, 2)
    assert record == json.loads(json.dumps({key: done.json[key] for key in record}))
    assert record["recipe"]["seed"] == 5
    assert record["images"] == {"cells/lymphocyte": 6, "cells/monocyte": 6, "cells/neutrophil": 6}
    assert record["torch"] == torch.__version__
    assert record["threads"] == torch.get_num_threads()
    assert len(record["cells_sha256"]) == len(record["images_sha256"]) == 64
    assert record["command"] == (
        "edge-wbc train --data DATA --size 64 --widths 32,32,64 --blocks 1,1,2 --steps 2 --seed 5 --smoke "
        "--out leukonet.safetensors"
    )
    again = record["command"].replace("DATA", str(cells)).replace("leukonet.saf", "again.saf").split()[2:]
    assert train(*again).code == 0
    repeated = weights.load(tmp_path / "again.safetensors")[0].state_dict()
    assert all(torch.equal(tensor, repeated[name]) for name, tensor in network.state_dict().items())
    shutil.copy(cells / "monocyte" / "0.png", cells / "neutrophil" / "new.png")
    (cells / "monocyte" / "0.png").unlink()
    assert train("--data", cells, "--steps", 1, "--smoke", "--json").json["cells_sha256"] != record["cells_sha256"]


def test_leukonet_4_is_trained_on_the_papers_images_alone(train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = papers_images(tmp_path / "data")
    monkeypatch.setattr(prepare, "locked_groups", lambda: frozenset({"bccd/9000"}))
    done = train("--data", data, "--model", "leukonet-4", "--steps", 1, "--smoke", "--json")
    assert done.json["labels"] == ["neutrophil", "eosinophil", "lymphocyte", "monocyte"]
    assert done.json["images"] == {f"kaggle/{name.lower()}": 4 - 2 * (name == "EOSINOPHIL") for name in PAPERS}
    assert done.json["locked_images"] == 2
    assert weights.load(tmp_path / "leukonet-4.safetensors")[1] == tuple(done.json["labels"])
    assert "--model leukonet-4" in done.json["command"]

    everything = train("--data", data, "--steps", 1, "--smoke", "--json").json
    assert {"basophil", "not_a_cell"} <= set(everything["labels"])

    for name in ("leukonet-4", "leukonet"):
        packed = train("--data", data, "--model", name, "--pack", f"{name}.pack")
        assert packed.code == 0
        assert "2 of them in locked groups" in packed.err
    monkeypatch.setattr(prepare, "locked_groups", frozenset)
    for name, before in (("leukonet-4", done.json), ("leukonet", everything)):
        after = train("--data", f"{name}.pack", "--model", name, "--steps", 1, "--smoke", "--json").json
        assert after["images"] == before["images"]
        assert after["cells_sha256"] == before["cells_sha256"]
        assert after["locked_images"] == 2


def test_training_from_a_lossless_pack_is_training_from_the_folder(train, cells, tmp_path):
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    assert train("--data", cells, "--steps", 2, "--smoke", "--out", one).code == 0
    assert train("--data", cells, "--pack", tmp_path / "p.pack").code == 0
    assert train("--data", tmp_path / "p.pack", "--steps", 2, "--smoke", "--out", two).code == 0
    folder, pack = weights.load(one)[0].state_dict(), weights.load(two)[0].state_dict()
    assert all(torch.equal(tensor, pack[name]) for name, tensor in folder.items())


def test_going_on_from_a_shipped_model_tells_whether_it_helped(train, cells, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (cells / "basophil").mkdir()
    done = train("--data", cells, "--from", "leukonet", "--steps", 2, "--json")
    assert done.code == 0
    (warning, *_) = done.said()
    assert "no cells of eosinophil, basophil, immature granulocyte, erythroblast, platelet, not_a_cell" in warning
    assert "3 cells held out: " in done.err
    assert done.json["held_out"]["cells"] == 3
    assert set(done.json["held_out"]["right_after"]) == {"neutrophil", "lymphocyte", "monocyte"}
    assert done.json["start"]["name"] == "leukonet"
    _, labels, record = weights.load(tmp_path / "leukonet-tuned.safetensors")
    assert labels == (*CLASSES, "not_a_cell")
    assert record["held_out"] == done.json["held_out"]
    assert sum(record["images"].values()) == 15


def spoil(what):
    """Class folders with one thing wrong, and what is said of it."""

    def unreadable(cells):
        (cells / "monocyte" / "2.png").write_bytes(b"junk")
        (cells / "neutrophil" / "1.png").write_bytes(b"")
        return 3, (cells / "monocyte" / "2.png", "not an image", "1 more can't be read", cells / "neutrophil" / "1.png")

    def mislabelled(cells):
        shutil.copy(cells / "monocyte" / "2.png", cells / "neutrophil" / "9.png")
        return 3, (cells / "monocyte" / "2.png", cells / "neutrophil" / "9.png", "one image under two labels")

    def one_class(cells):
        shutil.rmtree(cells / "monocyte")
        shutil.rmtree(cells / "neutrophil")
        return 3, ("only lymphocyte cells to train on", "at least two classes")

    def no_class(cells):
        for number, folder in enumerate(sorted(cells.iterdir())):
            folder.rename(cells / f"kind {number}")
        return 3, ("no image in a folder named after a class",)

    def nothing(cells):
        shutil.rmtree(cells)
        return 3, (cells, "is not a folder")

    def a_text_file(cells):
        shutil.rmtree(cells)
        cells.write_text("cells")
        return 3, (cells, "neither a folder nor a training pack", "--pack")

    return locals()[what]


@pytest.mark.parametrize("what", ["unreadable", "mislabelled", "one_class", "nothing", "a_text_file"])
def test_bad_cells_are_refused_in_one_line(train, cells, tmp_path, what):
    code, texts = spoil(what)(cells)
    refused(train("--data", cells, "--smoke", "--out", tmp_path / "w.safetensors"), code, *texts)
    assert not list(tmp_path.glob("w.*"))


def test_class_folders_without_a_class_or_an_image_are_named(train, cells, tmp_path):
    class_folders(cells, ("blasts",), 2)
    (cells / "eosinophil").mkdir()
    done = train("--data", cells, "--smoke", "--steps", 1, "--out", tmp_path / "w.safetensors")
    assert done.code == 0
    unknown, empty = done.said()
    assert f"{cells / 'blasts'}: passed over" in unknown
    assert f"{cells / 'eosinophil'}: no image in it" in empty
    code, texts = spoil("no_class")(cells)
    shutil.rmtree(cells / "kind 2")
    last = train("--data", cells, "--smoke", "--out", tmp_path / "w.safetensors")
    assert last.code == code
    assert texts[0] in last.said()[-1]


def test_one_photograph_on_both_sides_of_the_split_is_refused(train, tmp_path, monkeypatch):
    data = papers_images(tmp_path / "data")
    monkeypatch.setattr(prepare, "locked_groups", lambda: frozenset({"pbc/0"}))
    folder = data / "pbc" / "neutrophil"
    shutil.copy(folder / "0.png", folder / "copy.png")
    for command in (("--pack", tmp_path / "p"), ("--out", tmp_path / "w.safetensors")):
        done = train("--data", data, *command)
        refused(done, 3, folder / "0.png", folder / "copy.png", "that is a leak")


def test_lists_that_are_broken_are_refused_in_one_line(train, tmp_path):
    data = papers_images(tmp_path / "data")
    out = tmp_path / "w.safetensors"
    (data / "chula").mkdir()
    (data / "chula" / "boxes.csv").write_text("image,slide\na.png,1\n")
    refused(train("--data", data, "--out", out), 3, data, "no column 'label'")
    (data / "chula" / "boxes.csv").write_text("image,slide,xmin,ymin,xmax,ymax,label\na.png,1,1,2,3,x,monocyte\n")
    refused(train("--data", data, "--out", out), 3, data, "could not convert")
    (data / "chula" / "boxes.csv").write_text("image,slide,xmin,ymin,xmax,ymax,label\na.png,1,1,2,3,4,monocyte\n")
    refused(train("--data", data, "--out", out), 3, data / "chula" / "images" / "a.png", "no such file")
    (data / "kaggle_train_originals.csv").unlink()
    refused(train("--data", data, "--out", out), 3, "kaggle_train_originals.csv", "no such file")


@pytest.mark.parametrize(
    ("arguments", "code", "texts"),
    [
        (("--widths", "64,96,100"), 2, ("INT8 tensor cores", "multiples of 32")),
        (("--widths", "64,96"), 2, ("not 3 numbers", "64,96,128")),
        (("--widths", "wide"), 2, ("not 3 numbers", "64,96,128")),
        (("--blocks", "1,0,2"), 2, ("not 3 numbers", "1,2,2")),
        (("--from", "resnet"), 2, ("neither a shipped model (leukonet", "nor a weights file")),
        (("--from", "leukonet", "--model", "leukonet-4"), 2, ("leave --model",)),
        (("--from", "leukonet", "--size", "64"), 2, ("leave --model, --size",)),
        (("--pack", "p", "--steps", "3"), 2, ("--pack writes the data alone",)),
        (("--model", "leukonet-4"), 3, ("no folder kaggle/TRAIN",)),
        (("--out", "w.pt"), 2, ("w.safetensors",)),
        (("--out", "none/w.safetensors"), 2, ("the folder none does not exist",)),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(train, cells, tmp_path, monkeypatch, arguments, code, texts):
    monkeypatch.chdir(tmp_path)
    refused(train("--data", cells, *arguments), code, *texts)
    assert [path.name for path in tmp_path.iterdir()] == ["cells"]


def test_a_class_unknown_to_the_model_is_refused_and_a_pack_is_not_packed_again(train, cells, tmp_path):
    class_folders(cells, ("blasts",), 2)
    done = train("--data", cells, "--from", "leukonet", "--out", tmp_path / "w.safetensors")
    refused(done, 3, cells / "blasts", "no class of leukonet", "it knows neutrophil, eosinophil")
    shutil.rmtree(cells / "blasts")
    assert train("--data", cells, "--pack", tmp_path / "p").code == 0
    refused(train("--data", tmp_path / "p", "--pack", tmp_path / "q"), 2, "is a pack already")
    refused(train("--data", tmp_path / "p", "--size", 96), 2, "64×64", "this one sees 96×96", "--size 96")
    (tmp_path / "p").write_bytes((tmp_path / "p").read_bytes()[:-99])
    refused(train("--data", tmp_path / "p", "--out", tmp_path / "w.safetensors"), 3, "pack")


def test_a_file_of_ones_own_is_not_overwritten_by_the_log(train, cells, tmp_path):
    (tmp_path / "w.csv").write_text("name,age\n")
    refused(train("--data", cells, "--out", tmp_path / "w.safetensors"), 2, "w.csv", "not a training log")
    assert (tmp_path / "w.csv").read_text() == "name,age\n"


def test_the_shipped_weights_come_with_the_package():
    shipped = [path.name for path in Path(datasets.__file__).parent.glob("*.safetensors")]
    assert "leukonet.safetensors" in shipped
    assert '"*.safetensors"' in (ROOT / "pyproject.toml").read_text()


def test_an_interruption_before_the_first_step_leaves_nothing_and_says_how_to_go_on(
    train, cells, tmp_path, monkeypatch
):
    def ctrl_c(*arguments):
        raise KeyboardInterrupt

    for place in ("read_negatives", "stored_crops"):
        with monkeypatch.context() as patched:
            patched.setattr(prepare, place, ctrl_c)
            for command in (("--out", tmp_path / "w.safetensors"), ("--pack", tmp_path / "p")):
                refused(train("--data", cells, *command), 130, "interrupted; start the same command again")
    assert [path.name for path in tmp_path.iterdir()] == ["cells"]
