"""``bench report``."""

from __future__ import annotations

from pathlib import Path

import click

from edge_wbc.cli.common import say


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--page", type=click.Path(path_type=Path), metavar="FILE.html", help="One page with pictures.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE.md", help="For a README or an issue.")
def report(results: tuple[Path, ...], page: Path | None, markdown: Path | None) -> int:
    """What benchmarks wrote with --out, to be read: a page that needs nothing beside itself, or Markdown.

    Markdown on standard output where neither file is named.
    """
    from edge_wbc.bench.markdown import markdown as as_markdown
    from edge_wbc.bench.page import page as as_page
    from edge_wbc.bench.results import read
    from edge_wbc.files import write_whole

    found = [read(path) for path in results]
    for path, made in ((page, as_page), (markdown, as_markdown)):
        if path is not None:
            write_whole(path, made(found).encode(), "name a file that can be written")
            say(f"wrote {path}")
    if page is None and markdown is None:
        click.echo(as_markdown(found), nl=False)
    return 0
