// Crops, 64 in a sheet: a sheet is fetched when one of its cells comes into view, the newest wish first.

const IN_SHEET = 64;
const ACROSS = 8;
const AT_ONCE = 4;

export class Crops {
  constructor(url) {
    this.url = url;
    this.sheetOf = new Map();
    this.wanted = [];
    this.busy = 0;
  }

  add(numbers) {
    for (let first = 0; first < numbers.length; first += IN_SHEET) {
      const cells = numbers.slice(first, first + IN_SHEET);
      const sheet = { cells, url: null, asked: false, waiting: new Map() };
      cells.forEach((number, i) => this.sheetOf.set(number, [sheet, i]));
    }
  }

  // Show a cell's crop in an element, now or when it has come.
  show(element, number) {
    const [sheet, i] = this.sheetOf.get(number);
    element.dataset.cell = number;
    if (sheet.url) return place(element, sheet, i);
    element.style.backgroundImage = "";
    sheet.waiting.set(element, [number, i]);
    const at = this.wanted.indexOf(sheet);
    if (at >= 0) this.wanted.splice(at, 1);
    if (sheet.asked) return;
    this.wanted.push(sheet);
    queueMicrotask(() => this.fetch());
  }

  async fetch() {
    if (this.busy >= AT_ONCE || !this.wanted.length) return;
    const sheet = this.wanted.pop();
    sheet.asked = true;
    this.busy += 1;
    try {
      const response = await fetch(`${this.url}?cells=${sheet.cells.join(",")}`);
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const url = URL.createObjectURL(await response.blob());
      const image = new Image();
      image.src = url;
      await image.decode();
      Object.assign(sheet, { url, image });
    } catch {
      sheet.asked = false; // asked again when one of its cells is next shown
    } finally {
      this.busy -= 1;
    }
    for (const [element, [number, i]] of sheet.waiting) {
      if (element.dataset.cell !== String(number)) continue;
      if (sheet.url) place(element, sheet, i);
      else element.classList.add("missing");
    }
    sheet.waiting.clear();
    this.fetch();
  }
}

function place(element, sheet, i) {
  const rows = Math.ceil(sheet.cells.length / ACROSS);
  const across = Math.min(sheet.cells.length, ACROSS);
  const part = (at, of) => (of > 1 ? (100 * at) / (of - 1) : 0);
  element.classList.remove("missing");
  element.style.backgroundImage = `url("${sheet.url}")`;
  element.style.backgroundSize = `${100 * across}% ${100 * rows}%`;
  element.style.backgroundPosition = `${part(i % ACROSS, across)}% ${part(Math.floor(i / ACROSS), rows)}%`;
}
