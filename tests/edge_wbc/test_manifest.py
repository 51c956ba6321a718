"""A graph is used only if its manifest is whole and fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_wbc.errors import ModelError
from edge_wbc.manifest import Model, load_model, manifest_path, read_manifest, shipped, write_manifest
from tests.data import edit_manifest


def test_the_shipped_model_fits_its_manifest(model: Model) -> None:
    assert "leukonet" in shipped()
    assert load_model("leukonet") == model
    assert set(model.manifest.labels.counted) <= set(model.manifest.labels.names)
    assert model.name.startswith("leukonet ")


def test_a_copy_loads_by_path(copied: Path, model: Model) -> None:
    assert load_model(copied).manifest == model.manifest
    assert load_model(str(copied)).graph == copied


def test_what_is_written_is_read_again(model: Model, tmp_path: Path) -> None:
    write_manifest(tmp_path / "a.manifest.json", model.manifest)
    assert read_manifest(tmp_path / "a.manifest.json") == model.manifest
    assert [path.name for path in tmp_path.iterdir()] == ["a.manifest.json"], "nothing half written is left"


def test_groups_of_later_versions_are_kept(copied: Path, tmp_path: Path) -> None:
    path = edit_manifest(copied, lambda content: content.update(stain={"kind": "giemsa"}))
    write_manifest(tmp_path / "again.manifest.json", read_manifest(path))
    assert json.loads((tmp_path / "again.manifest.json").read_text())["stain"] == {"kind": "giemsa"}


def test_a_changed_graph_is_refused(copied: Path) -> None:
    data = bytearray(copied.read_bytes())
    data[len(data) // 2] ^= 1
    copied.write_bytes(data)
    with pytest.raises(ModelError, match=r"its hash is [0-9a-f]{12}….*export the graph again"):
        load_model(copied)


def test_a_manifest_of_another_graph_is_refused(copied: Path) -> None:
    other = copied.rename(copied.with_name("other.onnx"))
    manifest_path(copied).rename(manifest_path(other))
    with pytest.raises(ModelError, match=r"describes leukonet\.onnx, not other\.onnx"):
        load_model(other)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda content: content.update(schema_version=2), "schema 2, this edge-wbc reads 1"),
        (lambda content: content.pop("schema_version"), "schema None"),
        (lambda content: content.pop("labels"), "labels: field required"),
        (lambda content: content["graph"].pop("sha256"), r"graph\.sha256: field required"),
        (lambda content: content["labels"].update(counted=["neutrophil", "blast"]), "counts blast, which is no label"),
        (lambda content: content["labels"].update(names=["neutrophil"] * 2, counted=[]), "a label stands there twice"),
        (lambda content: content["labels"].update(unidentified_below=1.5), r"labels\.unidentified_below"),
        (lambda content: content["labels"].update(unidentified_below=float("nan")), r"labels\.unidentified_below"),
        (lambda content: content["input"].update(margin=0), r"input\.margin"),
        (lambda content: content["input"].update(size_px=0), r"input\.size_px"),
        (lambda content: content["input"].update(colour_order="RGB"), r"input\.colour_order"),
    ],
)
def test_a_manifest_that_says_nonsense_is_refused(copied: Path, change: Any, says: str) -> None:
    path = edit_manifest(copied, change)
    with pytest.raises(ModelError, match=says) as caught:
        load_model(copied)
    assert str(path) in str(caught.value)
    assert "export the graph again" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "not json", "[]", "null", "[" * 100_000, '{"schema_version": '])
def test_a_manifest_that_is_none_is_refused(copied: Path, text: str) -> None:
    manifest_path(copied).write_text(text)
    with pytest.raises(ModelError, match="export the graph again"):
        load_model(copied)


def test_a_binary_manifest_is_refused(copied: Path) -> None:
    manifest_path(copied).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="not JSON"):
        load_model(copied)


def test_a_graph_without_manifest_is_refused(copied: Path) -> None:
    manifest_path(copied).unlink()
    with pytest.raises(ModelError, match="no such manifest"):
        load_model(copied)


@pytest.mark.parametrize("name", ["nowhere/x.onnx", "leuconet", "", "a" * 300 + ".onnx", "a\0b.onnx"])
def test_a_model_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="leukonet"):
        load_model(name)
