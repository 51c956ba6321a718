"""The manifest beside a graph: what the file is, what it expects, how it was made and how good it is.

``NAME.manifest.json`` stands beside ``NAME.onnx``. Its hash is checked before the graph is used.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_wbc.errors import ModelError
from edge_wbc.files import replace_whole

SCHEMA = 1
"""Major version of the manifest's form."""
MODELS = Path(__file__).with_name("models")
"""Where the shipped graphs lie."""
DEFAULT_MODEL = "leukonet"


Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
"""Of a graph."""


class _Group(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class ModelGroup(_Group):
    name: str
    version: str
    created: str
    """ISO 8601, UTC."""
    licence: str
    description: str
    notice: str


class LabelsGroup(_Group):
    names: tuple[str, ...]
    """In the order of the graph's outputs."""
    counted: tuple[str, ...]
    """Those that make up the denominator of a differential."""
    unidentified_below: float = Field(ge=0, le=1)
    """A cell whose best probability is lower is reported as unidentified."""
    threshold_from: str


class InputGroup(_Group):
    size_px: int = Field(gt=0)
    colour_order: Literal["BGR"]
    margin: float = Field(gt=0, le=8)
    """Side of the crop in lengths of the box's longer side."""
    border: Literal["replicate"]


class GraphGroup(_Group):
    file: str
    sha256: str
    opset: int
    precision: Precision
    parameters: int
    macs: int
    """Multiply-accumulates for one crop."""
    temperature: float


class Manifest(_Group):
    """The whole file; groups this version does not know are kept."""

    schema_version: int
    model: ModelGroup
    labels: LabelsGroup
    input: InputGroup
    graph: GraphGroup
    training: dict[str, Any]
    parity: dict[str, Any]
    metrics: dict[str, Any] = {}
    calibration: dict[str, Any] = {}
    """Of INT8 graphs: method, seed, and the images that gave the ranges."""


@dataclass(frozen=True, slots=True)
class Model:
    """A graph that fits its manifest."""

    manifest: Manifest
    graph: Path

    @property
    def name(self) -> str:
        return f"{self.manifest.model.name} {self.manifest.model.version} {self.manifest.graph.precision}"


def load_model(name_or_path: str | Path = DEFAULT_MODEL) -> Model:
    """Find a shipped model by name, or a graph by path, and check it against its manifest.

    :raises ModelError: not there, no manifest, a manifest that can't be read, or a hash that does not fit.
    """
    graph = _find(str(name_or_path))
    manifest = read_manifest(manifest_path(graph))
    if manifest.graph.file != graph.name:
        raise ModelError(
            f"{manifest_path(graph)} describes {manifest.graph.file}, not {graph.name}; put each graph beside its own"
        )
    found = sha256(graph)
    if found != manifest.graph.sha256:
        raise ModelError(
            f"{graph}: its hash is {found[:12]}…, the manifest says {manifest.graph.sha256[:12]}…; "
            "one of them was changed, export the graph again"
        )
    return Model(manifest, graph)


def manifest_path(graph: Path) -> Path:
    return graph.with_name(f"{graph.stem}.manifest.json")


def read_manifest(path: Path) -> Manifest:
    """:raises ModelError: not there, not JSON, of another schema version, or incomplete."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(f"{path}: no such manifest; export the graph with `edge-wbc export`") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not JSON ({error}); export the graph again") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA:
        raise ModelError(f"{path}: manifest schema {version}, this edge-wbc reads {SCHEMA}; export the graph again")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ModelError(f"{path}: {place}: {first['msg'].lower()}; export the graph again") from None
    if len(set(manifest.labels.names)) < len(manifest.labels.names):
        raise ModelError(f"{path}: a label stands there twice; export the graph again")
    unknown = set(manifest.labels.counted) - set(manifest.labels.names)
    if unknown:
        raise ModelError(f"{path}: counts {', '.join(sorted(unknown))}, which is no label; export the graph again")
    return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Atomically, so that a file under the final name is always whole."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    replace_whole(path, f"{text}\n".encode())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _find(name: str) -> Path:
    path = Path(name)
    if path.suffix == ".onnx":
        if os.path.isfile(path):
            return path
        raise ModelError(f"{path}: no such graph; check the path, or name a shipped model: {', '.join(shipped())}")
    if name in shipped():
        return MODELS / f"{name}.onnx"
    raise ModelError(
        f"no model {name!r}; shipped are {', '.join(shipped()) or 'none'}, or give the path of a .onnx file"
    )


def shipped() -> list[str]:
    """Names of the models that come with edge-wbc."""
    return sorted(path.stem for path in MODELS.glob("*.onnx"))
