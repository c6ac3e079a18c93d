// Small helpers for the elements of the page.

export const $ = id => document.getElementById(id);
export const percent = share => `${(100 * share).toFixed(1)} %`;

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "role" || key === "style" || key.startsWith("aria-")) made.setAttribute(key, value); else made[key] = value;
  }
  made.append(...children);
  return made;
}

export function say(text, bad = false) {
  $("status").textContent = text;
  $("status").className = bad ? "error" : "";
}
