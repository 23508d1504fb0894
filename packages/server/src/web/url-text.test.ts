import { expect, test } from "vitest";
import { textShowsUrl } from "./url-text.ts";

const shows = (text: string, url: string, bare = false) => textShowsUrl(text, new URL(url), { bare });

test.each([
  ["see https://example.com/a.", "https://example.com/a"],
  ["(https://example.com/a)", "https://example.com/a"],
  ["[x](https://example.com/a),[y](https://example.com/b)", "https://example.com/b"],
  ["[x](https://example.com/a)[y](https://example.com/b)", "https://example.com/a"],
  ["<https://example.com/a>", "https://example.com/a"],
  ['"https://example.com/a"', "https://example.com/a"],
  ["**https://example.com/a**", "https://example.com/a"],
  ["HTTPS://Example.COM:443/a#part", "https://example.com/a"],
  ["https://example.com", "https://example.com/"],
  ["https://example.com/a_(b)", "https://example.com/a_(b)"],
  ["http://example.com/a", "https://example.com/a/"],
  ["https://example.com/a/?b", "https://example.com/a?b"],
  ["https://example.com./a", "https://example.com/a"],
  ["https://example.com/ä", "https://example.com/%C3%A4"],
  ["https://bücher.example/", "https://xn--bcher-kva.example/"],
  ["(http://[::1]:8080/a)", "http://[::1]:8080/a"],
  ["https://example.com/a?b=1&c=2, and", "https://example.com/a?b=1&c=2"],
  ["'https://example.com/a?b=1', and", "https://example.com/a?b=1"],
  ["(see https://example.com/a_(b)).", "https://example.com/a_(b)"],
  ["https://example.com)", "https://example.com/"],
  ["(https://example.com/).", "https://example.com/"],
  ["https://example.com/a/!?", "https://example.com/a"],
  ["https://example.com/a.)", "https://example.com/a"],
  ["https://archive.org/web/https://example.com/a", "https://example.com/a"],
])("%s shows %s", (text, url) => {
  expect(shows(text, url)).toBe(true);
});

test.each([
  ["https://example.com/a", "https://example.com/ab"],
  ["https://example.com/ab", "https://example.com/a"],
  ["https://example.com/a", "http://example.com/a"],
  ["https://example.com/a", "https://example.com/a?leak=1"],
  ["https://example.com/a", "https://evil.com/a"],
  ["https://example.com.evil.com/", "https://example.com/"],
  ["https://user@example.com/", "https://example.com/"],
  ["example.com/a", "https://example.com/a"],
  ["nothing", "https://example.com/"],
  ["https://example.com/a_b", "https://example.com/a"],
  ["https://example.com/a.b)", "https://example.com/a"],
  ["https://example.com/a/b", "https://example.com/a"],
  ["https://example.com/a?b=1", "https://example.com/a"],
  ["https://example.com/a?b=12", "https://example.com/a?b=1"],
  ["https://example.com:8080/a", "https://example.com/a"],
])("%s does not show %s", (text, url) => {
  expect(shows(text, url)).toBe(false);
});

test("people leave the scheme out", () => {
  expect(shows("look at example.com/docs, please", "https://example.com/docs", true)).toBe(true);
  expect(shows("look at www.example.com.", "http://www.example.com/", true)).toBe(true);
  expect(shows("mail me@example.com", "https://example.com/", true)).toBe(false);
  expect(shows("evilexample.com", "https://example.com/", true)).toBe(false);
  expect(shows("https://evil.io/example.com", "https://example.com/", true)).toBe(false);
  expect(shows("example.com.evil.io", "https://example.com/", true)).toBe(false);
});

test("texts that were made to be slow are not", () => {
  const url = "https://example.com/x";
  for (const text of [
    "http://".repeat(150_000),
    "a.".repeat(500_000),
    `https://example.com/${"(".repeat(1_000_000)}`,
    "a-".repeat(500_000),
    // Each of so many could be cut in as many places.
    "https://example.com/(((((((((".repeat(3_500),
    "https://example.com/xy((((((((".repeat(3_500),
    "https://example.com)y".repeat(50_000),
    "example.com/((((((((((".repeat(50_000),
  ])
    expect(shows(text, url, true)).toBe(false);
}, 60_000);
