"""The command ``edge-wbc``: a table of verbs, each imported when called, and errors turned into exit codes."""

from __future__ import annotations

import errno
import os
import sys
from typing import NoReturn

import click

from edge_wbc import RESEARCH_USE, __version__
from edge_wbc.errors import EdgeWbcError, reason
from edge_wbc.uri import load

VERBS: dict[str, tuple[str, str]] = {
    "demo": ("edge_wbc.cli.demo:demo", "The whole thing on this machine, with nothing attached."),
    "run": ("edge_wbc.cli.run:run", "Classify live, or a file or folder, and send results on."),
    "sessions": ("edge_wbc.cli.sessions:sessions", "List, show, report, teach, verify, replay … recorded sessions."),
    "serve": ("edge_wbc.cli.serve:serve", "Watch, review and sign sessions in a browser."),
    "users": ("edge_wbc.cli.users:users", "Say who may come in to the pages."),
    "control": ("edge_wbc.cli.control:control", "Run known cells, watch the trends: quality control."),
    "classify": ("edge_wbc.cli.classify:classify", "Classify still images."),
    "train": ("training.cli:train", "Fit a network to labelled cells."),
    "evaluate": ("training.cli:evaluate", "Score a model on labelled images."),
    "study": ("training.cli:study", "Train and try networks to measure how far one can be trusted."),
    "export": ("export.cli:export", "Turn weights into a verified graph with its manifest."),
    "calibrate": ("calibration.cli:calibrate", "Turn a graph into INT8, judged class by class; lint anyone's."),
    "build": ("export.build_cli:build", "Build a graph's TensorRT engine for this machine."),
    "verify": ("export.cli:verify", "Hold every engine against the reference on real cells."),
    "front": ("export.cli:front", "Time graphs beside published small networks, and draw both."),
    "bench": ("edge_wbc.cli.bench:bench", "Measure the pipeline beside the loop most people write."),
    "sources": ("edge_wbc.cli.sources:sources", "List cameras and other places frames can come from."),
    "instrument": ("firmware_bridge.cli:instrument", "Find, ask, watch, try and simulate instruments."),
    "doctor": ("edge_wbc.cli.doctor:doctor", "What is here, what is missing, what to type next."),
}
"""Verb → ``module:command`` and the line ``--help`` shows for it."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 finished, but a check failed; 2 usage; 3 input refused; 4 hardware or environment missing; "
    "5 an output failed, the rest is complete; 130 interrupted."
)

_WRITING_FAILED = frozenset({errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EDQUOT})
"""With no file named, it was standard output: sinks turn their own errors into OutputFailed."""


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = load(VERBS[cmd_name][0])
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])


@click.group(cls=_Verbs, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-wbc")
def cli() -> None:
    """Live white-blood-cell differential counting on a small computer."""


cli.help = f"{cli.help}\n\n{RESEARCH_USE}"


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with a documented code."""
    try:
        result = cli.main(arguments, prog_name="edge-wbc", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(result if isinstance(result, int) else 0)
    except EdgeWbcError as error:
        click.echo(f"edge-wbc: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("edge-wbc: interrupted", err=True)
        sys.exit(130)
    except OSError as error:
        if error.errno not in _WRITING_FAILED or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
        click.echo(f"edge-wbc: standard output: {reason(error)}; other outputs are complete", err=True)
        sys.exit(5)
