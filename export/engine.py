"""Graph → TensorRT engine with its manifest, in this machine's folder of engines.

On a Jetson this needs TensorRT, pycuda and ``edge_wbc``, nothing else.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_wbc import __version__
from edge_wbc.engines import binding
from edge_wbc.engines.cuda import Gpu
from edge_wbc.engines.engine_file import RECIPE, EngineGroup, Place, place_of, read_engine
from edge_wbc.engines.tensorrt import machine
from edge_wbc.errors import EnvironmentMissing, ModelError, OutputFailed, reason
from edge_wbc.files import replace_whole
from edge_wbc.manifest import Model, write_manifest
from export.compile import Compiled, Progress, compile_graph

MOST_WORKSPACE = 2**30
"""Far more than small networks need."""
LEAST_FREE = 2**29
"""With less, building is not begun: on a board that shares its memory the system would end programs at random."""
LISTEN_S = 0.2
"""How long Ctrl-C may go unheard while TensorRT is at work."""
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Built:
    """A finished engine."""

    place: Place
    group: EngineGroup
    fresh: bool
    """Built now, and not found."""


def build(
    model: Model, dla: int | None, say: Callable[[str], None], progress: Progress = lambda done, what: None
) -> Built:
    """Build the engine of a graph, or find it; one builder a machine and user at a time.

    :param dla: a DLA core to build for, in FP16, with what it can't do on the GPU.
    :param say: called with a line for the user.
    :raises EnvironmentMissing: TensorRT, pycuda, the GPU, the DLA core or memory is missing.
    :raises ModelError: the graph is refused.
    :raises OutputFailed: the engine can't be written.
    :raises KeyboardInterrupt: the user's; nothing was written.
    """
    if dla is not None and model.manifest.graph.precision == "int8":
        raise ModelError(f"{model.graph}: the DLA takes no Q/DQ graph; give the fp32 graph, it runs there in FP16")
    trt = binding.tensorrt()
    place = place_of(model, machine(), dla)
    with _locked(place.engine.parent, say):
        if place.exists():
            try:
                return Built(place, read_engine(place)[1], fresh=False)
            except ModelError as error:
                say(str(error))
        say(f"building {place.engine.name}, once for this machine; it may take minutes")
        timing = place.engine.with_name(f"timing-trt{place.machine.tensorrt}-sm{place.machine.capability}.cache")
        gpu = Gpu()
        try:
            with gpu:
                workspace = workspace_bytes(gpu)
            compiled = _compile(trt, gpu, model, place, workspace, timing, progress)
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they hold what belongs to the GPU's context
            raise
        finally:
            gpu.close()
        group = _group(trt, place, compiled, workspace)
        _write(model, place, compiled.plan, group)
        try:
            replace_whole(timing, compiled.timing)
        except OSError as error:
            say(f"{timing}: {reason(error)}; the next build will take as long")
        return Built(place, group, fresh=True)


def workspace_bytes(gpu: Gpu) -> int:
    """What the builder may use: a quarter of what is free, at most ``MOST_WORKSPACE``.

    Where the GPU shares the processor's memory, what the system could free counts as free.

    :raises EnvironmentMissing: too little is free to begin.
    """
    free = _available() if gpu.device.integrated else None
    free = gpu.free_bytes() if free is None else free
    if free < LEAST_FREE:
        raise EnvironmentMissing(
            f"{free >> 20} MiB of memory are free and building takes {LEAST_FREE >> 20} MiB or more; "
            "end other programs, then start again"
        )
    return min(MOST_WORKSPACE, free // 4)


def _available() -> int | None:
    """Bytes, or None where the system does not say."""
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


@contextmanager
def _locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """The only builder in this folder; ends with the process, however it ends."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise OutputFailed(f"{folder}: {reason(error)}; make it writable, or set XDG_CACHE_HOME") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another edge-wbc is building an engine; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compile(
    trt: Any, gpu: Gpu, model: Model, place: Place, workspace: int, timing: Path, progress: Progress
) -> Compiled:
    """Compile in a thread of its own, so that Ctrl-C is heard while TensorRT works: it then stops at its next step."""
    graph = model.graph.read_bytes()
    if hashlib.sha256(graph).hexdigest() != place.graph_sha256:
        raise ModelError(f"{model.graph}: it changed while it was read; start again")
    before = timing.read_bytes() if timing.is_file() else b""
    cancelled = threading.Event()

    def work() -> Compiled | None:
        with gpu:
            return compile_graph(
                trt,
                model,
                graph,
                dla=place.dla,
                workspace=workspace,
                timing=before,
                progress=progress,
                cancelled=cancelled,
            )

    with _ctrl_c_sets(cancelled), ThreadPoolExecutor(1, thread_name_prefix="edge-wbc build") as pool:
        future = pool.submit(work)
        while not future.done():  # a thread that waits for good may not hear a signal given to another thread
            wait([future], LISTEN_S)
        compiled = future.result()
    if compiled is None or cancelled.is_set():
        raise KeyboardInterrupt
    return compiled


@contextmanager
def _ctrl_c_sets(cancelled: threading.Event) -> Iterator[None]:
    """In place of KeyboardInterrupt, which is lost if it is raised in a finaliser. Without effect in other threads than
    the main one, and where Ctrl-C is ignored."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: cancelled.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _group(trt: Any, place: Place, compiled: Compiled, workspace: int) -> EngineGroup:
    here = place.machine
    return EngineGroup(
        file=place.engine.name,
        sha256=hashlib.sha256(compiled.plan).hexdigest(),
        recipe=RECIPE,
        edge_wbc=__version__,
        built=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        graph_sha256=place.graph_sha256,
        precision=place.precision,
        strongly_typed=binding.strongly_typed(trt),
        tensorrt=here.tensorrt,
        cuda=here.cuda,
        driver=here.driver,
        l4t=here.l4t,
        gpu=here.gpu,
        compute_capability=here.capability,
        dla=place.dla,
        batches=compiled.batches,
        workspace_bytes=workspace,
        build_seconds=round(compiled.seconds, 1),
        layers=compiled.layers.by_precision,
        unfused=compiled.layers.unfused,
    )


def _write(model: Model, place: Place, plan: bytes, group: EngineGroup) -> None:
    """The engine, then its manifest, each whole or not at all: an engine without a manifest counts as none."""
    manifest = model.manifest.model_copy(update={"engine": group.model_dump(mode="json")})
    try:
        place.manifest.unlink(missing_ok=True)
        replace_whole(place.engine, plan)
        _settle(place.engine.parent)
        write_manifest(place.manifest, manifest)
        _settle(place.engine.parent)
    except OSError as error:
        raise OutputFailed(
            f"{place.engine}: {reason(error)}; make room ({len(plan) >> 10} KiB are needed), then start again"
        ) from None


def _settle(folder: Path) -> None:
    """Wait until the disk holds what a folder lists."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
