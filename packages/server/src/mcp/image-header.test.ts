import { expect, test } from "vitest";
import { readImageHeader } from "./image-header.ts";

const of = (hex: string) => readImageHeader(Buffer.from(hex.replaceAll(" ", ""), "hex"));
const WEBP = "52494646 00000000 57454250";

test("the size of each kind", () => {
  expect(of("89504e470d0a1a0a 0000000d 49484452 00000200 00000100")).toEqual({ mediaType: "image/png", width: 512, height: 256 });
  expect(of("474946383961 0002 0001")).toEqual({ mediaType: "image/gif", width: 512, height: 256 });
  // A comment, a table and fill bytes before the frame.
  const frame = "ffc2 0011 08 0100 0200 03000000";
  expect(of(`ffd8 fffe 0004 6869 ffc4 0003 00 ffff ${frame}`)).toEqual({ mediaType: "image/jpeg", width: 512, height: 256 });
  expect(of(`${WEBP} 56503820 00000000 000000 9d012a 0002 0001`)).toEqual({ mediaType: "image/webp", width: 512, height: 256 });
  expect(of(`${WEBP} 5650384c 00000000 2f ff c1 3f 00 0000000000`)).toEqual({ mediaType: "image/webp", width: 512, height: 256 });
  expect(of(`${WEBP} 56503858 00000000 00000000 ff0100 ff0000`)).toEqual({ mediaType: "image/webp", width: 512, height: 256 });
});

test("bytes that break off or are something else", () => {
  const unknown = { width: 0, height: 0 };
  expect(of("89504e470d0a1a0a 00")).toEqual({ mediaType: "image/png", ...unknown });
  expect(of("474946383961 00")).toEqual({ mediaType: "image/gif", ...unknown });
  expect(of("ffd8 ffe0 ffff 00")).toEqual({ mediaType: "image/jpeg", ...unknown });
  expect(of(`ffd8 ff ${"00".repeat(40)}`)).toEqual({ mediaType: "image/jpeg", ...unknown });
  expect(of(`${WEBP} 58585858`)).toEqual({ mediaType: "image/webp", ...unknown });
  expect(of("3c7376672f3e")).toBeNull();
  expect(of("")).toBeNull();
});
