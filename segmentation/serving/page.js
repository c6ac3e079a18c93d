import {$, element, percent, say} from "./dom.js";
import {DOWNLOADS, download, downloadAll} from "./downloads.js";
import {
  FALSE_NEGATIVE, FALSE_POSITIVE, ONLY, OUTLINE, SEVERAL, TRUE_POSITIVE, colorOf, counted, different, draw, paint, pixelsOf,
  pixelsOfPart,
} from "./pixels.js";
import {ask, askPatiently, query} from "./server.js";
import {WHOLE, listen, partOf} from "./zoom.js";

const VIEWS = {overlay: "Overlay", mask: "Mask", cutout: "Cut-out", errors: "Errors"};
const SIDE = 1000;      // pixels of a canvas; of a larger part, every second, third ... pixel is drawn
const PREVIEW = 4096;   // pixels of what the server shows of a photo
const KEPT = 100e6;     // probabilities that are kept: of photos beyond that, they are asked for again

let models = [];
const photos = [];    // {name, get, state: waiting | working | done | failed, results, row ...}
let wanted = null;    // the photo that is shown, or will be once it is done
let shown = null;     // with what the networks made of it, and the part that its panels show
let view = "overlay";
let part = WHOLE;
let large = null;     // number of the panel that fills the window

async function predict(photo, model) {
  const began = performance.now(), path = `probabilities?${new URLSearchParams({model: model.name})}`;
  const response = await askPatiently(path, photo.image, photo.stop.signal, `Predicting ${photo.name}: ${model.label}`);
  const values = new Float32Array(await response.arrayBuffer());
  photo.width = +response.headers.get("X-Width");
  photo.height = +response.headers.get("X-Height");
  return {model, values, threshold: model.threshold, milliseconds: performance.now() - began};
}

// ---- the photos ----

// Add photos, {name, get}: `get` returns the image as a blob, and its true mask or null.
function add(added) {
  for (const photo of added) {
    Object.assign(photo, {state: "waiting", stop: new AbortController(), results: []});
    photo.open = element("button", {className: "open", type: "button", onclick: () => want(photo)},
      element("canvas", {width: 0, height: 0}), element("span", {textContent: photo.name}), element("span", {className: "small"}));
    const remove = element("button", {type: "button", textContent: "\u00d7", onclick: () => removePhoto(photo)});
    remove.ariaLabel = `Remove ${photo.name}`;
    photo.row = element("li", {}, photo.open, remove);
    $("photos").append(photo.row);
    photos.push(photo);
  }
  if (added.length) want(added[0]);
}

function want(photo) {
  wanted = photo;
  $("result").className = photo && photo === shown ? "" : "old";
  if (photo?.state === "done" && photo.results.some(({values}) => !values)) photo.state = "waiting";
  if (photo?.state === "done") show(photo);
  else if (photo?.state === "failed") fail(photo);
  list();
  work();
}

function removePhoto(photo) {
  photo.stop.abort();
  forget(photo);
  photos.splice(photos.indexOf(photo), 1);
  photo.row.remove();
  if (shown === photo) {
    shown = null;
    $("result").hidden = true;
  }
  if (wanted === photo) want(photos.find(({state}) => state === "done") ?? photos[0] ?? null); else list();
  if (!photos.length) say("");
}

// What the list says.
function list() {
  document.body.classList.toggle("empty", !photos.length);
  $("start").hidden = photos.length > 0;
  $("list").hidden = photos.length === 0;
  $("all").hidden = photos.length < 2;
  $("zip").disabled = downloadAll.busy || !photos.some(({state}) => state === "done");
  if (!photos.length) $("result").hidden = true;
  for (const photo of photos) {
    const text = {waiting: "waiting", working: "in work \u2026", failed: photo.error, done: ""}[photo.state] ||
      `foreground: ${photo.results.map(result => `${result.model.label} ${percent(result.area)}`).join(", ")}`;
    photo.open.lastChild.textContent = text;
    photo.open.lastChild.className = photo.state === "failed" ? "small error" : "small";
    photo.open.setAttribute("aria-pressed", photo === wanted);
  }
}

// One photo after the other, the wanted one first.
async function work() {
  if (work.busy) return;
  work.busy = true;
  const waits = photo => photo?.state === "waiting";
  for (let photo; (photo = waits(wanted) ? wanted : photos.find(waits));) await load(photo);
  work.busy = false;
}

async function load(photo) {
  photo.state = "working";
  list();
  if (photo === wanted) say(`Predicting ${photo.name} \u2026`);
  try {
    await ready;
    if (!photo.image) [photo.image, photo.truth] = await photo.get();
    for (const [number, model] of models.entries()) {
      const result = await predict(photo, model), before = photo.results[number];
      photo.results[number] = {...result, threshold: before?.threshold ?? result.threshold};
    }
    // What the server sees of the photo: browsers turn fewer photos upright, and read fewer formats.
    const preview = await (await ask(`preview?side=${PREVIEW}`, photo.image, photo.stop.signal)).blob();
    photo.bitmap = await createImageBitmap(preview);
    photo.target = photo.truth && pixelsOf(await createImageBitmap(photo.truth));
    for (const result of photo.results) Object.assign(result, counted(photo, result));
    if (photo.stop.signal.aborted) return forget(photo);
    photo.state = "done";
    draw(photo.open.firstChild, {...photo, ...drawn(photo, WHOLE, 96)}, photo.bitmap);
    keepFew(photo);
    if (photo === wanted) show(photo);
  } catch (error) {
    forget(photo);
    if (photo.stop.signal.aborted) return;
    Object.assign(photo, {state: "failed", error: error.message});
    if (photo === wanted) fail(photo);
  }
  list();
}

function fail(photo) {
  $("result").hidden = true;  // else it would pass for that of this photo
  say(`${photo.name}: ${photo.error}`, true);
}

function forget(photo) {
  for (const result of photo.results) {
    result.values = null;
    result.cutout?.then(bitmap => bitmap.close(), () => {});
    result.cutout = null;
  }
  photo.bitmap?.close();
  photo.target = null;
}

function keepFew(latest) {
  let sum = 0;
  for (const photo of [latest, ...[...photos].reverse()]) {
    if (!photo.results[0]?.values || (photo === latest && sum)) continue;
    sum += photo.results.length * photo.width * photo.height;
    if (sum > KEPT && ![latest, wanted, shown].includes(photo)) forget(photo);
  }
}

// ---- what is shown ----

function show(photo) {
  if (photo !== shown) {
    [part, large] = [WHOLE, null];
    if (shown) for (const holder of [shown, ...shown.results]) holder.original = holder.picture = holder.pixels = null;  // megabytes
  }
  shown = photo;
  if (view === "errors" && !photo.target) view = "overlay";
  build();
  say(`${photo.name}: ${photo.width} \u00d7 ${photo.height} pixels`);
}

function build() {
  $("result").hidden = false;
  $("result").className = "";
  $("views").replaceChildren(...Object.entries(VIEWS).filter(([key]) => key !== "errors" || shown.target).map(viewButton));
  shown.original = canvas("The original");
  $("panels").replaceChildren(figure("Original", shown.original), ...shown.results.map(panel));
  if (shown.results.length > 1) $("panels").append(disagreement());
  const legends = {
    overlay: [["outline of the foreground", OUTLINE]], cutout: [],
    mask: [["foreground", [255, 255, 255]], ["background", [0, 0, 0]]],
    errors: [["true positive", TRUE_POSITIVE], ["false positive", FALSE_POSITIVE], ["false negative", FALSE_NEGATIVE]],
  };
  $("legend").replaceChildren(...legends[view].map(swatch));
  if (view === "cutout") $("legend").append("Soft edges: the probability is the opacity, whatever the threshold.");
  enlarge();
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
const canvas = label => element("canvas", {role: "img", "aria-label": label});

function figure(title, picture, ...below) {
  const button = element("button", {type: "button", className: "view", title: "Click to enlarge"}, picture);
  return element("figure", {}, element("h2", {textContent: title}), button, ...below);
}

function panel(result) {
  const {model} = result, photo = shown;
  const validation = model.val_dice === null ? "" : `, validation Dice ${model.val_dice.toFixed(3)}`;
  const slider = element("input", {
    type: "range", min: .01, max: .99, step: .01, value: result.threshold, "aria-label": `Threshold of ${model.label}`,
  });
  const value = element("output", {textContent: result.threshold.toFixed(2)});
  slider.oninput = () => {
    result.threshold = +slider.value;
    value.textContent = result.threshold.toFixed(2);
    Object.assign(result, counted(photo, result));
    list();
    redrawSoon();
  };
  result.picture = canvas(`${VIEWS[view]} by ${model.label}`);
  if (view === "cutout") {
    result.picture.className = "checkerboard";
    loadCutout(photo, result);
  }
  result.numbers = element("p", {className: "numbers"});
  const button = ([kind, title]) => element("button", {
    type: "button", textContent: title, "aria-label": `Download ${title} of ${model.label}`, onclick: () => download(photo, result, kind),
  });
  const sees = `Sees ${model.fit === "tiles" ? "windows of " : ""}${model.size} \u00d7 ${model.size} pixels${validation}`;
  return figure(model.label, result.picture,
    element("label", {className: "slider", hidden: view === "cutout"}, "Threshold", slider, value),
    result.numbers, element("div", {className: "small", textContent: sees}),
    element("div", {className: "row small"}, "Download:", ...Object.entries(DOWNLOADS).map(button)));
}

function disagreement() {
  shown.numbers = element("p", {className: "numbers"});
  shown.picture = canvas("Where the networks disagree");
  const colors = shown.results.map(({model}, k) => [`only ${model.label}`, ONLY[k % ONLY.length]]);
  if (shown.results.length > 2) colors.push(["several, not all", SEVERAL]);
  return figure("Where they disagree", shown.picture,
    shown.numbers, element("div", {className: "legend small"}, ...colors.map(swatch)));
}

async function loadCutout(photo, result) {
  result.cutout ??= askPatiently(query(result.model.name, "cutout"), photo.image, photo.stop.signal, `Cut-out of ${photo.name}`)
    .then(async response => result.bitmap = await createImageBitmap(await response.blob()));
  try {
    await result.cutout;
    if (photo === shown && view === "cutout") redraw();
  } catch (error) {
    result.cutout = null;
    if (photo === shown) say(error.message, true);
  }
}

// ---- drawing ----

// What canvases of at most `side` pixels show of a part.
function drawn(photo, part, side) {
  const shownPart = partOf(part, photo), step = Math.ceil(Math.max(shownPart.w, shownPart.h) / side);
  return {...shownPart, step, across: Math.ceil(shownPart.w / step), down: Math.ceil(shownPart.h / step)};
}

function redrawSoon() {
  cancelAnimationFrame(redrawSoon.frame);
  redrawSoon.frame = requestAnimationFrame(redraw);
}

function redraw() {
  cancelAnimationFrame(redrawSoon.frame);
  if (!shown?.results[0]?.values) return;
  const photo = Object.assign(shown, drawn(shown, part, large === null ? SIDE : 2 * SIDE)), {results} = photo;
  photo.pixels = pixelsOfPart(photo, photo.bitmap);
  draw(photo.original, photo, photo.bitmap);
  for (const result of results) {
    if (view !== "cutout") paint(result.picture, photo, colorOf[view](photo, result));
    else if (result.bitmap) draw(result.picture, photo, result.bitmap);
    const dice = result.dice === null ? "" : `, Dice ${result.dice.toFixed(3)}`;
    result.numbers.textContent = `${percent(result.area)} foreground${dice}; ${result.milliseconds.toFixed(0)} ms`;
  }
  if (results.length < 2) return;
  paint(photo.picture, photo, colorOf.disagreement(photo));
  photo.numbers.textContent = `${percent(different(photo))} of the pixels`;
}

// Fit the panels into the window, the large one and the others.
function enlarge() {
  const ratio = shown.width / shown.height;
  $("panels").querySelectorAll("figure").forEach((each, number) => {
    each.classList.toggle("large", number === large);
    const height = number === large ? "calc(100vh - 9rem)" : "30rem";
    const view = each.querySelector(".view");
    view.style.maxWidth = `calc(${height} * ${ratio})`;
    view.querySelector("canvas").style.aspectRatio = ratio;
  });
  setPart(part);
}

function setPart(next) {
  part = next;
  $("whole").hidden = part.zoom === 1;
  $("panels").querySelectorAll(".view").forEach(each => each.classList.toggle("zoomed", part.zoom > 1));
  redrawSoon();
}

// ---- what a person does ----

const chosen = files => add([...files].map(file => ({name: file.name || "pasted.png", get: async () => [file, null]})));
$("file").onchange = () => { chosen($("file").files); $("file").value = ""; };
addEventListener("paste", event => chosen(event.clipboardData.files));
addEventListener("dragover", event => { event.preventDefault(); $("drop").classList.add("over"); });
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", event => {
  event.preventDefault();
  $("drop").classList.remove("over");
  chosen(event.dataTransfer.files);
});
$("zip").onclick = async () => { await downloadAll(photos); list(); };
$("clear").onclick = () => { for (const photo of [...photos].reverse()) removePhoto(photo); };
$("whole").onclick = () => setPart(WHOLE);
addEventListener("keydown", event => {
  if (event.key !== "Escape" || !shown) return;
  if (large === null) setPart(WHOLE);
  large = null;
  enlarge();
});
listen($("panels"), {
  get: () => part, set: setPart, photo: () => shown,
  click: clicked => {
    const number = [...$("panels").querySelectorAll(".view")].indexOf(clicked);
    large = large === number ? null : number;
    enlarge();
  },
});

function addExample(id, number) {
  const place = name => `examples/${number}/${name}`;
  const get = () => Promise.all(["image", "mask"].map(async name => (await ask(place(name))).blob()));
  const onclick = () => {
    const before = photos.find(photo => photo.example === number);
    if (before) want(before); else add([{name: id, example: number, get}]);
  };
  $("examples").append(element("button", {type: "button", title: id, onclick}, element("img", {src: place("thumbnail"), alt: id})));
}

async function start() {
  $("address").textContent = new URL(".", location.href);
  models = await (await ask("models")).json();
  for (const model of models) {
    const alone = models.filter(({title}) => title === model.title).length === 1;
    model.label = alone ? model.title : `${model.title} (${model.name})`;
    const dice = model.val_dice === null ? "" : `, Dice ${model.val_dice.toFixed(3)} on its validation images`;
    $("networks").append(element("li", {textContent: `${model.label}${dice}`}));
  }
  $("sample").hidden = !models.some(({sample}) => sample);
  const examples = await (await ask("examples")).json();
  examples.forEach(addExample);
  $("examples").hidden = examples.length === 0;
}
const ready = start();
ready.catch(error => say(error.message, true));
list();
