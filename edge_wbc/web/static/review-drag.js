// Tiles chosen and dragged with a mouse, a pen or a finger (which holds still for a moment first, as it scrolls else).

const FAR_PX = 6;
const HOLD_MS = 350;
const EDGE_PX = 60;

export function drag(root, chips, choosing, acts) {
  const ghost = document.getElementById("ghost");
  let held = null;

  const start = () => {
    const { chosen } = choosing.cells;
    const cells = chosen.has(held.number) ? [...chosen] : [held.number];
    held.cells = cells;
    ghost.textContent = cells.length === 1 ? `cell ${cells[0]}` : `${cells.length} cells`;
    ghost.hidden = false;
    document.body.classList.add("dragging");
    follow();
  };
  const target = () =>
    document.elementFromPoint(held.x, held.y)?.closest("#review [data-class]") ?? null;
  const follow = () => {
    ghost.style.transform = `translate(${held.x + 12}px, ${held.y + 12}px)`;
    const over = target();
    for (const one of document.querySelectorAll(".over")) if (one !== over) one.classList.remove("over");
    over?.classList.add("over");
  };
  const scroll = () => {
    if (!held?.cells) return;
    const top = choosing.grid.bar.getBoundingClientRect().bottom;
    if (held.y > innerHeight - EDGE_PX) scrollBy(0, 12);
    else if (held.y < top + EDGE_PX && held.y > top) scrollBy(0, -12);
    requestAnimationFrame(scroll);
  };
  const end = () => {
    clearTimeout(held?.timer);
    held = null;
    ghost.hidden = true;
    document.body.classList.remove("dragging");
    for (const one of document.querySelectorAll(".over")) one.classList.remove("over");
  };

  root.addEventListener("pointerdown", (event) => {
    const tile = event.target.closest(".tile");
    if (!tile || event.button || held) return;
    const touch = event.pointerType === "touch";
    held = { number: Number(tile.dataset.number), id: event.pointerId, x: event.clientX, y: event.clientY, touch };
    Object.assign(held, { fromX: held.x, fromY: held.y });
    if (touch && !acts.fixed())
      held.timer = setTimeout(() => {
        start();
        requestAnimationFrame(scroll);
      }, HOLD_MS);
    else event.preventDefault(); // no text is selected; the list gets the focus below
  });
  addEventListener("pointermove", (event) => {
    if (!held || event.pointerId !== held.id) return;
    Object.assign(held, { x: event.clientX, y: event.clientY });
    if (held.cells) return follow();
    if (Math.hypot(held.x - held.fromX, held.y - held.fromY) < FAR_PX) return;
    if (held.touch || acts.fixed()) return end();
    start();
    requestAnimationFrame(scroll);
  });
  addEventListener("pointerup", (event) => {
    if (!held || event.pointerId !== held.id) return;
    const { number, cells, touch } = held;
    const to = cells && target()?.dataset.class;
    end();
    if (to && choosing.cells.names.includes(to)) acts.moveThese(cells, to);
    else if (!cells) {
      const add = touch || event.ctrlKey || event.metaKey;
      if (!add && !event.shiftKey) choosing.cells.chosen = new Set();
      choosing.to(number, { range: event.shiftKey, add });
    }
    acts.changed();
  });
  addEventListener("pointercancel", (event) => held?.id === event.pointerId && end());
  addEventListener("keydown", (event) => event.key === "Escape" && held && end());
  root.addEventListener("touchmove", (event) => held?.cells && event.preventDefault(), { passive: false });
  root.addEventListener("contextmenu", (event) => held && event.preventDefault());
  root.addEventListener("dblclick", (event) => event.target.closest(".tile") && acts.zoom());
}
