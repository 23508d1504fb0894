import fc from "fast-check";
import { text } from "node:stream/consumers";
import { Readable } from "node:stream";
import { expect, test, vi } from "vitest";
import { createReplaceStream } from "./replace-stream.ts";
import { type BoundSecret, createSubstitution } from "./substitution.ts";

const bound = (change: Partial<BoundSecret> = {}): BoundSecret => ({
  id: "vcrd_1",
  placeholder: "placeholder-one",
  secret: "canary-one-secret",
  inHeader: true,
  inBody: true,
  ...change,
});
const base64 = (plain: string): string => Buffer.from(plain).toString("base64");

test("in any header value, several times, and inside Basic; never in a name", () => {
  const substitution = createSubstitution([
    bound(),
    bound({ id: "vcrd_2", placeholder: "placeholder-two", secret: "canary-two-secret" }),
  ]);
  const headers = [
    ["X-Key", "placeholder-one, placeholder-two;placeholder-one"],
    ["placeholder-one", "x"],
    ["Authorization", `bAsIc ${base64("placeholder-one:placeholder-two")}`],
    ["Authorization", "Bearer placeholder-two"],
    ["X-Basic", `Basic ${base64("a:placeholder-one")}`],
  ] as const;
  expect(substitution.requestHeaders(headers)).toEqual([
    ["X-Key", "canary-one-secret, canary-two-secret;canary-one-secret"],
    ["placeholder-one", "x"],
    ["Authorization", `bAsIc ${base64("canary-one-secret:canary-two-secret")}`],
    ["Authorization", "Bearer canary-two-secret"],
    ["X-Basic", `Basic ${base64("a:placeholder-one")}`],
  ]);
  expect(substitution.credentialIds()).toEqual(["vcrd_1", "vcrd_2"]);
});

test("a Basic that holds no placeholder stays as it was written", () => {
  const substitution = createSubstitution([bound()]);
  for (const value of ["Basic dXNlcjpwYXNz", "Basic dXNlcjpwYXNzd29yZA", "Basic ", "Basic ???", "Basic"]) {
    expect(substitution.requestHeaders([["Authorization", value]])).toEqual([["Authorization", value]]);
  }
  expect(substitution.credentialIds()).toEqual([]);
});

test("a secret of other than ASCII goes out as UTF-8", () => {
  const substitution = createSubstitution([bound({ secret: "geheim-ü-€" })]);
  const [[, value] = ["", ""]] = substitution.requestHeaders([["X-Key", "placeholder-one"]]);
  expect(Buffer.from(value, "latin1").toString("utf8")).toBe("geheim-ü-€");
});

test("a secret of a few characters is put in, but not looked for in what comes back", async () => {
  const substitution = createSubstitution([bound({ secret: "abc" })]);
  expect(substitution.requestHeaders([["X-Key", "placeholder-one"]])).toEqual([["X-Key", "abc"]]);
  expect(substitution.covers).toBe(false);
  expect(substitution.responseBody()).toBeNull();
});

test("a covered body is as long as it was, whatever the placeholder's length and the chunks", async () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "-"), minLength: 8, maxLength: 20 });
  const chunks = fc.array(fc.oneof(word, fc.constantFrom("S1", "S2", "S", "1")), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(word, word, word, chunks, async (secret, other, placeholder, parts) => {
      const substitution = createSubstitution([bound({ secret, placeholder }), bound({ secret: other, placeholder })]);
      const pieces = parts.map((part) => part.replace("S1", secret).replace("S2", other)).filter((piece) => piece !== "");
      const cover = substitution.responseBody();
      expect(cover).not.toBeNull();
      if (!cover) return;
      const covered = await text(Readable.from(pieces.map((piece) => Buffer.from(piece))).pipe(cover));
      expect(covered).toHaveLength(pieces.join("").length);
    }),
    { numRuns: 200 },
  );
});

test("what merely looks like a beginning is passed on after a while, and the search goes on", async () => {
  const stream = createReplaceStream([{ find: Buffer.from("needle"), put: Buffer.from("X") }]);
  const chunks: string[] = [];
  const came = new Promise<void>((resolve) => {
    stream.on("data", (chunk: Buffer) => {
      chunks.push(String(chunk));
      if (chunks.join("") === "some need") resolve();
    });
  });
  stream.write("some need");
  await came;
  expect(chunks).toEqual(["some ", "need"]);
  stream.end("le needle");
  await new Promise((resolve) => stream.once("end", resolve));
  expect(chunks.join("")).toBe("some needle X");
});

test("a reader that is slow does not part what belongs together", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const stream = createReplaceStream([{ find: Buffer.from("needle"), put: Buffer.from("X") }]);
    const filler = "-".repeat(stream.readableHighWaterMark);
    stream.write(`${filler}need`);
    stream.write("le.");
    // Nobody reads meanwhile, and so the second piece cannot come.
    vi.advanceTimersByTime(60_000);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    stream.end();
    expect(await text(stream)).toBe(`${filler}X.`);
  } finally {
    vi.useRealTimers();
  }
});

test("a stream makes what it puts in as it is read, however much that is", async () => {
  const put = Buffer.alloc(64 * 1024, "s");
  const stream = createReplaceStream([{ find: Buffer.from("needle"), put }]);
  stream.write(Buffer.from("needle-".repeat(1_000)));
  stream.end("needle");
  await new Promise((resolve) => stream.once("readable", resolve));
  expect(stream.readableLength).toBeLessThan(4 * put.length);
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) bytes += chunk.length;
  expect(bytes).toBe(1_001 * put.length + 1_000);
});

test("headers that secrets make longer than headers may be are refused, on the way out and back", () => {
  const substitution = createSubstitution([bound({ secret: "s".repeat(60_000) })]);
  const refused = expect.objectContaining({ verdict: "denied", reason: "headers_too_large", status: 431 });
  const three = (value: string) => ["A", "B", "C"].map((name) => [name, value] as const);
  expect(substitution.requestHeaders([["A", "placeholder-one"]])[0]?.[1]).toHaveLength(60_000);
  expect(() => substitution.requestHeaders(three("placeholder-one"))).toThrow(refused);
  expect(() => substitution.requestHeaders([["A", "placeholder-one".repeat(3)]])).toThrow(refused);
  const basic = `Basic ${base64("placeholder-one:placeholder-one")}`;
  expect(() => substitution.requestHeaders([["Authorization", basic]])).toThrow(refused);
  const short = createSubstitution([bound({ secret: "8-bytes." })]);
  const failed = expect.objectContaining({ verdict: "failed", reason: "headers_too_large", status: 502 });
  expect(() => short.responseHeaders(three("8-bytes.".repeat(2_000)))).toThrow(failed);
});
