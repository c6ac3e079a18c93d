// A ZIP of files that are compressed already (PKWARE's APPNOTE.TXT, method 0): below 4 GiB, 65,535 files.

const TABLE = Uint32Array.from({length: 256}, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ value >>> 1 : value >>> 1;
  return value;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ crc >>> 8;
  return (crc ^ 0xffffffff) >>> 0;
}

// Numbers as little-endian bytes: [value, bytes], ...
const packed = (...numbers) => Uint8Array.from(numbers.flatMap(([value, count]) =>
  Array.from({length: count}, (_, k) => Math.floor(value / 256 ** k) % 256)));

// The ZIP as a blob, of files {name, bytes: Uint8Array}.
export function zip(files) {
  const parts = [], directory = [];
  let offset = 0;
  for (const {name, bytes} of files) {
    const text = new TextEncoder().encode(name);
    const common = [[20, 2], [0x800, 2], [0, 2], [0, 2], [0x21, 2],  // version 2.0, names in UTF-8, stored, 1980-01-01
      [crc32(bytes), 4], [bytes.length, 4], [bytes.length, 4], [text.length, 2], [0, 2]];
    parts.push(packed([0x04034b50, 4], ...common), text, bytes);
    directory.push(packed([0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]), text);
    offset += 30 + text.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  if (offset + size >= 2 ** 32 || files.length >= 2 ** 16) throw new Error("too much for one ZIP; remove some photos");
  const count = [files.length, 2];
  return new Blob([...parts, ...directory, packed([0x06054b50, 4], [0, 4], count, count, [size, 4], [offset, 4], [0, 2])],
    {type: "application/zip"});
}
