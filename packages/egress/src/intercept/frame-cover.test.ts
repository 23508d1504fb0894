import fc from "fast-check";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { createFrameCover } from "./frame-cover.ts";

const SECRET = "the-secret";
const COVER = "**********";

/** A frame as servers send it: unmasked, its length in 7, 16 or 64 bits. */
function frame(payload: Buffer, isLast = true): Buffer {
  const first = isLast ? 0x82 : 0x02;
  if (payload.length < 126) return Buffer.concat([Buffer.from([first, payload.length]), payload]);
  const size = payload.length < 65_536 ? 2 : 8;
  const header = Buffer.alloc(2 + size);
  header.set([first, size === 2 ? 126 : 127]);
  if (size === 2) header.writeUInt16BE(payload.length, 2);
  else header.writeBigUInt64BE(BigInt(payload.length), 2);
  return Buffer.concat([header, payload]);
}

const covered = async (pieces: readonly Buffer[]): Promise<Buffer> => {
  const cover = createFrameCover([{ find: Buffer.from(SECRET), put: Buffer.from(COVER) }]);
  return buffer(Readable.from(pieces).pipe(cover));
};

test("frames keep their borders, and hold no secret, whatever the chunks", async () => {
  const part = fc.oneof(
    fc.constantFrom(SECRET, "the-", "secret", "t", ""),
    fc.string({ maxLength: 8 }),
    fc.nat({ max: 300 }).map((length) => "x".repeat(length)),
  );
  const payload = fc.array(part, { maxLength: 6 }).map((parts) => parts.join(""));
  const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(fc.array(payload, { maxLength: 6 }), cuts, async (payloads, sizes) => {
      const sent = Buffer.concat(payloads.map((text) => frame(Buffer.from(text))));
      const pieces: Buffer[] = [];
      let at = 0;
      for (const size of [...sizes, sent.length]) {
        if (at < sent.length) pieces.push(sent.subarray(at, at + size));
        at += size;
      }
      const expected = Buffer.concat(payloads.map((text) => frame(Buffer.from(text.replaceAll(SECRET, COVER)))));
      expect((await covered(pieces)).equals(expected)).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test("long frames too", async () => {
  const text = `${"x".repeat(70_000)}${SECRET}`;
  const out = await covered([frame(Buffer.from(text), false), frame(Buffer.from(SECRET))]);
  const expected = [frame(Buffer.from(text.replace(SECRET, COVER)), false), frame(Buffer.from(COVER))];
  expect(out.equals(Buffer.concat(expected))).toBe(true);
});
