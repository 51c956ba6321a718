"""Which engine files are loaded, and which are refused before TensorRT sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_wbc.engines.engine_file import RECIPE, EngineGroup, Machine, Place, l4t, place_of, read_engine
from edge_wbc.errors import ModelError
from edge_wbc.manifest import SCHEMA, Model, write_manifest
from tests.on_the_double import tensorrt_here

ORIN = Machine("10.3.0", "12.6", "12.6", "36.4.3", "Orin", "8.7")
THOR = Machine("10.13.3", "13.0", "13.0", "38.2.0", "Thor", "11.0")
PLAN = bytes(range(256)) * 16


@pytest.fixture
def place(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An engine that fits, with a manifest that fits."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = place_of(model, ORIN)
    place.engine.parent.mkdir(parents=True)
    place.engine.write_bytes(PLAN)
    group = EngineGroup(
        file=place.engine.name,
        sha256=hashlib.sha256(PLAN).hexdigest(),
        recipe=RECIPE,
        edge_wbc="0.3.0",
        built="2026-01-01T00:00:00+00:00",
        graph_sha256=model.manifest.graph.sha256,
        precision="fp32",
        strongly_typed=False,
        tensorrt=ORIN.tensorrt,
        cuda=ORIN.cuda,
        driver=ORIN.driver,
        l4t=ORIN.l4t,
        gpu=ORIN.gpu,
        compute_capability=ORIN.capability,
        dla=None,
        batches=(1, 4, 8),
        workspace_bytes=1 << 28,
        build_seconds=61.5,
        layers={"fp32": 30},
        unfused=(),
    )
    write_manifest(place.manifest, model.manifest.model_copy(update={"engine": group.model_dump(mode="json")}))
    return place


def test_one_that_fits_is_read(place: Place) -> None:
    assert place.exists()
    content, group = read_engine(place)
    assert content == PLAN
    assert group.machine == ORIN


def test_its_name_says_what_it_is_of(place: Place, model: Model) -> None:
    for part in ("leukonet", model.manifest.graph.sha256[:12], "fp32", "trt10.3.0", "sm87", "orin", "b1-4-8"):
        assert part in place.engine.name
    others = [
        place_of(model, replace(ORIN, tensorrt="10.16.2")),
        place_of(model, replace(ORIN, gpu="Orin NX")),
        place_of(model, replace(ORIN, capability="8.6")),
        place_of(model, ORIN, 0),
        place_of(model, ORIN, 1),
    ]
    assert len({other.engine for other in (*others, place)}) == len(others) + 1


def edit(place: Place, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(place.manifest.read_text())
    change(content)
    place.manifest.write_text(json.dumps(content))


def group_of(**change: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["engine"].update(change)


BY_HAND: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (
        group_of(tensorrt="10.13.3"),
        r"built for TensorRT 10\.13\.3 on sm_87 \(Orin\), here is TensorRT 10\.3\.0 on sm_87",
    ),
    (group_of(compute_capability="11.0"), r"on sm_110 \(Orin\), here is TensorRT 10\.3\.0 on sm_87 \(Orin\)"),
    (group_of(gpu="Thor"), r"on sm_87 \(Thor\), here is"),
    (group_of(driver="13.2"), r"driver for CUDA 13\.2, the one here knows 12\.6"),
    (group_of(graph_sha256="0" * 64), "built from a graph 000000000000…, leukonet.onnx is "),
    (group_of(precision="int8"), "built in int8 for the GPU, wanted is fp32 for the GPU"),
    (group_of(dla=0), "built in fp32 for DLA 0, wanted is fp32 for the GPU"),
    (group_of(file="other.engine"), "its manifest describes other.engine"),
    (group_of(sha256="0" * 64), "its manifest says 000000000000…: one of them was changed"),
    (group_of(recipe=RECIPE - 1), f"built by recipe {RECIPE - 1}, this edge-wbc takes {RECIPE}"),
    (group_of(recipe=None), "built by recipe None"),
    (group_of(batches=[1, 2]), "engine.batches"),
    (group_of(workspace_bytes=-1), "engine.workspace_bytes"),
    (lambda content: content.pop("engine"), "built by recipe None"),
    (lambda content: content["engine"].pop("layers"), "engine.layers: field required"),
    (lambda content: content.update(schema_version=SCHEMA - 1), f"manifest schema {SCHEMA - 1}, this edge-wbc reads"),
]


@pytest.mark.parametrize(("change", "says"), BY_HAND)
def test_a_manifest_edited_by_hand_is_refused(
    change: Callable[[dict[str, Any]], object], says: str, place: Place
) -> None:
    edit(place, change)
    refused(place, says)


@pytest.mark.parametrize("text", ["", "{", "[]", "\ufeff null", "[" * 100_000])
def test_a_manifest_that_is_none_is_refused(text: str, place: Place) -> None:
    place.manifest.write_text(text)
    refused(place, "not JSON|manifest schema None")


FLIPPED = bytearray(PLAN)
FLIPPED[1000] ^= 1


@pytest.mark.parametrize(
    "content", [b"", PLAN[:-1], PLAN + b"\0", bytes(FLIPPED), b"some other plan"], ids=lambda content: len(content)
)
def test_a_damaged_or_foreign_engine_is_refused(content: bytes, place: Place) -> None:
    place.engine.write_bytes(content)
    refused(place, "its hash is .*one of them was changed or damaged")


def refused(place: Place, says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        read_engine(place)
    assert "\n" not in str(caught.value)
    assert f"`edge-wbc build {place.graph}`" in str(caught.value)


def test_one_carried_from_another_machine_is_refused(place: Place, model: Model) -> None:
    there = place_of(model, THOR)
    for source, target in ((place.engine, there.engine), (place.manifest, there.manifest)):
        target.write_bytes(source.read_bytes())
    edit(there, group_of(file=there.engine.name))
    refused(there, r"built for TensorRT 10\.3\.0 on sm_87 \(Orin\), here is TensorRT 10\.13\.3 on sm_110 \(Thor\)")


@pytest.mark.parametrize("damage", ["engine", "manifest"])
def test_nothing_is_deserialised_before_it_fits(damage: str, tmp_path: Path, model: Model) -> None:
    from edge_wbc.engines.base import open_engine

    with tensorrt_here(tmp_path):
        open_engine("tensorrt", model).close()
    for path in tmp_path.glob("edge-wbc/engines/leukonet*"):
        if (path.suffix == ".engine") == (damage == "engine"):
            path.write_bytes(
                path.read_bytes().replace(b'"8.7"', b'"8.6"') if damage == "manifest" else path.read_bytes()[:99]
            )
    with tensorrt_here(tmp_path) as here:
        with pytest.raises(ModelError, match="edge-wbc build"):
            open_engine("tensorrt", model)
        assert here.calls["Runtime.deserialize_cuda_engine"] == 0


@pytest.mark.parametrize("left", ["engine", "manifest"])
def test_half_of_a_pair_is_none(left: str, place: Place) -> None:
    (place.manifest if left == "engine" else place.engine).unlink()
    assert not place.exists(), "the next use builds it"


def test_a_graph_that_changed_has_another_engine(place: Place, model: Model, copied: Path) -> None:
    copied.write_bytes(copied.read_bytes() + b"\0")
    assert place_of(Model(model.manifest, copied), ORIN).engine != place.engine


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n", "36.4.3"),
        ("# R39 (release), REVISION: 2.0\n", "39.2.0"),
        ("something else", ""),
        (None, ""),
    ],
)
def test_the_release_of_jetson_linux(text: str | None, release: str, tmp_path: Path) -> None:
    file = tmp_path / "nv_tegra_release"
    if text is not None:
        file.write_text(text)
    assert l4t(file) == release
