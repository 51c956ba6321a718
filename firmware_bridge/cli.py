"""The verb ``edge-wbc instrument``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

_BAUD = click.option("--baud", type=click.IntRange(1, 4_000_000), default=115200, show_default=True)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class LinkFailed(click.ClickException):
    """Hardware or environment missing, or an outbox that can't be used."""

    exit_code = 4

    def show(self, file: Any = None) -> None:
        click.echo(f"edge-wbc: {self.message}", file=file, err=file is None)


@contextmanager
def _telling() -> Iterator[None]:
    """Turn what can go wrong with ports and outboxes into one line and an exit code."""
    from firmware_bridge.errors import LinkError

    try:
        yield
    except FileExistsError as error:
        raise click.UsageError(str(error)) from error
    except (LinkError, OSError) as error:
        raise LinkFailed(str(error)) from error


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@click.group()
def instrument() -> None:
    """Find, ask, watch, try and simulate instruments at the other end of the serial link."""


@instrument.command("list")
@_JSON
def list_command(as_json: bool) -> None:
    """Name the serial ports that are plugged in, and what waits in their outboxes."""
    from firmware_bridge.outbox_file import contents
    from firmware_bridge.ports import default_outbox, list_ports

    found = []
    with _telling():
        for port in list_ports():
            outbox = default_outbox(port.name)
            waiting = contents(outbox).waiting if outbox is not None and outbox.exists() else 0
            record = {"name": port.name, "device": port.device, "description": port.description}
            found.append({**record, "serial_number": port.serial_number, "waiting": waiting})
    if as_json:
        _print_json(found)
        return
    if not found:
        click.echo("no serial port is plugged in; next: edge-wbc instrument simulate", err=True)
        return
    columns = ("name", "device", "description", "serial number", "waiting")
    _table("Serial ports", columns, [tuple(str(value or "") for value in port.values()) for port in found])
    click.echo(f"next: edge-wbc instrument flash-check {found[0]['name']}", err=True)


@instrument.command("flash-check")
@click.argument("port")
@_BAUD
@_JSON
def flash_check_command(port: str, baud: int, as_json: bool) -> None:
    """Ask the instrument on PORT for its firmware, version and capabilities; nothing is applied."""
    from firmware_bridge.probe import ask, described

    with _telling():
        told = described(ask(port, baud=baud))
    if as_json:
        _print_json({"port": port, **told})
        return
    told["capabilities"] = ", ".join(told["capabilities"]) or "those of version 1.0"
    _table(f"Instrument on {port}", ("", ""), [(name.replace("_", " "), str(value)) for name, value in told.items()])


@instrument.command("send")
@click.argument("port")
@click.argument("label")
@click.option("--cell", type=click.IntRange(0, 0xFFFFFFFF), default=1, show_default=True, help="Number of the first.")
@click.option("--probability", type=click.FloatRange(0.0, 1.0), default=1.0, show_default=True)
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="Send so many, numbers rising.")
@click.option("--outbox", type=click.Path(path_type=Path), help="Keep them here until they are acknowledged.")
@_BAUD
@_JSON
def send_command(
    port: str, label: str, cell: int, probability: float, count: int, outbox: Path | None, baud: int, as_json: bool
) -> int:
    """Send results with LABEL to the instrument on PORT and wait until they are acknowledged."""
    from firmware_bridge import CellResult, Instrument
    from firmware_bridge.schema import LABEL_CODES

    if label not in LABEL_CODES:
        raise click.UsageError(f"there is no label {label!r}; use one of {', '.join(LABEL_CODES)}")
    with _telling(), Instrument.open(port, baud=baud, outbox=outbox) as link:
        began = time.perf_counter()
        for number in range(cell, cell + count):
            link.send(CellResult(number, time.time_ns(), label, probability, (0, 0, 0, 0)))
        left, before = 1, 0
        while left and left != before:
            left, before = link.drain(5.0), left
        seconds = time.perf_counter() - began
        counters = link.counters
    record = {"port": port, "acknowledged": counters.acknowledged, "left": left, "in_doubt": counters.in_doubt}
    if as_json:
        _print_json({**record, "retransmitted": counters.retransmitted, "seconds": round(seconds, 4)})
    else:
        click.echo(f"{counters.acknowledged} acknowledged, {left} left, {seconds * 1000:.1f} ms")
    return 5 if left else 0


@instrument.command("command", context_settings={"ignore_unknown_options": True})
@click.argument("port")
@click.argument("words", nargs=-1, required=True, metavar="WHAT...")
@click.option("--deadline", "deadline_s", type=click.FloatRange(0.01, 86400), default=5.0, show_default=True)
@_BAUD
@_JSON
def command_command(port: str, words: tuple[str, ...], deadline_s: float, baud: int, as_json: bool) -> int:
    """Have the instrument on PORT do something, once, and wait until it is done.

    WHAT is one of: indicator LABEL [SECONDS], trigger OUTPUT SECONDS, stage X Y Z (in µm), own OPCODE [ARGUMENTS],
    or stop.
    """
    from firmware_bridge import CommandFailedError, CommandInDoubtError, Instrument
    from firmware_bridge.commands import spoken

    command = None if words == ("stop",) else spoken(words)
    if command is None and words != ("stop",):
        raise click.UsageError(f"{' '.join(words)!r} is no command; see --help")
    began = time.perf_counter()
    failed: str | None = None
    detail = 0
    with _telling(), Instrument.open(port, baud=baud) as link:
        try:
            if command is None:
                link.stop()
            else:
                detail = link.command(command, deadline_s=deadline_s)
        except (CommandFailedError, CommandInDoubtError) as error:
            failed = str(error)
    seconds = time.perf_counter() - began
    if as_json:
        _print_json({"port": port, "done": failed is None, "detail": detail, "error": failed, "seconds": seconds})
    else:
        click.echo(f"edge-wbc: {failed}" if failed else f"done, {seconds * 1000:.1f} ms", err=failed is not None)
    return 5 if failed else 0


@instrument.command("monitor")
@click.argument("port")
@click.option("--link", metavar="PATH", help="Also make PATH a symbolic link to the offered port.")
@_BAUD
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def monitor_command(port: str, link: str | None, baud: int, as_json: bool) -> None:
    """Sit between a host and the instrument on PORT, and print every frame that goes by.

    The first line names the port to give to the host instead. Ends on Ctrl-C or SIGTERM with the totals.
    """
    from firmware_bridge.monitor import monitor

    with _telling():
        monitor(port, baud=baud, link=link, as_json=as_json)


@instrument.command("log")
@click.argument("place", required=False)
@click.option("--new-stream", is_flag=True, help="Let the next session start a new stream: a way out where it says so.")
@_JSON
def log_command(place: str | None, new_stream: bool, as_json: bool) -> None:
    """Show what waits in an outbox, and what was ever in doubt. PLACE is a port or a file; without it, all of them."""
    from firmware_bridge.outbox_file import contents, start_over
    from firmware_bridge.ports import default_outbox, outbox_folder

    if new_stream and place is None:
        raise click.UsageError("--new-stream needs the port or the file that it is for")
    if place is None:
        paths = sorted(outbox_folder().glob("*.sqlite"))
    elif place.startswith("/dev/") or "://" in place:
        path = default_outbox(place)
        if path is None:
            raise click.UsageError(f"{place} is a pseudo-terminal, which has no outbox of its own; name the file")
        paths = [path]
    else:
        paths = [Path(place)]
    for path in paths:
        with _telling():
            if new_stream:
                start_over(path)
            _show(path, contents(path), as_json)
    if not paths and not as_json:
        click.echo(f"no outbox in {outbox_folder()}; the first session with an instrument makes one", err=True)


def _show(path: Path, held: Any, as_json: bool) -> None:
    from datetime import datetime, timezone

    doubts = [
        {
            "noticed_utc": datetime.fromtimestamp(doubt.noticed_unix_ns / 1e9, timezone.utc).isoformat(
                timespec="seconds"
            ),
            "position": doubt.position,
            "message": _worded(doubt),
            "repeated": doubt.repeated,
            "delivered": doubt.delivered,
        }
        for doubt in held.doubts
    ]
    if as_json:
        stream = {"stream_id": held.stream.stream_id, "boot_id": held.stream.boot_id}
        unique_id = held.stream.unique_id.rstrip(b"\0").hex()
        record = {"outbox": str(path), "waiting": held.waiting, "maybe_sent": held.maybe_sent, **stream}
        _print_json({**record, "unique_id": unique_id, "doubts": doubts})
        return
    click.echo(
        f"{path}: {held.waiting} wait, {held.maybe_sent} of them may have been sent; {len(doubts)} were in doubt"
    )
    if doubts:
        words = {True: "sent again, flagged", False: "not sent again"}
        rows = [
            (
                d["noticed_utc"],
                str(d["position"]),
                d["message"],
                words[d["repeated"]],
                "yes" if d["delivered"] else "no",
            )
            for d in doubts
        ]
        _table(
            "In doubt: may have taken effect twice, or not at all", ("noticed", "number", "message", "", "done"), rows
        )


def _worded(doubt: Any) -> str:
    from firmware_bridge.errors import ProtocolError
    from firmware_bridge.messages import CellResult, Differential

    try:
        message = doubt.message
    except ProtocolError:
        return f"type 0x{doubt.kind:02x} {doubt.payload.hex()}"
    if isinstance(message, CellResult):
        return f"cell {message.cell_id} {message.label} {message.probability:.3f}"
    return f"differential, total {message.total}" if isinstance(message, Differential) else message.TYPE.name


@instrument.command("simulate")
@click.option("--link", metavar="PATH", help="Also make PATH a symbolic link to the port.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--quiet", is_flag=True, help="Print only the port and the totals.")
@click.option(
    "--baud", type=click.IntRange(1, 4_000_000), help="Be as slow as a line of so many bit/s.  [default: no slower]"
)
def simulate_command(link: str | None, as_json: bool, quiet: bool, baud: int | None) -> None:
    """Be an instrument on a pseudo-terminal and print every result as it is applied.

    The first line names the port. Ends on Ctrl-C or SIGTERM with the totals.
    """
    from firmware_bridge.simulator import simulate

    try:
        simulate(link=link, as_json=as_json, quiet=quiet, baud=baud)
    except FileExistsError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"the simulated instrument cannot run: {error}") from error


def main() -> None:
    """``python -m firmware_bridge``: the same verbs and exit codes without edge-wbc."""
    try:
        result = instrument.main(prog_name="python -m firmware_bridge", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    sys.exit(result if isinstance(result, int) else 0)
