// CRC-32; node 20's zlib does not offer it.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let sum = n;
  for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  return sum >>> 0;
});

/** The CRC-32 of an ASCII text. */
export const crc32 = (text) => {
  let sum = 0xffffffff;
  for (let n = 0; n < text.length; n += 1) sum = TABLE[(sum ^ text.charCodeAt(n)) & 0xff] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
};
