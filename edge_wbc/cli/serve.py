"""The verb ``serve``: the pages for recorded sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_wbc.cli.common import say, web_packages
from edge_wbc.cli.place import place_option

if TYPE_CHECKING:
    from edge_wbc.web.server import Serving

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)
HOST, PORT = "127.0.0.1", 8642


def serving_options(command: Decorated) -> Decorated:
    """Where to listen and how, as `serving_of` takes them."""
    command = guarding_options(command)
    port = click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0: any.")
    return click.option("--host", default=HOST, show_default=True, help="The address to listen on.")(port(command))


def guarding_options(command: Decorated) -> Decorated:
    """How to listen: TLS, names, a proxy."""
    for option in reversed(
        (
            click.option("--certificate", type=_FILE, metavar="FILE", help="For TLS: the certificate, in PEM."),
            click.option("--key", type=_FILE, metavar="FILE", help="Its key, if that is in a file of its own."),
            click.option("--name", "names", multiple=True, help="A name that people reach it under."),
            click.option("--behind-proxy", is_flag=True, help="A reverse proxy does the TLS and says who comes."),
        )
    ):
        command = option(command)
    return command


def serving_of(**options: Any) -> Serving:
    """:raises EnvironmentMissing: the web's packages are not installed."""
    with web_packages():
        from edge_wbc.web.server import Serving
    return Serving(**options)


@click.command()
@serving_options
@place_option
def serve(place: Path | None, **options: Any) -> int:
    """Watch, review and sign recorded sessions in a browser.

    Without users (`edge-wbc users`) only this machine can reach it, by the address that is printed. On another
    address everybody logs in, over TLS. Ctrl-C ends it.
    """
    serving = serving_of(**options)
    with web_packages():
        from edge_wbc.web.server import serve as run
        from edge_wbc.web.site import Site
    from edge_wbc.sessions.schema import default_place

    site = Site(place or default_place())

    def ready(url: str) -> None:
        say(f"open {url} in a browser; Ctrl-C ends it")
        site.desk.begin()

    run(site, serving, ready)
    return 0
