import { deflateSync } from "node:zlib";
import { until } from "@sandbox0/testkit";
import { afterAll, expect, test } from "vitest";
import { createExtractor, type ExtractAnswer } from "./extractor.ts";

const extractor = createExtractor({ timeoutMs: 120_000 });
/** For documents that may take it. */
const hasty = createExtractor({ timeoutMs: 5_000 });
afterAll(() => Promise.all([extractor.close(), hasty.close()]));
const never = new AbortController().signal;
const bytes = (text: string) => new TextEncoder().encode(text);
const html = (text: string, by = extractor) =>
  by.extract(
    { kind: "html", bytes: bytes(text), charset: "utf-8", url: "https://example.com/docs/page", charsMax: 1_000_000 },
    never,
  );
const textOf = (answer: ExtractAnswer) => (answer.ok ? answer.text : `failed: ${answer.message}`);

test("a page is its text: headings, lists, tables, absolute links, nothing of script and style", async () => {
  const answer = await html(`<!doctype html><html><head><title>A &amp; B</title><style>p{}</style></head><body>
    <script>alert(1)</script><h2>Head <em>ing</em></h2><p>One&nbsp;<b>two</b>
    three <a href="../other?x=1#part">there</a> <a href="javascript:alert(1)">no</a> <a href="#top">up</a></p>
    <ul><li>first<li>second</ul><table><tr><th>k</th><th>v</th></tr><tr><td>a</td><td>1</td></tr></table>
    <pre>  kept   as
is</pre><img src="x.png" alt="a chart"></body></html>`);
  expect(answer).toMatchObject({ ok: true, title: "A & B" });
  const text = textOf(answer);
  expect(text).toContain("## Head ing");
  expect(text).toMatch(/One\s*two three there <https:\/\/example.com\/other\?x=1#part> no up/);
  expect(text).toContain("- first\n- second");
  expect(text).toContain("k | v |\na | 1 |");
  expect(text).toContain("  kept   as\nis");
  expect(text).toContain("[image: a chart]");
  expect(text).not.toMatch(/alert|p\{\}/);
});

test("links follow the page's own base", async () => {
  expect(textOf(await html('<base href="https://cdn.example.org/a/"><a href="b">x</a>'))).toBe("x <https://cdn.example.org/a/b>");
});

test("another charset is read as what it is", async () => {
  const latin = { kind: "html", bytes: Uint8Array.from([0x63, 0x61, 0x66, 0xe9]), charset: "iso-8859-1" } as const;
  expect(textOf(await extractor.extract({ ...latin, url: "https://e.com/", charsMax: 10 }, never))).toBe("café");
});

test("the text of a PDF, page by page", async () => {
  const answer = await extractor.extract({ kind: "pdf", bytes: pdf(["Hello there", "Second page"]), charsMax: 1_000 }, never);
  expect(textOf(answer)).toBe("[page 1]\nHello there\n\n[page 2]\nSecond page");
});

test("what is no PDF is an error, and the next document is read", async () => {
  expect(await extractor.extract({ kind: "pdf", bytes: bytes("%PDF-1.7 nonsense"), charsMax: 10 }, never)).toMatchObject({
    ok: false,
  });
  expect(textOf(await html("<p>fine</p>"))).toBe("fine");
});

test.each([
  ["elements a million deep", "<div>".repeat(1_000_000)],
  ["links a hundred thousand times opened", "<a href=x>".repeat(100_000)],
  ["lists in lists", "<ul><li>x".repeat(100_000)],
  ["attributes without end", `<p ${"a='".repeat(500_000)}`],
  ["a table of one wide cell", '<table><tr><td colspan="99999999" rowspan="99999999">x</table>'],
  ["titles and bases that never close", `${"<title".repeat(20_000)}${"<base ".repeat(20_000)}`],
  ["entities", "&amp".repeat(1_000_000)],
])(
  "%s: an answer in bounded time, and the next document is read",
  async (_, page) => {
    const answer = await html(page, hasty);
    expect(answer.ok ? "read" : answer.message).toMatch(/^read$|takes/);
    // Its thread may have been ended: the next one has to start within the same time.
    await until(async () => textOf(await html("<p>fine</p>", hasty)) === "fine");
  },
  300_000,
);

test("a document that takes too long, or too much memory, costs its thread alone", async () => {
  const quick = createExtractor({ timeoutMs: 1 });
  expect(await quick.extract({ kind: "pdf", bytes: pdf(["x"]), charsMax: 10 }, never)).toEqual({
    ok: false,
    message: "it takes more than 0.001 seconds to read",
  });
  await quick.close();
  const small = createExtractor({ memoryBytesMax: 200 * 1024 * 1024, timeoutMs: 120_000 });
  const bomb = await small.extract({ kind: "pdf", bytes: bombPdf(), charsMax: 10 }, never);
  expect(bomb).toEqual({ ok: false, message: "it takes too much memory to read" });
  expect(textOf(await small.extract({ kind: "pdf", bytes: pdf(["still here"]), charsMax: 100 }, never))).toContain("still here");
  await small.close();
}, 300_000);

test("an abort ends it at once; a closed one reads nothing", async () => {
  const other = createExtractor();
  const stop = new AbortController();
  const reading = other.extract({ kind: "pdf", bytes: pdf(["x"]), charsMax: 10 }, stop.signal);
  stop.abort();
  expect(await reading).toMatchObject({ ok: false });
  await other.close();
  expect(await other.extract({ kind: "pdf", bytes: pdf(["x"]), charsMax: 10 }, never)).toMatchObject({ ok: false });
});

function pdf(pages: readonly string[]): Uint8Array {
  return pdfOf(
    pages.map((text) => Buffer.from(`BT /F1 12 Tf 72 720 Td (${text}) Tj ET`)),
    "",
  );
}

/** A content stream of 320 MiB that travels as a fraction of one. */
function bombPdf(): Uint8Array {
  const megabytes = Buffer.alloc(320 * 1024 * 1024, "BT (x) Tj ET\n");
  return pdfOf([deflateSync(megabytes, { level: 1 })], "/Filter /FlateDecode");
}

function pdfOf(streams: readonly Buffer[], filter: string): Uint8Array {
  const kids = streams.map((_, index) => `${4 + index * 2} 0 R`).join(" ");
  const objects: (string | Buffer)[][] = [
    ["<< /Type /Catalog /Pages 2 0 R >>"],
    [`<< /Type /Pages /Count ${streams.length} /Kids [${kids}] >>`],
    ["<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"],
    ...streams.flatMap((stream, index) => [
      [
        `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents ${5 + index * 2} 0 R /Resources << /Font << /F1 3 0 R >> >> >>`,
      ],
      [`<< /Length ${stream.length} ${filter} >>\nstream\n`, stream, "\nendstream"],
    ]),
  ];
  const parts: Buffer[] = [Buffer.from("%PDF-1.7\n")];
  const offsets: number[] = [];
  let length = parts[0]?.length ?? 0;
  const push = (part: string | Buffer): void => {
    const buffer = Buffer.from(part);
    parts.push(buffer);
    length += buffer.length;
  };
  objects.forEach((object, index) => {
    offsets.push(length);
    push(`${index + 1} 0 obj\n`);
    object.forEach(push);
    push("\nendobj\n");
  });
  const start = length;
  push(`xref\n0 ${objects.length + 1}\n0000000000 65535 f \n`);
  for (const offset of offsets) push(`${String(offset).padStart(10, "0")} 00000 n \n`);
  push(`trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${start}\n%%EOF\n`);
  return new Uint8Array(Buffer.concat(parts));
}
