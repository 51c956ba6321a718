"""TensorRT's engine files: where they lie, what stands beside them, and whether one may be loaded here.

A plan is tied to the GPU and the TensorRT that made it, and loading one is as dangerous as running native code. So
nothing is loaded before its manifest, ``NAME.manifest.json``, was held against this machine and its hash against the
file. Engines lie in one folder per user and machine; their names say what they are of::

    leukonet-1f2e3d4c5b6a-fp32-trt10.3.0-sm87-orin-b1-4-8.engine
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_wbc.errors import ModelError, reason
from edge_wbc.manifest import SCHEMA, Model, Precision, manifest_path
from edge_wbc.manifest import sha256 as hash_of

BATCHES = (1, 4, 8)
"""Least, typical and largest batch that engines are built for: a live field, several, ``classify.LARGEST_BATCH``."""
RECIPE = 1
"""Rises whenever engines are built in another way; those of another recipe are not loaded."""
L4T_RELEASE = Path("/etc/nv_tegra_release")


@dataclass(frozen=True, slots=True)
class Machine:
    """What an engine is tied to."""

    tensorrt: str
    cuda: str
    driver: str
    """Newest CUDA that the driver knows."""
    l4t: str
    """Jetson Linux, such as 36.4.3; empty elsewhere."""
    gpu: str
    capability: str
    """Compute capability, such as 8.7."""

    def __str__(self) -> str:
        return f"TensorRT {self.tensorrt} on sm_{self.capability.replace('.', '')} ({self.gpu})"


class EngineGroup(BaseModel):
    """The group ``engine`` of a manifest."""

    model_config = ConfigDict(extra="allow", frozen=True)

    file: str
    sha256: str
    recipe: int
    edge_wbc: str
    """The version that built it."""
    built: str
    """ISO 8601, UTC."""
    graph_sha256: str
    precision: Precision
    """Of the graph; on a DLA, what runs there."""
    strongly_typed: bool
    tensorrt: str
    cuda: str
    driver: str
    l4t: str
    gpu: str
    compute_capability: str
    dla: int | None
    """The core it runs on; None for the GPU."""
    batches: tuple[int, int, int]
    """Least, typical, largest."""
    workspace_bytes: int = Field(ge=0)
    """What the builder might use at most."""
    build_seconds: float
    layers: dict[str, int]
    """By precision, how many layers TensorRT made; empty where it would not say."""
    unfused: tuple[str, ...]
    """Q/DQ layers that run on their own."""

    @property
    def machine(self) -> Machine:
        return Machine(self.tensorrt, self.cuda, self.driver, self.l4t, self.gpu, self.compute_capability)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the engine of a graph lies on a machine."""

    graph: Path
    graph_sha256: str
    precision: Precision
    machine: Machine
    dla: int | None
    engine: Path

    @property
    def manifest(self) -> Path:
        return manifest_path(self.engine)

    @property
    def rebuild(self) -> str:
        """The command that builds it anew."""
        return f"edge-wbc build {self.graph}" + ("" if self.dla is None else f" --dla {self.dla}")

    def exists(self) -> bool:
        """Whether a builder finished there: the manifest is written last."""
        return self.manifest.is_file() and self.engine.is_file()


def place_of(model: Model, machine: Machine, dla: int | None = None) -> Place:
    """Where a model's engine belongs: graph, its precision, machine and profile are in its name.

    :raises ModelError: the graph can't be read.
    """
    try:
        digest = hash_of(model.graph)
    except OSError as error:
        raise ModelError(f"{model.graph}: {reason(error)}; give a graph that can be read") from None
    precision: Precision = model.manifest.graph.precision if dla is None else "fp16"
    parts = (
        model.graph.stem,
        digest[:12],
        precision,
        f"trt{machine.tensorrt}",
        f"sm{machine.capability.replace('.', '')}",
        re.sub(r"[^a-z0-9]+", "-", machine.gpu.lower()).strip("-"),
        f"b{'-'.join(map(str, BATCHES))}" if dla is None else f"b{BATCHES[-1]}-dla{dla}",
    )
    return Place(model.graph, digest, precision, machine, dla, folder() / f"{'-'.join(parts)}.engine")


def folder() -> Path:
    """Where this user's engines lie; not made here."""
    return platformdirs.user_cache_path("edge-wbc") / "engines"


def l4t(path: Path = L4T_RELEASE) -> str:
    """The release of Jetson Linux, such as 36.4.3; empty elsewhere."""
    try:
        found = re.match(
            r"# R(\d+) \(release\), REVISION: ([\d.]+)", path.read_text(encoding="utf-8", errors="replace")
        )
    except OSError:
        return ""
    return f"{found[1]}.{found[2]}" if found else ""


def read_engine(place: Place) -> tuple[bytes, EngineGroup]:
    """The engine file, once its manifest fits this machine and its hash the file.

    :raises ModelError: it does not; the message names both sides and the command that rebuilds.
    """
    group = _group(place)
    if fault := _fault(group, place):
        raise ModelError(f"{place.engine}: {fault}; `{place.rebuild}` builds it anew")
    try:
        plan = place.engine.read_bytes()
    except OSError as error:
        raise ModelError(f"{place.engine}: {reason(error)}; `{place.rebuild}` builds it anew") from None
    found = hashlib.sha256(plan).hexdigest()
    if found != group.sha256:
        raise ModelError(
            f"{place.engine}: its hash is {found[:12]}…, its manifest says {group.sha256[:12]}…: one of them was "
            f"changed or damaged; `{place.rebuild}` builds it anew"
        )
    return plan, group


def _group(place: Place) -> EngineGroup:
    def refused(why: str) -> ModelError:
        return ModelError(f"{place.manifest}: {why}; `{place.rebuild}` builds the engine anew")

    try:
        content: Any = json.loads(place.manifest.read_text(encoding="utf-8"))
    except OSError as error:
        raise refused(reason(error)) from None
    except (ValueError, RecursionError):
        raise refused("not JSON") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA:
        raise refused(f"manifest schema {version}, this edge-wbc reads {SCHEMA}")
    group = content.get("engine")
    recipe = group.get("recipe") if isinstance(group, dict) else None
    if recipe != RECIPE:
        raise refused(f"built by recipe {recipe}, this edge-wbc takes {RECIPE}")
    try:
        return EngineGroup.model_validate(group)
    except ValidationError as error:
        first = error.errors()[0]
        raise refused(f"engine.{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from None


def _fault(group: EngineGroup, place: Place) -> str:
    """What keeps an engine from this place and machine, in words; empty if nothing does."""
    here, there = place.machine, group.machine
    if group.file != place.engine.name:
        return f"its manifest describes {group.file}"
    if group.graph_sha256 != place.graph_sha256:
        return f"built from a graph {group.graph_sha256[:12]}…, {place.graph.name} is {place.graph_sha256[:12]}…"
    if (there.tensorrt, there.capability, there.gpu) != (here.tensorrt, here.capability, here.gpu):
        return f"built for {there}, here is {here}"
    if _numbers(there.driver) > _numbers(here.driver):
        return f"built with a driver for CUDA {there.driver}, the one here knows {here.driver}"
    if group.precision != place.precision or group.dla != place.dla:
        asked = place.precision, "the GPU" if place.dla is None else f"DLA {place.dla}"
        found = group.precision, "the GPU" if group.dla is None else f"DLA {group.dla}"
        return f"built in {found[0]} for {found[1]}, wanted is {asked[0]} for {asked[1]}"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
