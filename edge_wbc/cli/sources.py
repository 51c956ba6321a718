"""The verb ``sources``."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edge_wbc.cli.common import print_json, say
from edge_wbc.sources.probe import TEGRA, Device, installed, probe

LIBRARIES = {"genicam": "harvesters", "micromanager": "pymmcore_plus"}
"""Kinds of camera that others' libraries read: the extra of edge-wbc, and the library it brings."""
SHOWN = 6
"""Modes of a camera shown to a person; ``--json`` has all."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the list as one JSON object.")
def sources(as_json: bool) -> None:
    """List cameras and what they can do, and the kinds of source `edge-wbc run` takes."""
    from edge_wbc.sources import genicam
    from edge_wbc.sources.base import SOURCES
    from edge_wbc.uri import table_with_plugins

    found = cameras() + [
        {"uri": uri, "name": name, "readable": True, "modes": []} for uri, name in genicam.cameras(os.environ)
    ]
    schemes = sorted(table_with_plugins(SOURCES, "edge_wbc.sources"))
    gstreamer = installed()
    if as_json:
        print_json(
            {
                "cameras": found,
                "schemes": schemes,
                "gstreamer": None if gstreamer is None else asdict(gstreamer),
                **{name: importlib.util.find_spec(library) is not None for name, library in LIBRARIES.items()},
            }
        )
        return
    for camera in found:
        click.echo(f"{camera['uri']:<28} {camera['name']}" + ("" if camera["readable"] else ", which you may not read"))
        modes = camera["modes"]
        for mode in modes[:SHOWN]:
            rates = f" at {', '.join(f'{rate:g}' for rate in mode['fps'])} fps" if mode["fps"] else ""
            click.echo(f"  {mode['format']} {mode['width']}x{mode['height']}{rates}")
        if len(modes) > SHOWN:
            click.echo(f"  and {len(modes) - SHOWN} more, with --json")
    if not found:
        say("no camera found; connect one, or start with the simulated slide")
    click.echo("smear://?seed=1              simulated slide, always here")
    say(f"kinds of source: a path, {', '.join(f'{scheme}://' for scheme in schemes)}")
    say(f"GStreamer: {'not here' if gstreamer is None else gstreamer.version}")
    for name, library in LIBRARIES.items():
        here = importlib.util.find_spec(library) is not None
        install = f"needs {library.replace('_', '-')}; python -m pip install 'edge-wbc[{name}]'"
        say(f"{name}: {f'by {library}' if here else install}")
    say(f"next: edge-wbc run '{_first_choice(found)}'")


def cameras(root: Path = Path("/"), look: Callable[[Path], Device | None] = probe) -> list[dict[str, Any]]:
    """Cameras: URI, name, whether this user may read them, and the modes of those.

    Nodes that give no video are left out; cameras on a ribbon connector are told by the URI that gives pictures.
    """
    found: list[dict[str, Any]] = []
    ribbons = 0
    for path in sorted((root / "dev").glob("video*"), key=lambda path: (len(path.name), path.name)):
        name_file = root / "sys/class/video4linux" / path.name / "name"
        name = name_file.read_text().strip() if name_file.is_file() else "camera"
        uri, readable = f"v4l2:///dev/{path.name}", True
        try:
            device = look(path)
        except OSError:
            device, readable = Device("", name, ()), False
        if device is None:
            continue
        if device.driver == TEGRA:
            uri, ribbons = f"csi://{ribbons}", ribbons + 1
        modes = [asdict(mode) for mode in device.modes]
        found.append({"uri": uri, "name": device.name, "readable": readable, "modes": modes})
    return found


def _first_choice(found: list[dict[str, Any]]) -> str:
    """The first camera, with the quickest of its largest modes."""
    if not found:
        return "smear://?seed=1"
    camera = found[0]
    rated = [mode for mode in camera["modes"] if mode["fps"]]
    if not rated:
        return str(camera["uri"])
    best = max(rated, key=lambda mode: (min(mode["fps"][0], 30), mode["width"] * mode["height"], mode["fps"][0]))
    options = f"size={best['width']}x{best['height']}&fps={best['fps'][0]:g}"
    return f"{camera['uri']}?{options}" + ("" if camera["uri"].startswith("csi") else f"&format={best['format']}")
