"""The verb ``control``: quality control by a locked set of known cells."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc import RESEARCH_USE
from edge_wbc.cli.common import aligned, as_json_option, print_json, say
from edge_wbc.cli.place import place_option
from edge_wbc.cli.session import engine_options

if TYPE_CHECKING:
    from edge_wbc.control.run import Run


@click.group()
def control() -> None:
    """Run a locked set of known cells, list what came of it, choose the set.

    Where no set was chosen it is the shipped golden crops, which are drawn.
    """


@control.command()
@engine_options
@place_option
@as_json_option
def run(model: str, engine: str, place: Path | None, as_json: bool) -> int:
    """Decide the known cells now; exit code 1 if something is outside its limits.

    Finished sessions that were not looked at yet are taken into the trends of focus and stain.
    """
    from edge_wbc.bench.machine import called
    from edge_wbc.control.run import run_once
    from edge_wbc.control.slides import take_in

    place = place or _default_place()
    done = run_once(place, model, engine, called())
    trouble = take_in(place)
    if as_json:
        print_json({**done.record(), "unreadable": trouble, "notice": RESEARCH_USE})
    else:
        for line in _words(done):
            click.echo(line)
    for line in trouble:
        say(f"edge-wbc: {line}")
    return 1 if done.outside else 0


@control.command("list")
@place_option
@as_json_option
def list_runs(place: Path | None, as_json: bool) -> int:
    """Every run, oldest first, and the sessions' focus and stain colour."""
    from edge_wbc.control.run import runs
    from edge_wbc.control.slides import slides
    from edge_wbc.control.trends import trends

    place = place or _default_place()
    if as_json:
        print_json({"place": str(place), **trends(place), "notice": RESEARCH_USE})
        return 0
    done, seen = runs(place), slides(place)
    if not done and not seen:
        say(f"no quality control in {place}; `edge-wbc control run` begins it")
    if done:
        rows: list[tuple[str, ...]] = [
            ("run", "UTC", "model", "engine", "agreement %", "drift", "p50 ms", "p99 ms", "outside")
        ]
        rows += [
            (
                *(str(one.number), one.at_utc[:16], one.model, one.engine, f"{one.agreement:.1f}"),
                *(f"{one.drift:.4f}", f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}", ", ".join(one.outside)),
            )
            for one in done
        ]
        for line in aligned(rows, right=(0, 4, 5, 6, 7)):
            click.echo(line.rstrip())
    if seen:
        click.echo()
        table: list[tuple[str, ...]] = [("session", "seen by", "cells", "focus", "cx", "cy", "outside")]
        table += [
            (
                *(one.session_id, one.source, str(one.cells)),
                *("–" if value is None else f"{value:.3f}" for value in (one.focus, one.stain_x, one.stain_y)),
                ", ".join(one.outside),
            )
            for one in seen
        ]
        for line in aligned(table, right=(2, 3, 4, 5)):
            click.echo(line.rstrip())
    return 0


@control.command("set")
@click.argument("session", metavar="ID|golden")
@place_option
@as_json_option
def choose_set(session: str, place: Path | None, as_json: bool) -> int:
    """Lock the cells of a signed session as the known ones, or the drawn golden crops again.

    Limits and drift begin anew.
    """
    from edge_wbc.control.known import GOLDEN, choose, choose_golden
    from edge_wbc.review.review import Review
    from edge_wbc.sessions.archive import find

    place = place or _default_place()
    if session == GOLDEN:
        chosen = choose_golden(place, _who())
    else:
        chosen = choose(place, _who(), Review(find(place, session)))
    if as_json:
        print_json({**asdict(chosen), "notice": RESEARCH_USE})
        return 0
    classes = ", ".join(f"{count} {label}" for label, count in chosen.by_class.items())
    click.echo(f"known are now {chosen.name}{classes and f': {classes}'}")
    click.echo("next: edge-wbc control run")
    return 0


def _default_place() -> Path:
    from edge_wbc.sessions.schema import default_place

    return default_place()


def _who() -> str:
    from getpass import getuser

    try:
        return getuser()
    except (KeyError, OSError):  # a container's user need have no name
        return "unknown"


def _words(done: Run) -> list[str]:
    low, high = done.interval
    lines = [
        f"run {done.number}: {done.model} on {done.engine}, {done.machine}",
        f"known: {done.set_name}"
        + (f", {done.left_out} of classes that the model does not have" * bool(done.left_out)),
        f"agreement {done.agreement:.1f} % ({done.same} of {done.cells}, 95 % interval {low:.1f}–{high:.1f})",
        "; ".join(f"{label} {same} of {cells}" for label, (same, cells) in done.by_class.items()),
        f"drift {done.drift:.6f} since run {done.drift_from}",
        f"latency of one crop p50 {done.p50_ms:.2f} ms, p99 {done.p99_ms:.2f} ms",
    ]
    return lines + ([f"outside: {words}" for words in done.outside.values()] or ["within its limits"])
