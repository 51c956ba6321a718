// One cell as far as it can be seen: its field, its crop enlarged, what the network said, who decided what.

import { element, get } from "./api.js";
import { named } from "./review-grid.js";

export class Zoom {
  constructor(url, cells, crops) {
    Object.assign(this, { url, cells, crops, number: null });
    this.dialog = document.getElementById("zoom");
    this.field = document.getElementById("field");
    this.said = document.getElementById("field-said");
    this.dialog.addEventListener("close", () => {
      this.number = null;
      this.field.removeAttribute("src");
    });
  }

  get open() {
    return this.dialog.open;
  }

  show(number) {
    if (!this.open) this.dialog.showModal();
    this.follow(number, true);
  }

  // Another cell became the active one, or something was decided about this one.
  follow(number, anew = false) {
    if (!this.open || number === null) return;
    const title = this.cells.label(number);
    document.getElementById("zoom-name").textContent = title;
    if (number === this.number && !anew && title === this.title) return;
    if (number !== this.number) {
      this.crops.show(document.getElementById("large"), number);
      this.look(number);
    }
    Object.assign(this, { number, title });
    this.facts(number);
  }

  async look(number) {
    this.field.hidden = true;
    this.said.textContent = "…";
    const response = await fetch(`${this.url}/field/${number}`).catch(() => null);
    const of = response?.headers.get("X-Field-Of") === "mosaic" ? "the slide's mosaic around the cell" : "";
    const line = response?.ok ? of : ((await response?.json().catch(() => null))?.detail ?? "the field can't be loaded");
    const picture = response?.ok ? await response.blob() : null;
    if (this.number !== number) return;
    this.said.textContent = line;
    if (!picture) return;
    if (this.field.src) URL.revokeObjectURL(this.field.src);
    this.field.src = URL.createObjectURL(picture);
    this.field.alt = `Field of cell ${number}, the cell marked by a square`;
    this.field.hidden = false;
  }

  async facts(number) {
    const place = document.getElementById("facts");
    const blind = this.cells.blind ? "?blind=true" : "";
    const told = await get(`${this.url}/cells/${number}${blind}`).catch(() => null);
    if (this.number !== number || !told) return;
    const list = element("dl");
    const add = (name, value) => list.append(element("dt", {}, name), element("dd", {}, String(value)));
    add("seen", `${new Date(told.utc).toLocaleString()}, frame ${told.frame}`);
    if (told.sightings > 1) add("sightings", told.sightings);
    if (told.place) add("place on the slide", told.place.join(", "));
    place.replaceChildren(list);
    if (this.cells.blind) return;
    const said = element("table", {}, element("caption", {}, "What the network said"));
    for (const [name, share] of Object.entries(told.probabilities).sort((a, b) => b[1] - a[1])) {
      const bar = element("meter", { min: "0", max: "1", value: share, "aria-hidden": "true" });
      said.append(
        element("tr", {}, element("th", { scope: "row" }, named(name)), element("td", {}, `${(100 * share).toFixed(1)} %`), element("td", {}, bar)),
      );
    }
    place.append(said);
    if (!told.history.length) return;
    const rows = element("ol");
    for (const one of told.history) {
      const what = one.kind === "moved" ? `from ${named(one.from)} to ${named(one.to)}` : `back to ${named(one.to)}`;
      const why = one.why ? `: ${one.why}` : "";
      rows.append(element("li", {}, `${one.who}, ${new Date(one.at_utc).toLocaleString()}, ${what}${why}`));
    }
    place.append(element("h3", {}, "Decisions"), rows);
  }
}
