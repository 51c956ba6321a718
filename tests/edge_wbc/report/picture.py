"""The picture in the documentation: ``python -m tests.edge_wbc.report.picture docs/report-session.png``.

A simulated slide is recorded, reviewed a little, signed and shown by Debian's chromium.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from edge_wbc.report.forms import report_of, write
from edge_wbc.review import decide
from edge_wbc.review.review import Review
from tests.edge_wbc.web.browser import launched

SOURCE = "smear://?seed=7&cells=200"
WHO = "A. Kowalska"


def main(to: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        label = ["--label", "Slide 7, second drop", "--note", "May–Grünwald–Giemsa"]
        run = [sys.executable, "-m", "edge_wbc", "run", SOURCE, "--record", place, *label]
        subprocess.run(run, check=True, capture_output=True)
        (folder,) = place.iterdir()
        review = Review(folder)
        _review(review)
        write(report_of(review), place / "report.html")
        _shot(place / "report.html", to)
    Image.open(to).convert("RGB").quantize(255).save(to, optimize=True)


def _review(review: Review) -> None:
    first, *others = review.left("unidentified")
    for number in others:
        said = review.cells[number].prediction.probabilities
        decide.move(review, WHO, {number: "unidentified"}, max(said, key=said.__getitem__))
    neutrophils = [number for number in review.cells if review.class_of(number) == "neutrophil"]
    doubtful = min(neutrophils, key=lambda number: review.cells[number].prediction.probability)
    decide.move(review, WHO, {doubtful: "neutrophil"}, "immature granulocyte", "band form")
    decide.explain(review, WHO, "unidentified", f"cell {first} is smudged")
    decide.sign(review, WHO)


def _shot(page: Path, to: Path) -> None:
    with launched() as browser:
        shown = browser.new_page(viewport={"width": 960, "height": 1300})
        shown.goto(page.as_uri())
        shown.screenshot(path=to, full_page=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
