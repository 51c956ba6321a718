"""The grammar of sources and sinks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_wbc.errors import UsageError
from edge_wbc.uri import load, parse, table_with_plugins

TABLE = {"file": "a:b", "smear": "a:b", "v4l2": "a:b"}


@pytest.mark.parametrize(
    ("text", "scheme", "path", "options"),
    [
        ("smear://?seed=1&cells=20", "smear", "", {"seed": "1", "cells": "20"}),
        ("SMEAR://?seed=1", "smear", "", {"seed": "1"}),
        ("v4l2:///dev/video0", "v4l2", "/dev/video0", {}),
        ("file:a?b=c.png", "file", "a?b=c.png", {}),
        ("file:///a%20b.png?x=", "file", "/a b.png", {"x": ""}),
        ("slides/50%20.png", "file", "slides/50%20.png", {}),
        (r"C:\slides\1.png", "file", r"C:\slides\1.png", {}),
        ("./12:30.png", "file", "./12:30.png", {}),
        ("", "file", "", {}),
    ],
)
def test_what_is_written_is_what_is_read(text: str, scheme: str, path: str, options: dict[str, str]) -> None:
    uri = parse(text, TABLE, plain="file")
    assert (uri.text, uri.scheme, uri.path, dict(uri.options)) == (text, scheme, path, options)


def test_a_mistyped_scheme_gets_a_hint() -> None:
    with pytest.raises(UsageError, match="did you mean smear:"):
        parse("smaer://?seed=1", TABLE)
    with pytest.raises(UsageError, match="known are file:, smear:, v4l2:"):
        parse("ftp://x", TABLE)


def test_a_sink_needs_a_scheme() -> None:
    with pytest.raises(UsageError, match="has no scheme"):
        parse("out", TABLE)


def test_options_are_converted_or_refused() -> None:
    uri = parse("smear://?seed=7&fps=fast", TABLE)
    assert uri.option("seed", int, 1) == 7
    assert uri.option("cells", int, 200) == 200
    with pytest.raises(UsageError, match="fps='fast' is not a valid float; write for example fps=30"):
        uri.option("fps", float, 30)
    uri.allow("seed", "fps")
    with pytest.raises(UsageError, match="unknown option 'fps'; smear: takes seed"):
        uri.allow("seed")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.text(),
        st.builds("".join, st.tuples(st.sampled_from([*TABLE, "x"]), st.sampled_from([":", "://", ""]), st.text())),
        st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")),
    ),
    st.sampled_from([None, "file"]),
)
def test_nothing_but_usage_errors(text: str, plain: str | None) -> None:
    try:
        uri = parse(text, TABLE, plain=plain)
    except UsageError:
        return
    assert uri.text == text
    assert uri.scheme in TABLE
    assert all(isinstance(value, str) for value in uri.options.values())


def test_built_in_names_win_over_plugins() -> None:
    assert table_with_plugins({"a": "b:c"}, "console_scripts")["a"] == "b:c"
    assert "pytest" in table_with_plugins({}, "console_scripts"), "entry points of other packages are in the table"
    assert table_with_plugins({"pytest": "mine:f"}, "console_scripts")["pytest"] == "mine:f"


def test_load_imports_what_is_named() -> None:
    assert load("edge_wbc.uri:parse") is parse
