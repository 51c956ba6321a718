"""The verb ``classify``."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_wbc import RESEARCH_USE
from edge_wbc.cli.common import print_json, progress, say
from edge_wbc.cli.session import (
    exit_code,
    model_options,
    new_session,
    notice,
    open_engine_for,
    sink_uris,
    stopping,
)

if TYPE_CHECKING:
    from edge_wbc.types import Frame, FrameResult


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH…")
@model_options
@click.option("--jsonl", type=click.Path(dir_okay=False), help="Also write one JSON object a line here.")
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False), help="Also write a table of the cells here.")
@click.option("--json", "as_json", is_flag=True, help="Print summary and cells as one JSON object.")
def classify(
    paths: tuple[Path, ...], mode: str, model: str, engine: str, jsonl: str | None, csv_file: str | None, as_json: bool
) -> int:
    """Classify the cells in still images; a PATH may be a folder."""
    from edge_wbc.pipeline import Pipeline
    from edge_wbc.records import cell_records
    from edge_wbc.sinks.base import open_sink
    from edge_wbc.sources.files import open_images

    source = open_images(paths)
    files = [f"{scheme}:{path}" for scheme, path in (("jsonl", jsonl), ("csv", csv_file)) if path]
    results: list[dict[str, Any]] = []
    with closing(open_engine_for(source, engine, model)) as loaded, progress("classifying", len(source)) as advance:

        def watch(_: Frame, result: FrameResult) -> None:
            if as_json:
                results.extend(cell_records(result.counted))
            advance(result.frame.index + 1)

        pipeline = Pipeline(
            source,
            loaded,
            [open_sink(uri) for uri in (*sink_uris((), as_json), *files)],
            new_session(source.uri, mode, loaded),
            notice=notice,
            watch=watch,
        )
        with stopping(pipeline.stop) as interrupted:
            outcome = pipeline.run()
    if as_json:
        print_json({**asdict(outcome.summary), "notice": RESEARCH_USE, "results": results})
    else:
        from edge_wbc.cli.show import differential_table, summary_lines

        differential_table(outcome.summary.differential, "Differential")
        say(summary_lines(outcome.summary)[0])
    return exit_code(outcome, interrupted())
