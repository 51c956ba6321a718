import { element, get } from "./api.js";

const found = await get("/api/sessions");
const list = element("ul");
for (const one of found.sessions) {
  const link = element("a", { href: `/sessions/${one.session_id}` }, one.label || one.session_id);
  list.append(element("li", {}, link, ` ${one.cells} cells, ${one.started_utc}`));
}
document.getElementById("sessions").append(list);
