// Questions that want an answer before something is done: a reason, a label, a signature. Also the list of keys.

import { element } from "./api.js";
import { named } from "./review-grid.js";

const NOTICE = document.querySelector(".notice").textContent;
const KEYS = [
  ["arrows", "the next cell; with Shift choose a range"],
  ["Space", "choose this cell, or not"],
  ["Ctrl A", "choose all cells of the class"],
  ["Escape", "choose none"],
  ["z, Ctrl Z", "undo the newest of your moves"],
  ["f, Enter", "zoom; Escape closes"],
  ["d", "probabilities"],
  ["?", "these keys"],
];

export class Asking {
  constructor(closed) {
    this.dialog = document.getElementById("ask");
    this.form = this.dialog.querySelector("form");
    this.what = document.getElementById("ask-what");
    this.area = document.getElementById("ask-text");
    this.label = document.getElementById("ask-label");
    this.said = document.getElementById("ask-said");
    this.button = document.getElementById("ask-do");
    document.getElementById("ask-not").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", closed);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.answer();
    });
  }

  open({ name, label = "", text = "", does = "", what = [], needed = false }, then) {
    document.getElementById("ask-name").textContent = name;
    this.what.replaceChildren(...what);
    this.label.textContent = label;
    this.label.hidden = this.area.hidden = !label;
    Object.assign(this.area, { value: text, required: needed });
    this.said.textContent = "";
    this.button.textContent = does;
    this.button.hidden = !does;
    document.getElementById("ask-not").textContent = does ? "Cancel" : "Close";
    this.then = then;
    this.dialog.showModal();
  }

  async answer() {
    this.button.disabled = true;
    try {
      await this.then(this.area.value);
      this.dialog.close();
    } catch (error) {
      this.said.textContent = error.message;
    } finally {
      this.button.disabled = false;
    }
  }

  text(question, then) {
    this.open({ needed: question.name !== "Label", ...question }, then);
  }

  sign(hindrances, who, cells, review, then) {
    const open = hindrances.filter((one) => !one.why);
    const what = hindrances.map(({ pile, cells: count, why }) =>
      element("p", { class: why ? "" : "bad" }, why ? `${count} stay ${pile}: ${why}` : `${count} cells are ${pile}: give each a class, or say why they stay so.`),
    );
    const moved = [...cells.cells.values()].filter((cell) => cell.row).length;
    what.push(
      element("p", {}, `Version ${review.version}: ${cells.numbers.length} cells, ${moved} of them moved by a person.`),
      element("p", {}, `Signed by ${who}. The review is read-only then; a change needs a new version with a reason.`),
      element("p", { class: "notice" }, NOTICE),
    );
    this.open({ name: "Sign this review", does: open.length ? "" : `Sign as ${who}`, what }, then);
  }

  keys(classes) {
    const list = element("dl", { class: "keys" });
    const rows = [...KEYS, ...classes.filter((one) => one.key).map((one) => [one.key, `move to ${named(one.name)}`])];
    for (const [key, does] of rows) list.append(element("dt", {}, element("kbd", {}, key)), element("dd", {}, does));
    this.open({ name: "Keys", what: [list, element("p", {}, "Or drag tiles onto a class. With a finger, hold a tile for a moment first.")] });
  }
}
