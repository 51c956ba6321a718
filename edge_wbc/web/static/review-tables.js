// The differentials beside each other, and how far readers agree.

import { element } from "./api.js";
import { named } from "./review-grid.js";

const cell = (content) => element("td", {}, ...[content].flat());

function share(one) {
  if (!one) return ["", ""];
  if (one.percent === null) return [String(one.count), ""];
  const interval = element("small", {}, `${one.low.toFixed(1)}–${one.high.toFixed(1)}`);
  return [String(one.count), [`${one.percent.toFixed(1)} % `, interval]];
}

export function differential({ preliminary, verified }, cells) {
  const table = element("table", { class: "figures" }, element("caption", {}, "Of leukocytes, with exact 95 % intervals"));
  const columns = [["class", 1], ["preliminary", 2], ["verified", 2]];
  const head = columns.map(([text, colspan]) => element("th", { scope: "col", colspan }, text));
  table.append(element("thead", {}, element("tr", {}, ...head)));
  const body = element("tbody");
  for (const { name } of cells.classes.filter((one) => verified.shares[one.name])) {
    const [before, now] = [preliminary.shares[name], verified.shares[name]];
    const row = element("tr", {}, element("th", { scope: "row" }, named(name)), ...[...share(before), ...share(now)].map(cell));
    if ((before?.count ?? 0) !== now.count) row.className = "changed";
    body.append(row);
  }
  const rest = (name, before, now) => body.append(element("tr", {}, element("th", { scope: "row" }, name), cell(before), cell(""), cell(now), cell("")));
  const per = (one) => (one.erythroblasts_per_100 === null ? "" : one.erythroblasts_per_100.toFixed(1));
  rest("leukocytes", String(preliminary.total), String(verified.total));
  rest("erythroblasts per 100", per(preliminary), per(verified));
  rest("unidentified", String(preliminary.unidentified), String(verified.unidentified));
  rest("not classed", "", String(cells.sections.get("not classed").length));
  table.append(body);
  return table;
}

const signed = (figure) => figure.toFixed(2).replace("-", "−");

export function agreement({ reader, overall, classes }) {
  const caption = element("caption", {}, `${reader}: ${overall.agreed} of ${overall.cells} cells agree with the review`);
  const table = element("table", { class: "figures" }, caption);
  const head = ["class", "κ", "95 % interval", "both", "review only", "reader only"];
  table.append(element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))));
  const body = element("tbody");
  const row = (name, { kappa, low, high }, ...counts) => {
    const interval = kappa === null ? "" : `${signed(low)} to ${signed(high)}`;
    const texts = [kappa === null ? "–" : signed(kappa), interval, ...counts.map(String)];
    body.append(element("tr", {}, element("th", { scope: "row" }, named(name)), ...texts.map(cell)));
  };
  row("all", overall, overall.agreed, "", "");
  for (const [name, one] of Object.entries(classes)) row(name, one.kappa, one.both, one.review_alone, one.reader_alone);
  table.append(body);
  return table;
}
