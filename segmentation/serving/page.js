import {
  FALSE_NEGATIVE, FALSE_POSITIVE, ONLY, OUTLINE, SEVERAL, TRUE_POSITIVE, colorOf, counted, dimmed, different, paint, pixelsOf,
} from "./pixels.js";

const VIEWS = {overlay: "Overlay", mask: "Mask", cutout: "Cut-out", errors: "Errors"};
const SIDE = 1000;  // pixels of a canvas; of a larger photo, every second, third ... pixel is drawn

const $ = id => document.getElementById(id);
const percent = share => `${(100 * share).toFixed(1)} %`;

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "role" || key === "style" || key.startsWith("aria-")) made.setAttribute(key, value); else made[key] = value;
  }
  made.append(...children);
  return made;
}

let models = [];
let shown = null;     // the photo, and what the networks made of it
let view = "overlay";
let asked = 0;        // number of the latest photo; answers about earlier ones are dropped

// ---- the server ----

async function ask(path, body) {
  const response = await fetch(path, body === undefined ? {} : {method: "POST", body});
  if (response.ok) return response;
  if (response.status === 413) throw new Error("it has more than 50 MiB");
  const text = await response.text();
  let detail = text;
  try { detail = JSON.parse(text).detail; } catch { /* not JSON: as it is */ }
  throw new Error(detail || `the server answers ${response.status}`);
}

const query = (model, kind, threshold) =>
  `predict?${new URLSearchParams({model, kind, ...(kind === "cutout" ? {} : {threshold})})}`;

async function predict(model, photo) {
  const began = performance.now();
  const response = await ask(`probabilities?${new URLSearchParams({model: model.name})}`, photo);
  const values = new Float32Array(await response.arrayBuffer());
  const work = response.headers.get("Server-Timing").match(/network;dur=([\d.]+)/);
  return {
    model, values, threshold: model.threshold,
    width: +response.headers.get("X-Width"), height: +response.headers.get("X-Height"),
    network: +work[1], total: performance.now() - began,
  };
}

// ---- a photo ----

// Predict a photo, a blob under a name; or a test image, from a function that gets it and its mask.
async function show(name, photo, getExample = null) {
  const number = ++asked;
  say(`Predicting ${name} …`);
  $("result").className = "old";
  try {
    await ready;
    const [image, truth] = getExample ? await getExample() : [photo, null];
    const results = [];
    for (const model of models) {
      if (number !== asked) return;
      results.push(await predict(model, image));
    }
    const {width, height} = results[0], step = Math.ceil(Math.max(width, height) / SIDE);
    // What the server sees of the photo: browsers turn fewer photos upright, and read fewer formats.
    const preview = await (await ask(`preview?side=${SIDE}`, image)).blob();
    const [photoPixels, target] = await Promise.all([pixelsOf(preview), truth && pixelsOf(truth)]);
    if (number !== asked) return;
    forget(shown);
    shown = {photo: image, name, results, width, height, step, ...photoPixels, target};
    shown.dimmed = dimmed(shown.pixels);
    if (view === "errors" && !target) view = "overlay";
    build();
    say(`${name}: ${width} × ${height} pixels`);
  } catch (error) {
    if (number !== asked) return;
    $("result").hidden = true;  // else it would pass for that of this photo
    say(`${name}: ${error.message}`, true);
  }
}

function forget(old) {
  old?.results.forEach(({cutout}) => cutout?.then(URL.revokeObjectURL, () => {}));
}

function say(text, bad = false) {
  $("status").textContent = text;
  $("status").className = bad ? "error" : "";
}

// ---- what is shown ----

function build() {
  $("result").hidden = false;
  $("result").className = "";
  $("views").replaceChildren(...Object.entries(VIEWS).filter(([key]) => key !== "errors" || shown.target).map(viewButton));
  $("panels").replaceChildren(...shown.results.map(panel));
  if (shown.results.length > 1) $("panels").append(disagreement());
  const legends = {
    overlay: [["outline of the foreground", OUTLINE]], cutout: [],
    mask: [["foreground", [255, 255, 255]], ["background", [0, 0, 0]]],
    errors: [["true positive", TRUE_POSITIVE], ["false positive", FALSE_POSITIVE], ["false negative", FALSE_NEGATIVE]],
  };
  $("legend").replaceChildren(...legends[view].map(swatch));
  if (view === "cutout") $("legend").append("Soft edges: the probability is the opacity, whatever the threshold.");
  redraw();
}

function viewButton([key, title]) {
  const onclick = () => {
    view = key;
    build();
    document.querySelector("#views [aria-pressed=true]").focus();  // the old button has gone
  };
  return element("button", {type: "button", textContent: title, "aria-pressed": key === view, onclick});
}

const swatch = ([label, color]) => element("span", {}, element("i", {style: `background: rgb(${color})`}), label);

// As wide as there is room, no higher than 32rem; small images are enlarged.
const fitted = () => `max-width: calc(32rem * ${shown.width / shown.height})`;
const canvas = label => element("canvas",
  {className: "view", width: shown.across, height: shown.down, style: fitted(), role: "img", "aria-label": label});

function panel(result) {
  const {model} = result;
  const validation = model.val_dice === null ? "" : `, validation Dice ${model.val_dice.toFixed(3)}`;
  const slider = element("input", {
    type: "range", min: .01, max: .99, step: .01, value: result.threshold, "aria-label": `Threshold of ${model.label}`,
  });
  const value = element("output", {textContent: result.threshold.toFixed(2)});
  slider.oninput = () => {
    result.threshold = +slider.value;
    value.textContent = result.threshold.toFixed(2);
    redrawSoon();
  };
  result.picture = view === "cutout"
    ? element("img", {className: "view checkerboard", style: fitted(), alt: `The foreground that ${model.label} finds`})
    : canvas(`${VIEWS[view]} by ${model.label}`);
  if (view === "cutout") showCutout(result);
  result.numbers = element("p", {className: "numbers"});
  const button = (kind, title) => element("button", {
    type: "button", textContent: title, "aria-label": `${title} of ${model.label}`, onclick: () => download(result, kind),
  });
  return element("figure", {},
    element("h2", {textContent: model.label}),
    element("div", {className: "small", textContent: `Sees ${model.fit === "tiles" ? "windows of " : ""}${model.size} × ${model.size} pixels${validation}`}),
    result.picture,
    element("label", {className: "slider"}, "Threshold", slider, value),
    result.numbers,
    element("div", {className: "row"}, button("mask", "Download mask"), button("cutout", "Download cut-out")));
}

function disagreement() {
  shown.numbers = element("p", {className: "numbers"});
  shown.picture = canvas("Where the networks disagree");
  const colors = shown.results.map(({model}, k) => [`only ${model.label}`, ONLY[k % ONLY.length]]);
  if (shown.results.length > 2) colors.push(["several, not all", SEVERAL]);
  return element("figure", {},
    element("h2", {textContent: "Where they disagree"}), element("div", {className: "legend small"}, ...colors.map(swatch)),
    shown.picture, shown.numbers);
}

async function showCutout(result) {
  const {picture} = result;
  result.cutout ??= ask(query(result.model.name, "cutout"), shown.photo)
    .then(response => response.blob()).then(URL.createObjectURL);
  try {
    picture.src = await result.cutout;
  } catch (error) {
    result.cutout = null;
    if (shown.results.includes(result)) say(error.message, true);
  }
}

async function download(result, kind) {
  const {photo, name} = shown, suffix = kind === "mask" ? "" : ".cutout";
  try {
    const response = await ask(query(result.model.name, kind, result.threshold), photo);
    const link = element("a", {
      href: URL.createObjectURL(await response.blob()),
      download: `${name.replace(/\.(jpe?g|png|gif|bmp|tiff?|webp|avif|jp2|ppm|tga)$/i, "")}.${result.model.name}${suffix}.png`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } catch (error) { say(`${name}: ${error.message}`, true); }
}

function redrawSoon() {
  cancelAnimationFrame(redrawSoon.frame);
  redrawSoon.frame = requestAnimationFrame(redraw);
}

function redraw() {
  const {results} = shown;
  for (const result of results) {
    if (view !== "cutout") paint(result.picture, shown, colorOf[view](shown, result));
    const {area, dice} = counted(shown, result);
    result.numbers.textContent = `${percent(area)} foreground${dice === null ? "" : `, Dice ${dice.toFixed(3)}`}; ` +
      `${result.network.toFixed(0)} ms in the network, ${result.total.toFixed(0)} ms in all`;
  }
  if (results.length < 2) return;
  paint(shown.picture, shown, colorOf.disagreement(shown));
  shown.numbers.textContent = `${percent(different(shown))} of the pixels`;
}

// ---- what a person does ----

const chosen = file => file && show(file.name || "pasted.png", file);
$("file").onchange = () => { chosen($("file").files[0]); $("file").value = ""; };
addEventListener("paste", event => chosen(event.clipboardData.files[0]));
addEventListener("dragover", event => { event.preventDefault(); $("drop").classList.add("over"); });
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", event => {
  event.preventDefault();
  $("drop").classList.remove("over");
  chosen(event.dataTransfer.files[0]);
});

function addExample(id, number) {
  const part = name => `examples/${number}/${name}`;
  const get = () => Promise.all(["image", "mask"].map(async name => (await ask(part(name))).blob()));
  $("examples").append(element("button", {type: "button", title: id, onclick: () => show(id, null, get)},
    element("img", {src: part("thumbnail"), alt: id})));
}

async function start() {
  models = await (await ask("models")).json();
  for (const model of models) {
    const alone = models.filter(({title}) => title === model.title).length === 1;
    model.label = alone ? model.title : `${model.title} (${model.name})`;
  }
  const examples = await (await ask("examples")).json();
  examples.forEach(addExample);
  $("examples").hidden = examples.length === 0;
}
const ready = start();
ready.catch(error => say(error.message, true));
