// The page of the session that runs: asks for the newest state over and over, and for the field it tells of.
import { element, get, post, say } from "./api.js";
import { Field } from "./live_field.js";
import { showDifferential, showFigures, showNotices } from "./live_tables.js";

const GONE_MS = 2000, NONE_MS = 5000, ASKED_MS = 30000, SAID_MS = 8000, SURE_MS = 4000, OLD_MS = 3000;
const by = (id) => document.getElementById(id);
const words = {
  waiting: "Waiting", starting: "Starting", running: "Running", paused: "Paused", ending: "Ending", ended: "Ended",
  none: "No session", gone: "No connection",
};
const more = {
  waiting: "Not counted. Focus, find the monolayer, then start.",
  paused: "Shown, but not counted.",
  ended: "Start begins the next session.",
  none: "",
  gone: "The server does not answer. Trying again.",
};
const chip = { running: "good", paused: "busy", waiting: "busy", gone: "bad" };
const canRun = by("start") !== null;
const field = new Field(by("field"), by("no-field"), by("view"));
let state = null, phase = "", lost = false, saidTimer = 0, sureTimer = 0, linkBad = false, held = false;
const typed = { label: false, until: false };

function announce(text) {
  say(text);
  clearTimeout(saidTimer);
  saidTimer = setTimeout(() => say(""), SAID_MS);
}

function complain(text) {
  by("trouble").textContent = text ?? "";
  by("trouble").hidden = !text;
}

function showPhase() {
  const now = lost ? "gone" : state.phase;
  by("phase").textContent = words[now] ?? now;
  by("phase").className = `state ${chip[now] ?? ""}`;
  const session = state?.session;
  by("phase-more").textContent = more[now] ?? (session ? `${session.id}${state.label ? `: ${state.label}` : ""}` : "");
  document.title = `${words[now] ?? now} · edge-wbc`;
  by("none").hidden = now !== "none";
  by("desk").hidden = !state || state.phase === "none";
  if (!canRun) return;
  const runs = now === "running" || now === "paused";
  const startable = now === "waiting" || now === "ended";
  const focused = document.activeElement;
  by("start").disabled = !startable;
  by("pause").disabled = by("end").disabled = !runs;
  if (runs && focused === by("start")) by("pause").focus();
  if (!runs && (focused === by("pause") || focused === by("end"))) held = true;
  if (startable && held) by("start").focus();
  if (startable || runs) held = false;
  by("pause").firstElementChild.textContent = now === "paused" ? "Go on" : "Pause";
  by("until").readOnly = runs;
  if (!runs) unsure();
}

function showEnded() {
  const ended = state.ended;
  const shown = ended && (state.phase === "ended" || state.phase === "waiting");
  by("ended").hidden = !shown;
  if (!shown) return;
  const parts = [element("b", {}, `${endingOf(ended)} `)];
  if (ended.recorded) parts.push(element("a", { href: `/sessions/${ended.id}` }, `Review ${ended.label || ended.id}`));
  by("ended").replaceChildren(...parts);
}

function endingOf(ended) {
  const counted = `${ended.leukocytes} leukocytes counted`;
  if (ended.how === "cells") return `Target reached: ${counted}, ${ended.until} asked for.`;
  return `Session ended (${ended.line}): ${counted}.`;
}

function announceChange(before) {
  if (before === state.phase || before === "") return;
  if (state.phase === "running") announce(before === "paused" ? "Counting goes on" : "Session started");
  if (state.phase === "paused") announce("Paused");
  if (state.phase === "ended" && before !== "ended") announce(state.ended ? endingOf(state.ended) : state.problem);
}

function showTarget() {
  const total = state.figures?.differential.total ?? 0;
  const runs = ["running", "paused", "ending"].includes(state.phase);
  const until = runs ? state.until : state.phase === "ended" ? state.ended?.until : null;
  by("target").hidden = !until;
  if (!until) return;
  by("progress").max = until;
  by("progress").value = Math.min(total, until);
  by("progress-text").textContent = `${total} of ${until}`;
}

function showQuality() {
  const shown = state.field, line = by("quality");
  const none = !shown || state.phase === "ended" && !state.about.live;
  line.className = `quality ${none ? "plain" : shown.rejected ? "bad" : ""}`;
  line.textContent = none ? "" : shown.rejected ? `Not judged: ${shown.advice}` : "Quality: fit to be judged";
}

function showLink() {
  const bad = (state.figures?.outputs ?? []).find((one) => one.error);
  if (bad && !linkBad) announce(`${bad.instrument ? "Link to the instrument lost" : "An output failed"}: ${bad.error}`);
  linkBad = Boolean(bad);
}

function fill(name, value) {
  const input = by(name);
  if (!typed[name] && document.activeElement !== input) input.value = value ?? "";
}

function show() {
  const before = phase;
  phase = state.phase;
  showPhase();
  if (state.phase === "none") return;
  showEnded();
  complain(state.problem);
  fill("label", state.label);
  fill("until", state.until);
  showTarget();
  showQuality();
  showDifferential(by("classes"), by("totals"), state.figures?.differential, state.about.colours);
  showFigures(by("figures"), state);
  showNotices(by("notices"), state.notices);
  field.told(state);
  showLink();
  announceChange(before);
}

async function once(after) {
  state = await get(`/api/live?after=${after}`, AbortSignal.timeout(ASKED_MS));
  if (lost) announce("Connected again");
  lost = false;
  show();
  if (state.phase === "none") await wait(NONE_MS);
  return state.number;
}

function wait(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

async function follow() {
  let after = 0;
  for (;;) {
    if (document.hidden) await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
    try {
      after = await once(after);
    } catch {
      after = 0;
      if (!lost) announce("The server does not answer");
      lost = true;
      showPhase();
      field.old(true);
      await wait(GONE_MS);
    }
  }
}

async function tell(what, body) {
  try {
    await post(`/api/live/${what}`, body);
    complain("");
    return true;
  } catch (error) {
    complain(error.message);
    announce(error.message);
    return false;
  }
}

function unsure() {
  clearTimeout(sureTimer);
  by("end").classList.remove("sure");
}

async function submit() {
  if (!by("start").disabled) {
    const until = by("until").value ? Number(by("until").value) : null;
    if (await tell("start", { label: by("label").value, until })) typed.label = typed.until = false;
  } else if (!by("end").disabled && typed.label) {
    if (await tell("label", { label: by("label").value })) {
      typed.label = false;
      announce("Label saved");
    }
  }
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const key = event.key.toLowerCase();
  if (key === "s" && !by("start").disabled) by("run").requestSubmit();
  else if (key === "p" && !by("pause").disabled) by("pause").click();
  else if (key === "e" && !by("end").disabled) {
    if (by("end").classList.contains("sure")) by("end").click();
    else {
      by("end").classList.add("sure");
      announce("Press E again to end the session");
      sureTimer = setTimeout(unsure, SURE_MS);
    }
  } else if (key === "l") by("label").focus();
  else return;
  event.preventDefault();
}

if (canRun) {
  by("run").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  by("pause").addEventListener("click", () => tell(state.phase === "paused" ? "resume" : "pause"));
  by("end").addEventListener("click", () => {
    unsure();
    tell("end");
  });
  for (const name of ["label", "until"]) by(name).addEventListener("input", () => (typed[name] = true));
  by("label").addEventListener("change", () => by("end").disabled || submit());
  document.addEventListener("keydown", pressed);
} else by("run").addEventListener("submit", (event) => event.preventDefault());
setInterval(() => state && field.old(lost || (state.phase !== "ended" && field.age() > OLD_MS && state.about?.live)), 500);
follow();
