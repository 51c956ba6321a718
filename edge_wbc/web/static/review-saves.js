// Decisions on their way to the server, one after another. A tile moves at once, but counts as saved only when the
// server has answered; where it has not, the tile goes back.

import { get, post, Refused } from "./api.js";

const POLL_MS = 3000;
const AT_ONCE = 20000; // cells in a request: the server takes bodies of 1 MB

export class Saves {
  constructor(url, cells, answer, heard) {
    Object.assign(this, { url, cells, heard, jobs: [], failed: [], last: answer.row, running: false, lost: false });
    setInterval(() => this.poll(), POLL_MS);
    document.addEventListener("visibilitychange", () => this.poll());
  }

  known() {
    return { after: this.last, cell: this.cells.last };
  }

  move(numbers, to) {
    const now = this.cells.names.indexOf(to);
    numbers = numbers.filter((number) => this.cells.cells.get(number).now !== now);
    if (!numbers.length) return;
    if (numbers.length > AT_ONCE) {
      for (let i = 0; i < numbers.length; i += AT_ONCE) this.move(numbers.slice(i, i + AT_ONCE), to);
      return;
    }
    const these = new Set(numbers);
    for (const one of this.failed) one.numbers = one.numbers.filter((number) => !these.has(number));
    this.failed = this.failed.filter((one) => one.numbers.length);
    const seen = new Map(numbers.map((number) => [number, this.cells.nameOf(number)]));
    const before = new Map(numbers.map((number) => [number, this.cells.stateOf(number)]));
    for (const number of numbers) this.cells.set(number, { now, who: undefined, row: 0 }, true);
    const send = () => {
      if (this.cells.blind)
        return post(`${this.url}/read`, { ...this.known(), cells: Object.fromEntries(numbers.map((n) => [n, to])) });
      return post(`${this.url}/moves`, { ...this.known(), cells: Object.fromEntries(seen), to });
    };
    this.enqueue({ send, before, to, said: `${counted(numbers.length)} to ${to.replaceAll("_", " ")}` });
  }

  undo() {
    this.enqueue({ send: () => post(`${this.url}/undo`, this.known()), before: new Map(), said: "taken back" });
  }

  // A decision that moves no tile; resolves when it is saved, rejects when it is refused.
  decide(path, body, said) {
    return new Promise((done, failed) => {
      this.enqueue({ send: () => post(`${this.url}/${path}`, { ...this.known(), ...body }), before: new Map(), said, done, failed });
    });
  }

  enqueue(job) {
    this.jobs.push(job);
    this.heard({ state: "saving", line: "saving…" });
    if (!this.running) this.run();
  }

  async run() {
    this.running = true;
    while (this.jobs.length) {
      const [job] = this.jobs;
      try {
        const answer = await job.send();
        this.jobs.shift();
        this.take(answer);
        const unsaved = this.failed.flatMap((one) => one.numbers).length;
        const rest = unsaved ? `; ${counted(unsaved)} still not saved` : "";
        const more = this.jobs.length ? "saving…" : `saved · ${job.said}${rest}`;
        this.heard({ state: this.jobs.length ? "saving" : "saved", line: more, answer });
        job.done?.(answer);
      } catch (error) {
        this.failedAt(job, error);
      }
    }
    this.running = false;
  }

  // The job and all behind it are taken back, the newest first: later ones built on it.
  failedAt(job, error) {
    const jobs = this.jobs.splice(0);
    for (const { before } of [...jobs].reverse()) for (const [number, state] of before) this.cells.set(number, state);
    const again = jobs.filter((one) => one.before.size);
    const conflict = error instanceof Refused && error.answer.cells;
    if (conflict) {
      for (const [number, name] of Object.entries(error.answer.cells)) {
        const by = error.answer.by[number];
        this.cells.set(Number(number), { now: this.cells.names.indexOf(name), who: by?.who, row: by?.row ?? 0 });
      }
      this.heard({ state: "failed", line: `not saved: ${told(error.answer)}` });
      jobs.forEach((one) => one.failed?.(error));
      return this.poll();
    }
    const refused = error instanceof Refused && error.status < 500;
    if (!refused) this.failed.push(...again.map(({ before, to }) => ({ numbers: [...before.keys()], to })));
    const why = error instanceof Refused ? error.message : "no answer from the server";
    this.heard({ state: "failed", line: `not saved: ${why}` });
    jobs.forEach((one) => one.failed?.(error));
    if (refused) this.poll(); // another may have signed
  }

  // An answer may have been lost after the server saved: what it knows is asked for first.
  async retry() {
    const failed = this.failed;
    this.failed = [];
    if (!(await this.poll())) {
      this.failed = failed;
      return this.heard({ state: "failed", line: "not saved: no answer from the server" });
    }
    this.heard({ state: "saved", line: "saved" }); // unless one of these moves is still to be made
    for (const { numbers, to } of failed) this.move(numbers, to);
  }

  async poll() {
    if (this.running && this.jobs.length) return false;
    if (document.hidden && !this.failed.length) return false;
    try {
      const { after, cell } = this.known();
      const answer = await get(`${this.url}/review/rows?after=${after}&cell=${cell}${this.cells.blind ? "&blind=true" : ""}`);
      if (this.jobs.length) return false;
      const others = this.take(answer);
      const back = this.lost;
      this.lost = false;
      if (others.length || answer.added.number.length || back) this.heard({ state: back ? "back" : "others", others, answer });
      return true;
    } catch (error) {
      if (!this.lost) this.heard({ state: "lost", line: `no connection: ${error.message}` });
      this.lost = true;
      return false;
    }
  }

  // What came since: cells as they stand now, also under moves that are still on their way.
  take(answer) {
    if (answer.added.number.length) this.heard({ state: "added", added: answer.added });
    for (const [text, [now, mover]] of Object.entries(answer.cells)) {
      const number = Number(text);
      const state = { now, who: mover?.[0], row: mover?.[1] ?? (this.cells.blind ? answer.row : 0) };
      const waiting = this.jobs.find((job) => job.before.has(number));
      if (waiting) waiting.before.set(number, state);
      else this.cells.set(number, state);
    }
    const others = answer.news.filter((one) => one.row > this.last);
    this.last = Math.max(this.last, answer.row);
    return others;
  }
}

const counted = (cells) => (cells === 1 ? "1 cell" : `${cells} cells`);

export function when(utc) {
  return new Date(utc).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function told({ cells, by, detail }) {
  const [[number, name], ...more] = Object.entries(cells);
  const row = by[number];
  if (!row) return detail;
  const rest = more.length ? `, and ${counted(more.length)} more` : "";
  return `${row.who} moved cell ${number} to ${name.replaceAll("_", " ")} at ${when(row.at_utc)}${rest}`;
}
