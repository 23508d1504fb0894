import { expect, test } from "vitest";
import { readStart } from "./read-start.ts";

test("all of a body, or its beginning, and the rest is given up", async () => {
  expect(await readStart(new Response(null), 4)).toEqual({ bytes: Buffer.alloc(0), complete: true });
  expect(await readStart(new Response("four"), 4)).toEqual({ bytes: Buffer.from("four"), complete: true });
  let cancelled = false;
  let pulls = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulls += 1;
      controller.enqueue(Buffer.from("abc"));
    },
    cancel() {
      cancelled = true;
    },
  });
  expect(await readStart(new Response(endless), 4)).toEqual({ bytes: Buffer.from("abca"), complete: false });
  expect(cancelled).toBe(true);
  expect(pulls).toBeLessThan(5);
});

test("a body that breaks off is no body", async () => {
  const broken = new ReadableStream<Uint8Array>({
    start: (controller) => controller.error(new Error("broke off")),
  });
  await expect(readStart(new Response(broken), 4)).rejects.toThrow("broke off");
});
