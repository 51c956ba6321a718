// The newest field with its cells outlined and named. One picture is fetched at a time, always the newest.

const KEPT = 8, LINE_PX = 2, FONT_PX = 13;

export class Field {
  constructor(canvas, none, frame) {
    this.canvas = canvas;
    this.none = none;
    this.frame = frame;
    this.fields = new Map();
    this.newest = 0;
    this.drawn = null;
    this.busy = false;
    this.colours = {};
    this.received = performance.now();
    this.ageThen = 0;
    new ResizeObserver(() => this.draw()).observe(frame);
  }

  // A state came; its field may be one that is known.
  told(state) {
    this.colours = state.about.colours;
    this.received = performance.now();
    this.ageThen = state.field_age_ms ?? 0;
    if (!state.field) {
      this.none.textContent = state.about.live ? "No frame yet." : "Frames are shown once a session runs.";
      return;
    }
    this.fields.set(state.field.view, state.field);
    while (this.fields.size > KEPT) this.fields.delete(this.fields.keys().next().value);
    this.newest = state.field.view;
    this.fetch();
  }

  // Milliseconds since the newest frame was taken.
  age() {
    return this.ageThen + performance.now() - this.received;
  }

  old(is) {
    this.frame.classList.toggle("old", is);
  }

  async fetch() {
    if (this.busy || this.drawn?.view === this.newest || document.hidden) return;
    this.busy = true;
    try {
      const response = await fetch(`/api/live/field.jpg?view=${this.newest}`);
      if (!response.ok) return;
      const view = Number(response.headers.get("X-Field"));
      const picture = await createImageBitmap(await response.blob());
      this.drawn?.picture.close();
      this.drawn = { view, picture, field: this.fields.get(view) };
      this.none.hidden = true;
      this.draw();
    } catch {
      // the state's own request tells that the server is gone
    } finally {
      this.busy = false;
    }
  }

  draw() {
    if (!this.drawn) return;
    const { picture, field } = this.drawn;
    const ratio = window.devicePixelRatio || 1, wide = this.frame.clientWidth;
    this.canvas.width = Math.round(wide * ratio);
    this.canvas.height = Math.round((wide * ratio * picture.height) / picture.width);
    const pen = this.canvas.getContext("2d");
    pen.drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
    const cells = field?.cells ?? [];
    for (const cell of cells) this.outline(pen, cell, this.canvas.width / field.width, ratio);
    const named = cells.filter((one) => one.label).map((one) => one.label.replaceAll("_", " "));
    const what = field ? `Frame ${field.number}, ${cells.length} cells${named.length ? `: ${named.join(", ")}` : ""}` : "A frame";
    this.canvas.setAttribute("aria-label", what);
  }

  outline(pen, cell, scale, ratio) {
    const [x, y, width, height] = cell.box.map((side) => side * scale);
    const colour = this.colours[cell.label] ?? "#ffffff";
    pen.lineWidth = (cell.probability === null ? LINE_PX / 2 : LINE_PX) * ratio;
    pen.strokeStyle = "#ffffffaa";
    pen.strokeRect(x - pen.lineWidth, y - pen.lineWidth, width + 2 * pen.lineWidth, height + 2 * pen.lineWidth);
    pen.strokeStyle = cell.label ? colour : "#444444";
    pen.strokeRect(x, y, width, height);
    if (!cell.label) return;
    const sure = cell.probability === null ? "" : ` ${Math.round(100 * cell.probability)} %`;
    const text = cell.label.replaceAll("_", " ") + sure;
    pen.font = `${FONT_PX * ratio}px system-ui, sans-serif`;
    pen.textBaseline = "top";
    const wide = pen.measureText(text).width + 8 * ratio, high = (FONT_PX + 5) * ratio;
    const left = Math.max(0, Math.min(x, this.canvas.width - wide));
    const top = y > high ? y - high : Math.min(y + height, this.canvas.height - high);
    pen.fillStyle = colour;
    pen.fillRect(left, top, wide, high);
    pen.fillStyle = inkOn(colour);
    pen.fillText(text, left + 4 * ratio, top + 3 * ratio);
  }
}

// Black or white, whichever stands out more: by relative luminance (WCAG 2.2).
function inkOn(colour) {
  const [red, green, blue] = [1, 3, 5]
    .map((at) => parseInt(colour.slice(at, at + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
}
