"""What every verb that runs a pipeline shares: options, signals, the end of a session."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_wbc import __version__
from edge_wbc.cli.common import say

if TYPE_CHECKING:
    from edge_wbc.engines.base import Engine
    from edge_wbc.pipeline import Outcome
    from edge_wbc.sources.base import Source
    from edge_wbc.types import Session

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def mode_of(source: Source) -> str:
    """How cells of a source are counted where nothing is said: once each where frames follow a slide."""
    return "slide" if source.continuous else "field"


def engine_options(command: Decorated) -> Decorated:
    """``--model`` and ``--engine``."""
    for option in (
        click.option(
            "--engine",
            default="auto",
            show_default=True,
            help="auto, tensorrt (tensorrt-dla0, …-dla1), openvino or onnxruntime.",
        ),
        click.option("--model", default="leukonet", show_default=True, help="A shipped model, or a .onnx file."),
    ):
        command = option(command)
    return command


def model_options(command: Decorated) -> Decorated:
    """``--mode``, for still images, ``--model`` and ``--engine``."""
    mode = click.option(
        "--mode",
        type=click.Choice(["field", "cell"]),
        default="field",
        show_default=True,
        help="field: any number of cells a frame. cell: exactly one.",
    )
    return mode(engine_options(command))


def open_engine_for(source: Source, name: str, model: str) -> Engine:
    """Load a model into an engine, for one source.

    A file source keeps one processor busy with reading and locating; with a live one the engine may have them all.
    """
    from edge_wbc.engines.base import open_engine, usable_processors
    from edge_wbc.manifest import load_model

    processors = usable_processors()
    return open_engine(name, load_model(model), processors if source.live else max(1, processors - 1))


def new_session(source: str, mode: str, engine: Engine) -> Session:
    """A session that starts now."""
    from edge_wbc.records import beginning_now
    from edge_wbc.types import Session

    session = Session(
        session_id="",
        source=source,
        mode=mode,
        model=engine.model.name,
        engine=f"{engine.name} {engine.precision}",
        started_utc="",
        started_ns=0,
        started_unix_ns=0,
        version=__version__,
    )
    return beginning_now(session)


@contextmanager
def stopping(stop: Callable[[], object]) -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM end the session in order; a second one ends the process at once.

    Gives a function that says whether the session was interrupted.
    """
    received: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        if received:
            os._exit(130)
        received.append(number)
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(outcome: Outcome, interrupted: bool) -> int:
    """The documented code of a session that ended: the gravest thing that happened."""
    if outcome.failed_sinks:
        return max(error.exit_code for error in outcome.failed_sinks)
    if outcome.error is not None:
        return outcome.error.exit_code
    if interrupted:
        return 130
    if outcome.summary.refused:
        say(f"{outcome.summary.refused} of {outcome.summary.refused + outcome.summary.frames} frames were refused")
        return 3
    return 0


def notice(line: str) -> None:
    """A line the user should see at once."""
    say(f"edge-wbc: {line}")


def sink_uris(given: Sequence[str], as_json: bool) -> tuple[str, ...]:
    """What was asked for; the console if nothing was, and nothing if standard output is for JSON."""
    if given:
        return tuple(given)
    return () if as_json else ("console:",)
