"""The people and servers of the tests of safety."""

from __future__ import annotations

from tests.edge_wbc.web.conftest import (  # noqa: F401
    alone,
    cheap_passwords,
    client,
    come_in,
    more_doors,
    people,
    place,
    start,
    users,
)
