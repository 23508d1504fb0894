import fc from "fast-check";
import { text } from "node:stream/consumers";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
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
