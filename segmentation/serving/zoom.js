// One part of a photo, shown by all panels: zoomed by wheel, two fingers or keys, moved by dragging.

const SMALLEST = 16;  // pixels of the photo's shorter side that stay visible
const CLICK = 5;      // pixels that a pointer may move in a click

export const WHOLE = Object.freeze({x: 0, y: 0, zoom: 1});  // left and top as shares of the photo

// The part in whole pixels of the photo.
export function partOf({x, y, zoom}, {width, height}) {
  const w = Math.max(1, Math.round(width / zoom)), h = Math.max(1, Math.round(height / zoom));
  return {x: Math.min(Math.round(x * width), width - w), y: Math.min(Math.round(y * height), height - h), w, h};
}

function inside({x, y, zoom}) {
  const most = 1 - 1 / zoom;
  return {x: Math.min(Math.max(x, 0), most), y: Math.min(Math.max(y, 0), most), zoom};
}

// Zoom by a factor; the point at (u, v), as shares of the panel, stays where it is.
export function zoomed({x, y, zoom}, factor, u, v, {width, height}) {
  const most = Math.max(1, Math.min(width, height) / SMALLEST), next = Math.min(Math.max(zoom * factor, 1), most);
  return inside({x: x + u / zoom - u / next, y: y + v / zoom - v / next, zoom: next});
}

// Moved by shares of the panel, to the right and down.
export const moved = ({x, y, zoom}, right, down) => inside({x: x + right / zoom, y: y + down / zoom, zoom});

// Listen on the panels; `state` is {get(), set(part), photo(), click(view)}.
export function listen(panels, state) {
  const fingers = new Map();
  let travelled = 0;
  const viewOf = event => event.target.closest?.(".view");
  const place = (view, {clientX, clientY}) => {
    const box = view.getBoundingClientRect();
    return [(clientX - box.left) / box.width, (clientY - box.top) / box.height, box];
  };
  const by = (factor, u, v) => state.set(zoomed(state.get(), factor, u, v, state.photo()));

  panels.addEventListener("wheel", event => {
    const view = viewOf(event);
    if (!view || (state.get().zoom === 1 && event.deltaY > 0)) return;  // the page scrolls on
    event.preventDefault();
    const [u, v] = place(view, event);
    by(Math.exp(-event.deltaY * (event.deltaMode ? .05 : .002)), u, v);
  }, {passive: false});

  panels.addEventListener("pointerdown", event => {
    const view = viewOf(event);
    if (!view || event.button) return;
    if (!fingers.size) travelled = 0;
    fingers.set(event.pointerId, {view, clientX: event.clientX, clientY: event.clientY});
  });
  addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const after = {...before, clientX: event.clientX, clientY: event.clientY};
    const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, finger]) => finger);
    const right = after.clientX - before.clientX, down = after.clientY - before.clientY;
    travelled += other ? CLICK : Math.hypot(right, down);
    fingers.set(event.pointerId, after);
    const [u, v, box] = place(before.view, after);
    if (other) {
      const [otherU, otherV] = place(before.view, other);
      const distance = from => Math.max(1, Math.hypot(from.clientX - other.clientX, from.clientY - other.clientY));
      by(distance(after) / distance(before), (u + otherU) / 2, (v + otherV) / 2);
    } else if (state.get().zoom > 1) {
      state.set(moved(state.get(), -right / box.width, -down / box.height));
    }
  });
  for (const ended of ["pointerup", "pointercancel"]) addEventListener(ended, event => fingers.delete(event.pointerId));

  panels.addEventListener("click", event => {
    const view = viewOf(event);
    if (view && (event.detail === 0 || travelled < CLICK)) state.click(view);
  });
  panels.addEventListener("keydown", event => {
    const steps = {ArrowLeft: [-.1, 0], ArrowRight: [.1, 0], ArrowUp: [0, -.1], ArrowDown: [0, .1]};
    if (!viewOf(event)) return;
    if ("+-".includes(event.key)) by(event.key === "+" ? 1.25 : .8, .5, .5);
    else if (steps[event.key] && state.get().zoom > 1) { event.preventDefault(); state.set(moved(state.get(), ...steps[event.key])); }
  });
}
