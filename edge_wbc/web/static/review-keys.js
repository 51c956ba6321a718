// The keyboard and the pointer on tiles: which cell is active, which are chosen.

export class Choosing {
  constructor(grid, cells) {
    Object.assign(this, { grid, cells, anchor: null });
  }

  // The cells that a decision is about: those chosen, or the active one.
  meant() {
    const { chosen } = this.cells;
    if (chosen.size) return [...chosen];
    return this.grid.active === null ? [] : [this.grid.active];
  }

  order() {
    return [...this.grid.sections.values()]
      .filter((one) => !one.list.hidden)
      .flatMap((one) => this.cells.sections.get(one.name));
  }

  // The cell `steps` further in its section, or in the neighbouring one beyond its end.
  step(rows, columns) {
    const { grid, cells } = this;
    if (grid.active === null) return this.order()[0];
    const name = cells.sectionOf(grid.active);
    const numbers = cells.sections.get(name);
    const at = numbers.indexOf(grid.active);
    const to = at + columns + rows * grid.across;
    if (numbers[to] !== undefined) return numbers[to];
    const sameRow = (i) => Math.floor(i / grid.across);
    if (rows > 0 && sameRow(at) < sameRow(numbers.length - 1)) return numbers.at(-1);
    const open = [...grid.sections.values()].filter((one) => !one.list.hidden && cells.sections.get(one.name).length);
    const next = open[open.findIndex((one) => one.name === name) + Math.sign(rows + columns)];
    if (!next) return grid.active;
    const beside = cells.sections.get(next.name);
    if (columns) return columns > 0 ? beside[0] : beside.at(-1);
    const column = at % grid.across;
    if (rows > 0) return beside[Math.min(column, beside.length - 1)];
    return beside[Math.min(beside.length - 1, sameRow(beside.length - 1) * grid.across + column)];
  }

  to(number, { range = false, add = false } = {}) {
    if (number === undefined) return;
    const { grid, cells } = this;
    const from = this.anchor ?? grid.active ?? number;
    const numbers = cells.sections.get(cells.sectionOf(number));
    if (range && numbers.includes(from)) {
      const [first, last] = [numbers.indexOf(from), numbers.indexOf(number)].sort((a, b) => a - b);
      cells.chosen = new Set(numbers.slice(first, last + 1));
      this.anchor = from;
    } else {
      this.anchor = number;
      if (add) cells.chosen.has(number) ? cells.chosen.delete(number) : cells.chosen.add(number);
    }
    grid.go(number);
  }

  all() {
    const { grid, cells } = this;
    if (grid.active === null) return;
    cells.chosen = new Set(cells.sections.get(cells.sectionOf(grid.active)));
    grid.draw();
  }

  none() {
    this.cells.chosen = new Set();
    this.anchor = null;
    this.grid.draw();
  }

  // Where the focus goes when these cells have left: the cell that followed them.
  after(numbers) {
    const { grid, cells } = this;
    const gone = new Set(numbers);
    const order = this.order();
    const last = order.findLastIndex((number) => gone.has(number));
    if (cells.blind) return order[last + 1] ?? order[last];
    return order.slice(last + 1).find((number) => !gone.has(number)) ?? order.slice(0, last).findLast((number) => !gone.has(number)) ?? grid.active;
  }
}

// Keys while the focus is in the gallery, or nowhere; `acts` has what each does.
export function listen(root, choosing, acts) {
  const page = () => Math.max(1, Math.floor((0.7 * innerHeight) / 102));
  const ends = (i) => {
    const { active } = choosing.grid;
    return active === null ? undefined : choosing.cells.sections.get(choosing.cells.sectionOf(active)).at(i);
  };
  const steps = {
    ArrowLeft: () => choosing.step(0, -1),
    ArrowRight: () => choosing.step(0, 1),
    ArrowUp: () => choosing.step(-1, 0),
    ArrowDown: () => choosing.step(1, 0),
    PageUp: () => choosing.step(-page(), 0),
    PageDown: () => choosing.step(page(), 0),
    Home: () => ends(0),
    End: () => ends(-1),
  };
  const keys = { z: acts.undo, f: acts.zoom, Enter: acts.zoom, d: acts.odds, "?": acts.help, Escape: () => choosing.none() };
  addEventListener("keydown", (event) => {
    const list = event.target.closest?.("[role=listbox]");
    const zoomed = event.target.closest?.("dialog")?.id === "zoom";
    if (event.target.closest?.("dialog") && !zoomed) return;
    if (!list && !zoomed && event.target !== document.body) return;
    if (zoomed && ["Enter", "Escape", " "].includes(event.key)) return;
    const control = event.ctrlKey || event.metaKey;
    const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const about = !control && !event.altKey && choosing.cells.classes.find((one) => one.key && one.key === letter);
    if (event.key in steps && !control) choosing.to(steps[event.key](), { range: event.shiftKey });
    else if (control && letter === "a") choosing.all();
    else if (control && letter === "z") acts.undo();
    else if (control || event.altKey) return;
    else if (event.key === " " && list) choosing.to(choosing.grid.active ?? undefined, { add: true });
    else if (about) acts.move(about.name);
    else if (keys[letter]) keys[letter]();
    else return;
    event.preventDefault();
    acts.changed();
  });
}
