"""The verb ``edge-wbc instrument``."""

from __future__ import annotations

import click


@click.group()
def instrument() -> None:
    """Simulate an instrument at the other end of the serial link."""


@instrument.command("simulate")
@click.option("--link", metavar="PATH", help="Also make PATH a symbolic link to the port.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--quiet", is_flag=True, help="Print only the port and the totals.")
def simulate_command(link: str | None, as_json: bool, quiet: bool) -> None:
    """Be an instrument on a pseudo-terminal and print every result as it is applied.

    The first line names the port. Ends on Ctrl-C or SIGTERM with the totals.
    """
    from firmware_bridge.simulator import simulate

    try:
        simulate(link=link, as_json=as_json, quiet=quiet)
    except FileExistsError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"the simulated instrument cannot run: {error}") from error
