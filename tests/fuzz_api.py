"""Fuzz the API of the pages: python -m tests.fuzz_api SECONDS

Schemathesis over the OpenAPI description, against the real server beside a live simulated slide, as an administrator,
with the id of a session that is there. Fails on any answer of 500 or more, and if the server is gone at the end.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from tests.serve_slide import serving

SEED = 1
LIVE = "smear://?seed=1&cells=100000&path=wander&size=320x240&fps=10"


def fuzz(seconds: int, folder: Path) -> int:
    """Schemathesis' exit code: 0 without a finding."""
    place = folder / "sessions"
    recorded = [sys.executable, "-m", "edge_wbc", "run", "smear://?seed=3&cells=30", "--record", str(place), "--json"]
    subprocess.run(recorded, check=True, stdout=subprocess.DEVNULL)
    (session,) = (found.name for found in place.iterdir())
    with serving(LIVE, place) as url, httpx.Client(follow_redirects=True) as browser:
        page = browser.get(url)
        host = str(page.url).rstrip("/")
        token = re.search(r'name="csrf" content="([^"]+)"', page.text)
        assert token is not None, "no token on the page"
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        code = _schemathesis(host, {"Cookie": cookie, "X-CSRF-Token": token[1]}, session, seconds, folder)
        assert browser.get(f"{host}/api/sessions").status_code == 200, "the server does not answer any more"
    return code


def _schemathesis(host: str, headers: dict[str, str], session: str, seconds: int, folder: Path) -> int:
    """:param session: put in the place of every session's id."""
    config = folder / "schemathesis.toml"
    config.write_text(f'[parameters]\n"path.session_id" = "{session}"\n')
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run"]
    command += [f"{host}/api/openapi.json", "--checks", "not_a_server_error", "--continue-on-failure"]
    command += ["--max-time", str(seconds), "--seed", str(SEED), "--request-timeout", "30"]
    command += ["--exclude-path", "/api/live", "--suppress-health-check", "all"]  # held open until something changes
    command += [word for name, value in headers.items() for word in ("--header", f"{name}: {value}")]
    return subprocess.run(command, check=False, cwd=folder).returncode


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(fuzz(int(sys.argv[1]), Path(scratch)))
