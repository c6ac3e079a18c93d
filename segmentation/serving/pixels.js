// What the canvases of the page show, and what is counted: functions of a photo and of the networks' answers.
//
// A photo: `results` of the networks (`values`, the probability of each pixel, and a `threshold`), its `width` and
// `height` in pixels; of the part that is shown, which begins at `x`, `y`, every `step`-th pixel is drawn, `across` x
// `down` in all: `pixels`. `target` is the true mask, if it is known. Colours are 0xAABBGGRR, as canvases hold them.

// Okabe and Ito 2008: told apart by colour-blind people too.
export const OUTLINE = [255, 210, 0], TRUE_POSITIVE = [86, 180, 233], FALSE_POSITIVE = [213, 94, 0], FALSE_NEGATIVE = [240, 228, 66];
export const ONLY = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167]];  // one network alone says foreground
export const SEVERAL = [255, 255, 255];  // some of three or more say so

// As numpy compares float32 probabilities with a threshold: both as float32.
const cut = result => Math.fround(result.threshold);
const packed = ([red, green, blue]) => (0xff000000 | blue << 16 | green << 8 | red) >>> 0;

const dimmed = color => ((color >>> 2) & 0x3f3f3f | 0xff000000) >>> 0;

// Over all pixels of the photo, whatever the canvas shows. Plain loops: this runs at each move of a slider.
export function counted(photo, result) {
  const {values} = result, limit = cut(result), target = photo.target;
  let found = 0, wanted = 0, both = 0;
  for (let at = 0; at < values.length; at++) {
    const yes = values[at] >= limit;
    if (yes) found++;
    if (target && target[at] & 0x80) { wanted++; if (yes) both++; }
  }
  const dice = target ? (found + wanted ? 2 * both / (found + wanted) : 1) : null;
  return {area: found / values.length, dice};
}

export function different(photo) {
  const [first, ...others] = photo.results, limit = cut(first), count = first.values.length;
  const compared = others.map(result => [result.values, cut(result)]);
  let sum = 0;
  for (let at = 0; at < count; at++) {
    const yes = first.values[at] >= limit;
    for (const [values, other] of compared) if ((values[at] >= other) !== yes) { sum++; break; }
  }
  return sum / count;
}

// Each returns a function from a pixel of the canvas and its place in the photo to a colour, 0xAABBGGRR.
export const colorOf = {
  overlay: (photo, result) => {
    const limit = cut(result), {width, height, step, across, down, pixels} = photo, outline = packed(OUTLINE);
    const thick = Math.max(1, Math.round(Math.max(across, down) / 400));
    const outside = (x, y) => {
      const column = photo.x + x * step, row = photo.y + y * step;
      return column >= 0 && row >= 0 && column < width && row < height && !(result.values[row * width + column] >= limit);
    };
    return (x, y, at, pixel) => {
      if (!(result.values[at] >= limit)) return dimmed(pixels[pixel]);
      for (let by = 1; by <= thick; by++) {
        if (outside(x - by, y) || outside(x + by, y) || outside(x, y - by) || outside(x, y + by)) return outline;
      }
      return pixels[pixel];
    };
  },
  mask: (photo, result) => {
    const limit = cut(result);
    return (x, y, at) => result.values[at] >= limit ? 0xffffffff : 0xff000000;
  },
  errors: (photo, result) => {
    const limit = cut(result), {target, pixels} = photo;
    const blended = color => packed(color.map(value => value / 2)), half = color => (color >>> 1) & 0x7f7f7f;
    const both = blended(TRUE_POSITIVE), extra = blended(FALSE_POSITIVE), missed = blended(FALSE_NEGATIVE);
    return (x, y, at, pixel) => {
      const found = result.values[at] >= limit, wanted = target[at] & 0x80;
      if (!found && !wanted) return pixels[pixel];
      return half(pixels[pixel]) + (found && wanted ? both : found ? extra : missed);
    };
  },
  disagreement: photo => {
    const {results, pixels} = photo, several = packed(SEVERAL);
    const networks = results.map((result, k) => [result.values, cut(result), packed(ONLY[k % ONLY.length])]);
    return (x, y, at, pixel) => {
      let sum = 0, only = 0;
      for (const [values, limit, color] of networks) if (values[at] >= limit) { sum++; only = color; }
      return sum === 0 ? dimmed(pixels[pixel]) : sum === networks.length ? pixels[pixel] : sum === 1 ? only : several;
    };
  },
};

export function paint(canvas, photo, color) {
  const {width, step, across, down} = photo, context = sized(canvas, photo);
  const image = context.createImageData(across, down), drawn = new Uint32Array(image.data.buffer);
  for (let y = 0, pixel = 0; y < down; y++) {
    const row = (photo.y + y * step) * width + photo.x;
    for (let x = 0; x < across; x++, pixel++) drawn[pixel] = color(x, y, row + x * step, pixel);
  }
  context.putImageData(image, 0, 0);
}

// Draw the shown part of a bitmap that shows the whole photo, whatever its size.
export function draw(canvas, photo, bitmap) {
  const {x, y, w, h, across, down} = photo, context = sized(canvas, photo);
  const right = bitmap.width / photo.width, below = bitmap.height / photo.height;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, x * right, y * below, w * right, h * below, 0, 0, across, down);
  return context;
}

function sized(canvas, {width, w, across, down}) {
  canvas.width = across;
  canvas.height = down;
  canvas.style.imageRendering = w < width && Math.max(across, down) < 200 ? "pixelated" : "";  // zoomed in: pixels are seen
  return canvas.getContext("2d", {willReadFrequently: true});
}

// The pixels of the shown part, or of a whole bitmap, as 0xAABBGGRR.
const read = (context, across, down) => new Uint32Array(context.getImageData(0, 0, across, down).data.buffer);
export const pixelsOfPart = (photo, bitmap) =>
  read(draw(document.createElement("canvas"), photo, bitmap), photo.across, photo.down);
export function pixelsOf(bitmap) {
  const {width, height} = bitmap, whole = {x: 0, y: 0, w: width, h: height, width, height, across: width, down: height};
  return pixelsOfPart(whole, bitmap);
}
