// The review of a session: cells by class, moved by a key or a drag, signed.

import { element, get } from "./api.js";
import { Asking } from "./review-ask.js";
import { Cells } from "./review-cells.js";
import { Crops } from "./review-crops.js";
import { drag } from "./review-drag.js";
import { Grid, named } from "./review-grid.js";
import { Choosing, listen } from "./review-keys.js";
import { Saves, when } from "./review-saves.js";
import { agreement, differential } from "./review-tables.js";
import { Zoom } from "./review-zoom.js";

const root = document.getElementById("review");
const { session, blind, who, role } = root.dataset;
const url = `/api/sessions/${session}`;
const by = (id) => document.getElementById(id);

const review = await get(`${url}/review${blind ? "?blind=true" : ""}`).catch((error) => {
  line(error.message, "failed");
  throw error;
});
const cells = new Cells(review);
const crops = new Crops(`${url}/crops`);
crops.add(cells.recorded());
const grid = new Grid(by("gallery"), cells, crops);
const choosing = new Choosing(grid, cells);
const saves = new Saves(url, cells, review, heard);
const zoom = new Zoom(url, cells, crops);
const ask = new Asking(() => grid.active !== null && grid.go(grid.active));
const fixed = () => role === "viewer" || review.signed !== null;

const acts = {
  fixed,
  changed() {
    grid.draw();
    zoom.follow(grid.active);
  },
  move: (to) => acts.moveThese(choosing.meant(), to),
  moveThese(numbers, to) {
    if (fixed()) return line(review.signed ? "signed: amend it to change it" : "you may look, not move");
    if (!numbers.length) return;
    const next = choosing.after(numbers);
    saves.move(numbers, to);
    cells.chosen = new Set();
    choosing.anchor = null;
    grid.go(next, { focus: !zoom.open });
    counts();
  },
  undo() {
    if (fixed()) return;
    if (blind) return line("give the cell another class; a blind reading is not undone");
    saves.undo();
  },
  zoom: () => grid.active !== null && zoom.show(grid.active),
  odds() {
    if (blind) return line("a blind reader sees no probabilities");
    grid.odds = !grid.odds;
    by("odds").setAttribute("aria-pressed", String(grid.odds));
    acts.changed();
  },
  help: () => ask.keys(cells.classes),
};
listen(root, choosing, acts);
drag(by("gallery"), by("chips"), choosing, acts);

const chips = new Map();
for (const { name, key, colour } of cells.classes) {
  if (blind && !key) continue;
  const count = element("span", { class: "count" });
  const chip = element("button", { type: "button", "data-class": name, class: "chip" });
  const swatch = element("span", { class: "swatch" });
  swatch.style.background = colour;
  chip.append(swatch, named(name), " ", ...(key ? [element("kbd", {}, key)] : []), " ", count);
  chip.addEventListener("click", () => (blind ? acts.move(name) : grid.jump(name)));
  by("chips").append(chip);
  chips.set(name, { chip, count });
  if (key) by("move-to").append(element("option", { value: name }, named(name)));
}
by("move-to").addEventListener("change", (event) => {
  if (event.target.value) acts.move(event.target.value);
  event.target.value = "";
});
by("undo").addEventListener("click", acts.undo);
by("zoom-in").addEventListener("click", acts.zoom);
by("odds").addEventListener("click", acts.odds);
by("help").addEventListener("click", acts.help);
by("retry").addEventListener("click", () => saves.retry());
by("relabel").addEventListener("click", () =>
  ask.text({ name: "Label", label: "What the session is of", text: review.label, does: "Save" }, (label) => saves.decide("label", { label }, "label")),
);
by("sign").addEventListener("click", () => ask.sign(hindrances(), who, cells, review, () => saves.decide("sign", {}, "signed")));
by("amend").addEventListener("click", () =>
  ask.text({ name: "Amend", label: `Why version ${review.version} is opened again`, does: "Amend" }, (why) => saves.decide("amend", { why }, "amended")),
);
for (const { name, explain } of grid.sections.values())
  explain.addEventListener("click", () =>
    ask.text({ name: `Cells that stay ${name}`, label: "Why they stay so", text: review.explained[name]?.why ?? "", does: "Save" }, (why) =>
      saves.decide("explanations", { pile: name, why }, "explanation"),
    ),
  );

function hindrances() {
  return cells.piles.map((pile) => ({ pile, cells: cells.sections.get(pile)?.length ?? 0, why: review.explained?.[pile]?.why }))
    .filter((one) => one.cells);
}

function line(text, state = "") {
  by("saved").textContent = text;
  by("line").dataset.state = state;
}

// What the server answered, or did not: the line, and everything beside the tiles.
function heard({ state, line: text, others = [], added, answer }) {
  if (added) {
    cells.add(added);
    crops.add(added.number);
    return;
  }
  if (answer) Object.assign(review, answer);
  if (state === "others") text = others.map(news).filter(Boolean).at(-1);
  if (state === "back") text = "connected again";
  if (text) line(text, state);
  by("retry").hidden = !saves.failed.length;
  if (state === "saved" && blind) by("agreement").hidden = false;
  if (grid.active !== null && !cells.cells.has(grid.active)) grid.active = null;
  acts.changed();
  if (state !== "saving") about();
}

const DONE = { signed: "signed", amended: "amended", labelled: "wrote another label", read: "read cells blind", undone: "took a move back", explained: "said why cells stay" };

function news({ who: other, kind, at_utc, to, cells: count }) {
  if (other === who && kind !== "signed") return "";
  const what = kind === "moved" ? `moved ${count} ${count === 1 ? "cell" : "cells"} to ${named(to)}` : DONE[kind];
  return what && `${other} ${what} at ${when(at_utc)}`;
}

// How many cells a class has now, beside its name.
function counts() {
  cells.sorted();
  const found = new Map();
  for (const { now } of cells.cells.values()) found.set(now, (found.get(now) ?? 0) + 1);
  for (const [name, { count }] of chips) count.textContent = found.get(cells.names.indexOf(name)) ?? 0;
}

function about() {
  counts();
  const { signed, running, version, label } = review;
  by("name").textContent = label || session;
  const parts = [session, `${cells.numbers.length} cells`, review.model];
  if (blind) parts.push(`${[...cells.cells.values()].filter((cell) => cell.now === null).length} not read`);
  if (running) parts.push("running");
  parts.push(signed ? `version ${signed.version} signed by ${signed.who} at ${signed.at_utc}: read-only` : `version ${version}, not signed`);
  by("about").textContent = parts.join(" · ");
  document.title = `${label || session} · edge-wbc`;
  for (const id of ["undo", "move-to", "sign", "relabel"]) by(id).disabled = fixed();
  by("sign").hidden = blind || signed !== null;
  by("amend").hidden = blind || signed === null || role === "viewer";
  by("undo").hidden = by("odds").hidden = Boolean(blind);
  for (const [name, { explain }] of grid.sections) explain.hidden = fixed() || !cells.sections.get(name).length;
  root.classList.toggle("fixed", fixed());
  if (!blind) by("table").replaceChildren(differential(review, cells));
}

// Asked for when it is opened: who reads blind should not see at each cell whether they agree.
async function kappa() {
  if (!by("agreement").open) return;
  const { readers } = await get(`${url}/agreement`);
  by("kappa").replaceChildren(...readers.map((one) => agreement(one)));
}

addEventListener("beforeunload", (event) => saves.jobs.length && event.preventDefault());
if (matchMedia("(max-width: 900px)").matches) by("differential").open = false;
by("differential").hidden = Boolean(blind);
about();
grid.draw();
const [first] = choosing.order();
if (first !== undefined) grid.go(first);
scrollTo(0, 0);
by("agreement").hidden = !review.readers.length;
by("agreement").addEventListener("toggle", kappa);
performance.mark("gallery");
document.documentElement.dataset.ready = "yes";
