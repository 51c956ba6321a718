"""``bench viewers``: what people who watch cost a session."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import as_json_option, print_json, progress, say
from edge_wbc.cli.run_served import serving_at

if TYPE_CHECKING:
    from edge_wbc.web.viewed import Round

FRAMES_IN_MEMORY = 120


@click.command()
@click.option("--model", default="leukonet-int8", show_default=True, help="A shipped model, or a .onnx file.")
@click.option("--engine", default="auto", show_default=True)
@click.option("--size", default="1280x720", show_default=True, help="Of a frame.")
@click.option("--fps", type=click.FloatRange(1, 1000), default=60.0, show_default=True)
@click.option("--seconds", type=click.FloatRange(1), default=20.0, show_default=True, help="Of one run.")
@click.option("--rounds", type=click.IntRange(1), default=8, show_default=True)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    help="Instead: so many hours of an open page at 8 views/s, without the waiting; whether memory grows.",
)
@click.option("--smoke", is_flag=True, help="One round of two seconds, or some 200 views, not judged.")
@as_json_option
def viewers(
    model: str,
    engine: str,
    size: str,
    fps: float,
    seconds: float,
    rounds: int,
    hours: float | None,
    smoke: bool,
    as_json: bool,
) -> int:
    """A fast camera over a moving slide, alone and with three pages open and one that reads at 10 kB/s, in turn.

    Frames come from memory at a fixed rate, and are tracked. Exit code 1: with viewers more than 5 % fewer frames were
    decided, or the median of the rounds says that they were older; with --hours, memory of the session's or the pages'
    process grew by more than 2 % from the second quarter to the last.
    """
    serving_at("127.0.0.1:0")  # the packages are there
    if hours is not None:
        return _hours(hours, smoke, as_json)
    import cv2

    from edge_wbc.bench.drawn import draw
    from edge_wbc.bench.statistics import median_interval
    from edge_wbc.cli.session import new_session
    from edge_wbc.engines.base import open_engine, usable_processors
    from edge_wbc.manifest import load_model
    from edge_wbc.uri import width_and_height
    from edge_wbc.web.viewed import MOST_FRAMES_LOST, compare

    wanted = width_and_height(size)
    if wanted is None:
        raise click.UsageError(f"--size {size!r} is not WIDTHxHEIGHT; write for example 1280x720")
    seconds, rounds = (2.0, 1) if smoke else (seconds, rounds)
    with tempfile.TemporaryDirectory(prefix="edge-wbc-bench-") as scratch:
        uri = f"smear://?seed=1&cells=60&path=wander&size={size}"
        paths = draw(uri, Path(scratch, "drawn"), 24 if smoke else FRAMES_IN_MEMORY)
        pictures = [picture for path in paths if (picture := cv2.imread(str(path))) is not None]
    loaded = open_engine(engine, load_model(model), usable_processors())
    found: list[Round] = []
    try:
        session = new_session("memory:", "slide", loaded)
        with progress("rounds", rounds) as advance:
            for number in range(rounds):
                first = bool(number % 2)
                found.append(
                    compare(pictures, loaded, session, size=wanted, fps=fps, seconds=seconds, viewed_first=first)
                )
                advance(number + 1)
    finally:
        loaded.close()
    frames, age = median([one.frames for one in found]), median_interval([one.age for one in found])
    passed = frames >= 1 - MOST_FRAMES_LOST and (age.value <= 1 or age.holds(1))
    if as_json:
        print_json({"rounds": [asdict(one) for one in found], "frames": frames, "age": age, "passed": passed})
    else:
        say(f"{size} at {fps:g} frames/s, {session.model} on {session.engine}, {rounds} rounds of {seconds:g} s")
        for one in found:
            say(_told(one, seconds))
        say(f"frames decided with viewers ÷ alone: {frames:.3f}; at least {1 - MOST_FRAMES_LOST:g}")
        say(f"p99 of a frame's age when decided, with viewers ÷ alone: {age.value:.2f} ({age.ends(2)})")
    return 0 if passed or smoke else 1


def _hours(hours: float, smoke: bool, as_json: bool) -> int:
    from edge_wbc.bench.endurance import FLAT
    from edge_wbc.web.viewed import VIEWS_A_SECOND, endure

    views = 200 if smoke else max(200, round(hours * 3600 * VIEWS_A_SECOND))
    with progress("views", views) as advance:
        found = endure(views, advance)
    passed = found.growth <= FLAT
    if as_json:
        print_json({**asdict(found), "growth": found.growth, "passed": passed})
        return 0 if passed or smoke else 1
    taken = ", ".join(f"{got['views'] or got['fields']}" for got in found.viewers)
    say(f"{found.views} views, {found.views / VIEWS_A_SECOND / 3600:.2f} h of an open page; taken {taken}")
    for name, quarters in (("session's", found.session_mb), ("pages'", found.pages_mb)):
        say(f"resident memory of the {name} process by quarter, MB: {', '.join(f'{mb:.1f}' for mb in quarters)}")
    say(f"growth from the second quarter to the last {found.growth:+.1%}, at most {FLAT:.0%}")
    return 0 if passed or smoke else 1


def _told(one: Round, seconds: float) -> str:
    views = ", ".join(f"{got['fields']}" for got in one.viewers)
    return (
        f"alone {one.alone.decided} decided, {one.alone.dropped} dropped, p99 {one.alone.age_ms['p99']:.1f} ms; "
        f"viewed {one.viewed.decided}, {one.viewed.dropped}, {one.viewed.age_ms['p99']:.1f} ms; fields shown {views}; "
        f"pages' process {one.pages_s / seconds:.2f} of a processor"
    )
