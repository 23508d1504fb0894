/** What the bytes of an image say of it; providers refuse a type that does not fit them, and images that are too large. */
export interface ImageHeader {
  mediaType: "image/png" | "image/jpeg" | "image/gif" | "image/webp";
  /** Pixels; 0: the bytes do not say. */
  width: number;
  height: number;
}

/** `null`: none of the four kinds that models take. */
export function readImageHeader(bytes: Buffer): ImageHeader | null {
  const starts = (hex: string, at = 0) => bytes.subarray(at, at + hex.length / 2).toString("hex") === hex;
  if (starts("89504e470d0a1a0a")) return { mediaType: "image/png", ...pngSize(bytes) };
  if (starts("ffd8ff")) return { mediaType: "image/jpeg", ...jpegSize(bytes) };
  if (starts("474946383761") || starts("474946383961")) return { mediaType: "image/gif", ...gifSize(bytes) };
  if (starts("52494646") && starts("57454250", 8)) return { mediaType: "image/webp", ...webpSize(bytes) };
  return null;
}

interface Size {
  width: number;
  height: number;
}
const UNKNOWN: Size = { width: 0, height: 0 };

function pngSize(bytes: Buffer): Size {
  if (bytes.length < 24 || bytes.toString("latin1", 12, 16) !== "IHDR") return UNKNOWN;
  return { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
}

function gifSize(bytes: Buffer): Size {
  return bytes.length < 10 ? UNKNOWN : { width: bytes.readUInt16LE(6), height: bytes.readUInt16LE(8) };
}

function webpSize(bytes: Buffer): Size {
  if (bytes.length < 30) return UNKNOWN;
  switch (bytes.toString("latin1", 12, 16)) {
    case "VP8 ":
      return { width: bytes.readUInt16LE(26) & 0x3fff, height: bytes.readUInt16LE(28) & 0x3fff };
    case "VP8L": {
      const bits = bytes.readUInt32LE(21);
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    }
    case "VP8X":
      return { width: bytes.readUIntLE(24, 3) + 1, height: bytes.readUIntLE(27, 3) + 1 };
    default:
      return UNKNOWN;
  }
}

/** From marker to marker, to the first that begins a frame (ITU-T T.81, B.1.1.3). */
function jpegSize(bytes: Buffer): Size {
  let at = 2;
  while (at + 9 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1] ?? 0;
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return { height: bytes.readUInt16BE(at + 5), width: bytes.readUInt16BE(at + 7) };
    at += 2 + bytes.readUInt16BE(at + 2);
  }
  return UNKNOWN;
}
