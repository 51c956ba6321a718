// The cells of a session as this page knows them: class, order within the class, which are chosen.

const AS_NETWORK = null;

export class Cells {
  constructor(answer) {
    this.blind = answer.blind;
    this.classes = answer.classes;
    this.names = answer.classes.map((one) => one.name);
    this.piles = answer.piles;
    this.cells = new Map();
    this.numbers = [];
    this.chosen = new Set();
    this.sections = new Map(this.sectionNames().map((name) => [name, []]));
    this.stale = new Set(this.sections.keys());
    this.last = 0;
    this.add(answer, answer.now, answer.moved ?? {});
  }

  sectionNames() {
    return this.blind ? ["cells"] : this.names;
  }

  add(columns, now, moved) {
    columns.number.forEach((number, i) => {
      const network = columns.network?.[i] ?? null;
      const at = now ? now[i] : network;
      const row = moved[number] ?? AS_NETWORK;
      const probability = columns.probability?.[i] ?? 0;
      this.cells.set(number, { number, network, probability, now: at, who: row?.[0], row: row?.[1] ?? 0, waits: false });
      this.numbers.push(number);
      this.last = Math.max(this.last, number);
      this.stale.add(this.sectionOf(number));
    });
  }

  nameOf(number) {
    const now = this.cells.get(number).now;
    return now === null ? null : this.names[now];
  }

  sectionOf(number) {
    return this.blind ? "cells" : this.nameOf(number);
  }

  // What `set` takes to bring a cell back to how it is.
  stateOf(number) {
    const { now, who, row } = this.cells.get(number);
    return { now, who, row };
  }

  set(number, { now, who, row }, waits = false) {
    const cell = this.cells.get(number);
    if (!cell) return;
    this.stale.add(this.sectionOf(number));
    Object.assign(cell, { now, who, row, waits });
    this.stale.add(this.sectionOf(number));
  }

  // Sections that have changed, put in order: the doubtful first, those that a person moved last.
  sorted() {
    const stale = this.stale;
    if (!stale.size) return;
    for (const name of stale) this.sections.set(name, []);
    for (const number of this.numbers) {
      const name = this.sectionOf(number);
      if (stale.has(name)) this.sections.get(name).push(number);
    }
    if (!this.blind) {
      const place = (number) => {
        const cell = this.cells.get(number);
        return cell.row || cell.waits ? 2 + (cell.row || Number.MAX_SAFE_INTEGER - 2) : cell.probability;
      };
      for (const name of stale) {
        const places = new Map(this.sections.get(name).map((number) => [number, place(number)]));
        this.sections.get(name).sort((a, b) => places.get(a) - places.get(b) || a - b);
      }
    }
    this.stale = new Set();
  }

  // Numbers in an order that no move changes, the same for everybody: how crops are put into sheets.
  recorded(numbers = this.numbers) {
    if (this.blind) return [...numbers];
    const of = (number) => this.cells.get(number);
    return [...numbers].sort(
      (a, b) => of(a).network - of(b).network || of(a).probability - of(b).probability || a - b,
    );
  }

  // As a screen reader says it.
  label(number) {
    const cell = this.cells.get(number);
    const parts = [`cell ${number}`, this.nameOf(number) ?? "not read"];
    if (!this.blind) parts.push(`${Math.round(100 * cell.probability)} %`);
    if (cell.who && !this.blind) parts.push(`moved by ${cell.who}`);
    if (cell.waits) parts.push("not saved yet");
    return parts.join(", ").replaceAll("_", " ");
  }
}
