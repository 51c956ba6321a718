"""The verb ``sources``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_wbc.cli.common import print_json, say


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the list as one JSON object.")
def sources(as_json: bool) -> None:
    """List cameras, and the kinds of source `edge-wbc run` takes."""
    from edge_wbc.sources.base import SOURCES
    from edge_wbc.uri import table_with_plugins

    found = cameras()
    schemes = sorted(table_with_plugins(SOURCES, "edge_wbc.sources"))
    if as_json:
        print_json({"cameras": found, "schemes": schemes})
        return
    for camera in found:
        click.echo(f"{camera['uri']:<28} {camera['name']}")
    if not found:
        say("no camera found; connect one, or start with the simulated slide")
    click.echo("smear://?seed=1              simulated slide, always here")
    say(f"kinds of source: a path, {', '.join(f'{scheme}://' for scheme in schemes)}")
    say(f"next: edge-wbc run {found[0]['uri'] if found else 'smear://?seed=1'}")


def cameras(root: Path = Path("/")) -> list[dict[str, Any]]:
    """Video4Linux devices: URI, name, and whether this user may read them."""
    found = []
    for device in sorted((root / "dev").glob("video*")):
        name_file = root / "sys/class/video4linux" / device.name / "name"
        name = name_file.read_text().strip() if name_file.is_file() else "camera"
        try:
            device.open("rb").close()
            readable = True
        except OSError:
            readable = False
        found.append({"uri": f"v4l2:///dev/{device.name}", "name": name, "readable": readable})
    return found
