// What a person takes home: PNG files as the server writes them, alone or as a ZIP.

import {$, element, say} from "./dom.js";
import {askPatiently, query} from "./server.js";
import {zip} from "./zip.js";

export const DOWNLOADS = {mask: "mask", cutout: "cut-out", overlay: "overlay", probability: "probabilities"};

const SUFFIX = /\.(jpe?g|png|gif|bmp|tiff?|webp|avif|jp2|ppm|tga|hei[cf])$/i;
const fileName = (photo, result, kind, copy = "") =>
  `${photo.name.replace(SUFFIX, "")}${copy}.${result.model.name}${kind === "mask" ? "" : `.${kind}`}.png`;

const fetched = async (photo, result, kind) =>
  (await askPatiently(query(result.model.name, kind, result.threshold), photo.image, photo.stop.signal, `Download of ${photo.name}`)).blob();

function save(blob, name) {
  const link = element("a", {href: URL.createObjectURL(blob), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export async function download(photo, result, kind) {
  try {
    save(await fetched(photo, result, kind), fileName(photo, result, kind));
  } catch (error) {
    if (!photo.stop.signal.aborted) say(`${photo.name}: ${error.message}`, true);
  }
}

// Of all photos that are done: what the networks made of them, as one ZIP.
export async function downloadAll(photos) {
  const kind = $("kind").value, done = photos.filter(({state}) => state === "done"), files = new Map();
  $("zip").disabled = downloadAll.busy = true;
  try {
    for (const [number, photo] of done.entries()) {
      say(`ZIP: photo ${number + 1} of ${done.length} \u2026`);
      try {
        for (const result of photo.results) {
          let name = fileName(photo, result, kind);
          for (let copy = 2; files.has(name); copy++) name = fileName(photo, result, kind, `-${copy}`);
          files.set(name, new Uint8Array(await (await fetched(photo, result, kind)).arrayBuffer()));
        }
      } catch (error) {
        if (!photo.stop.signal.aborted) throw error;  // else it was removed from the list
      }
    }
    save(zip([...files].map(([name, bytes]) => ({name, bytes}))), `${DOWNLOADS[kind].replace(/[^s]$/, "$&s")}.zip`);
    say(`ZIP: ${files.size} files`);
  } catch (error) {
    say(`ZIP: ${error.message}`, true);
  } finally {
    downloadAll.busy = false;
  }
}
