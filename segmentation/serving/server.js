// Requests to the server.

import {$, say} from "./dom.js";

const PATIENCE = 2000;  // milliseconds until the progress is shown

export async function ask(path, body, signal, headers) {
  const response = await fetch(path, body === undefined ? {signal} : {method: "POST", body, signal, headers});
  if (response.ok) return response;
  if (response.status === 413) throw new Error("it has more than 50 MiB");
  const text = await response.text();
  let detail = text;
  try { detail = JSON.parse(text).detail; } catch { /* not JSON: as it is */ }
  throw new Error(detail || `the server answers ${response.status}`);
}

// The same, and what takes long says how far it is.
export async function askPatiently(path, body, signal, what) {
  const id = `${Date.now()}-${Math.random()}`, began = performance.now(), before = $("status").textContent;
  let said = null;
  const timer = setInterval(async () => {
    const seconds = (performance.now() - began) / 1000;
    if (1000 * seconds < PATIENCE) return;
    const state = await fetch(`progress/${id}`).then(response => response.json()).catch(() => null);
    if (!state || timer !== askPatiently.timer) return;
    const share = state.done / state.windows, left = seconds * (1 - share) / share;
    $("bar").hidden = false;
    if (state.done) $("bar").value = share; else $("bar").removeAttribute("value");
    say(said = `${what} … ${state.done ? `${Math.floor(100 * share)} %, about ${Math.ceil(left)} s left` : "waiting for the network"}`);
  }, PATIENCE / 4);
  askPatiently.timer = timer;
  try {
    return await ask(path, body, signal, {"X-Request-ID": id});
  } finally {
    clearInterval(timer);
    if (timer === askPatiently.timer) {
      askPatiently.timer = null;
      if ($("status").textContent === said) say(before);  // else there is news meanwhile
      $("bar").hidden = true;
    }
  }
}

export const query = (model, kind, threshold) =>
  `predict?${new URLSearchParams({model, kind, ...(kind === "cutout" ? {} : {threshold})})}`;
