// Sections of tiles, one a class; of 10,000 tiles only those near the view are in the page.

import { element } from "./api.js";

const BEYOND = 3; // rows kept above and below the view
const TILE = { width: 86, height: 102 };

export class Grid {
  constructor(root, cells, crops) {
    Object.assign(this, { root, cells, crops, active: null, odds: false, tiles: new Map(), across: 1 });
    this.bar = document.getElementById("bar");
    this.sections = new Map();
    for (const name of cells.sectionNames()) this.sections.set(name, this.section(name));
    const later = () => this.soon();
    addEventListener("scroll", later, { passive: true });
    new ResizeObserver(later).observe(root);
  }

  section(name) {
    const about = this.cells.classes.find((one) => one.name === name);
    const id = `class-${name.replaceAll(/[ _]/g, "-")}`;
    const count = element("span", { class: "count" });
    const button = element("button", { type: "button", "aria-expanded": "true", "aria-controls": `${id}-cells` });
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = about?.colour ?? "transparent";
    button.append(swatch, named(name), " ", count);
    const head = element("h2", { id }, button);
    if (about?.key) head.append(element("kbd", {}, about.key));
    const explain = element("button", { type: "button", class: "explain", hidden: "" }, "Say why they stay…");
    if (this.cells.piles.includes(name)) head.append(explain);
    const list = element("div", {
      ...{ id: `${id}-cells`, role: "listbox", tabindex: "0", "aria-multiselectable": "true", "aria-label": named(name) },
      ...{ class: "cells", "data-class": name },
    });
    const whole = element("section", { "data-class": name, class: "class" }, head, list);
    whole.style.setProperty("--class", about?.colour ?? "transparent");
    button.addEventListener("click", () => {
      list.hidden = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!list.hidden));
      this.soon();
    });
    list.addEventListener("focus", () => {
      const inside = this.active !== null && this.cells.sectionOf(this.active) === name;
      if (!inside) this.go(this.cells.sections.get(name)[0], { focus: false });
    });
    this.root.append(whole);
    return { name, whole, list, count, explain, head };
  }

  soon() {
    this.due ??= requestAnimationFrame(() => {
      this.due = undefined;
      this.draw();
    });
  }

  // Everything in view as it is now.
  draw() {
    this.cells.sorted();
    this.across = Math.max(1, Math.floor(this.root.clientWidth / TILE.width));
    for (const { name, list, count, whole } of this.sections.values()) {
      const numbers = this.cells.sections.get(name);
      const height = `${Math.ceil(numbers.length / this.across) * TILE.height}px`;
      if (list.style.height !== height) list.style.height = height;
      if (count.textContent === String(numbers.length)) continue;
      count.textContent = numbers.length;
      whole.classList.toggle("empty", !numbers.length);
    }
    const views = [...this.sections.values()].map((one) => [one, one.list.getBoundingClientRect()]);
    const wanted = views.map(([section, box]) => [section, this.inView(section, box)]);
    const shown = new Set(wanted.flatMap(([{ name }, places]) => places.map((i) => this.cells.sections.get(name)[i])));
    for (const [number, tile] of this.tiles) {
      if (shown.has(number)) continue;
      tile.remove();
      this.tiles.delete(number);
    }
    for (const [{ name, list }, places] of wanted) {
      const numbers = this.cells.sections.get(name);
      let next = list.firstChild; // tiles stand in the order in which they are read out
      for (const i of places) {
        const tile = this.tile(numbers, i);
        if (tile === next) next = next.nextSibling;
        else list.insertBefore(tile, next);
      }
    }
    for (const { name, list } of this.sections.values()) {
      const here = this.active !== null && this.cells.sectionOf(this.active) === name && !list.hidden;
      if (here) list.setAttribute("aria-activedescendant", `cell-${this.active}`);
      else list.removeAttribute("aria-activedescendant");
    }
  }

  // Places in a section's order that are near the view, and that of the active cell.
  inView({ name, list }, box) {
    const numbers = this.cells.sections.get(name);
    if (!numbers.length || list.hidden) return [];
    const first = this.across * Math.max(0, Math.floor(-box.top / TILE.height) - BEYOND);
    const last = this.across * (Math.ceil((innerHeight - box.top) / TILE.height) + BEYOND);
    const places = [];
    for (let i = first; i < Math.min(numbers.length, last); i++) places.push(i);
    const active = this.active === null ? -1 : numbers.indexOf(this.active);
    if (active >= 0 && active < first) places.unshift(active);
    else if (active >= Math.max(first, last)) places.push(active);
    return places;
  }

  tile(numbers, i) {
    const number = numbers[i];
    const cell = this.cells.cells.get(number);
    let tile = this.tiles.get(number);
    if (!tile) {
      tile = element("div", { role: "option", id: `cell-${number}`, class: "tile", "data-number": number });
      tile.append(element("span", { class: "crop" }), element("span", { class: "caption" }));
      this.crops.show(tile.firstChild, number);
      this.tiles.set(number, tile);
    }
    const [x, y] = [i % this.across, Math.floor(i / this.across)];
    tile.style.transform = `translate(${x * TILE.width}px, ${y * TILE.height}px)`;
    const key = this.cells.blind ? this.cells.classes[cell.now]?.key : "";
    const odds = this.odds && !this.cells.blind ? `${Math.round(100 * cell.probability)} %` : "";
    const caption = [number, key, odds || (cell.row ? "✓" : "")].filter(Boolean).join(" · ");
    if (tile.lastChild.textContent !== caption) tile.lastChild.textContent = caption;
    const states = {
      "aria-label": this.cells.label(number),
      "aria-selected": String(this.cells.chosen.has(number)),
      "aria-setsize": numbers.length,
      "aria-posinset": i + 1,
    };
    for (const [name, value] of Object.entries(states))
      if (tile.getAttribute(name) !== String(value)) tile.setAttribute(name, value);
    tile.classList.toggle("active", number === this.active);
    tile.classList.toggle("waits", cell.waits);
    tile.classList.toggle("moved", cell.row > 0);
    return tile;
  }

  // Make a cell the active one, in view; null leaves none.
  go(number, { focus = true } = {}) {
    this.active = number ?? null;
    if (this.active === null) return this.soon();
    const { list } = this.sections.get(this.cells.sectionOf(this.active));
    if (list.hidden) list.parentNode.querySelector("button").click();
    this.draw();
    const numbers = this.cells.sections.get(this.cells.sectionOf(this.active));
    const row = Math.floor(numbers.indexOf(this.active) / this.across);
    const top = list.getBoundingClientRect().top + row * TILE.height;
    const free = this.bar.getBoundingClientRect().bottom + 8;
    if (focus) list.focus({ preventScroll: true });
    if (top < free) scrollBy(0, top - free - 40);
    else if (top + TILE.height > innerHeight - 8) scrollBy(0, top + TILE.height - innerHeight + 8);
    this.draw();
  }

  jump(name) {
    const { whole } = this.sections.get(name);
    scrollBy(0, whole.getBoundingClientRect().top - this.bar.getBoundingClientRect().bottom - 8);
    const [first] = this.cells.sections.get(name);
    if (first !== undefined) this.go(first);
  }
}

export const named = (name) => name.replaceAll("_", " ");
