// The list of what was recorded, newest first.

import { element, get } from "./api.js";

const ends = { running: "running", interrupted: "broke off" };

function when(utc) {
  const time = new Date(utc);
  if (Number.isNaN(time.valueOf())) return utc;
  return time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function state(one) {
  if (one.wrong) return element("span", { class: "state bad", title: one.wrong }, "damaged");
  if (one.ended === "running") return element("span", { class: "state busy" }, "running");
  if (one.signed_by === null) {
    const words = one.decisions ? "in review" : "open";
    return element("span", { class: "state" }, one.version > 1 ? `${words}, version ${one.version}` : words);
  }
  const signed = element("span", { class: "state good" }, one.version > 1 ? `signed, version ${one.version}` : "signed");
  return element("span", {}, signed, " ", element("span", { class: "by" }, `by ${one.signed_by}, ${when(one.signed_utc)}`));
}

function row(one) {
  const path = one.ended === "running" ? "/live" : `/sessions/${encodeURIComponent(one.session_id)}`;
  const title = element("a", { href: path }, one.label || "no label");
  if (!one.label) title.classList.add("unnamed");
  const ended = ends[one.ended] && one.ended !== "running" ? ` · ${ends[one.ended]}` : "";
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, title, element("span", { class: "small" }, `${one.session_id} · ${one.source}${ended}`)),
    element("td", { "data-label": "Started" }, element("time", { datetime: one.started_utc }, when(one.started_utc))),
    element("td", { "data-label": "Cells", class: "number" }, one.cells.toLocaleString()),
    element("td", { "data-label": "Review" }, state(one)),
  );
}

const waiting = document.getElementById("waiting");
try {
  const found = await get("/api/sessions");
  const table = document.getElementById("sessions");
  table.tBodies[0].append(...found.sessions.map(row));
  table.hidden = found.sessions.length === 0;
  document.getElementById("none").hidden = found.sessions.length + found.unreadable.length > 0;
  const unreadable = document.getElementById("unreadable");
  unreadable.querySelector("ul").append(...found.unreadable.map((line) => element("li", {}, line)));
  unreadable.hidden = found.unreadable.length === 0;
  waiting.hidden = true;
} catch (error) {
  waiting.textContent = error.message;
  waiting.className = "error";
}
