import { expect, test } from "vitest";
import { CAPTURED_CHARS_MAX, captureResponse, scrub } from "./captured-response.ts";

const SECRET = 'canary/s+cr&t "q"=';

test.each([
  ["as it is", SECRET],
  ["in a URL", encodeURIComponent(SECRET)],
  ["in a URL, lower case", encodeURIComponent(SECRET).toLowerCase()],
  ["in a form", encodeURIComponent(SECRET).replaceAll("%20", "+")],
  ["in JSON", JSON.stringify(SECRET)],
  ["in JSON with escaped slashes", JSON.stringify(SECRET).replaceAll("/", "\\/")],
  ["in HTML", SECRET.replaceAll("&", "&amp;").replaceAll('"', "&quot;")],
  ["in base64", Buffer.from(SECRET).toString("base64")],
  ["in base64url", Buffer.from(SECRET).toString("base64url")],
  ["in hex", Buffer.from(SECRET).toString("hex")],
])("a known secret %s is taken out", (_where, text) => {
  const clean = scrub(`before ${text} after`, ["", SECRET]);
  expect(clean).toContain("[redacted]");
  expect(clean).toMatch(/^before .*after$/);
  expect(clean).not.toContain(text);
});

test.each([
  ['{"access_token":"canary","token_type":"Bearer","x":1}', '{"access_token":"[redacted]","token_type":"[redacted]","x":1}'],
  ['{"refresh_token": "can\\"ary"}', '{"refresh_token": "[redacted]"}'],
  ['{"client_secret":"canary', '{"client_secret":"[redacted]'],
  ["authorization: Bearer canary.x-y", "authorization: Bearer [redacted]"],
  ["a=1&refresh_token=canary&b=2", "a=1&refresh_token=[redacted]&b=2"],
])("what looks like a secret is taken out: %s", (text, clean) => {
  expect(scrub(text, [])).toBe(clean);
});

test("an ordinary error comes through", () => {
  const text = '{"error":"invalid_grant","error_description":"The grant has expired"}';
  expect(scrub(text, [SECRET])).toBe(text);
});

test("the cut never shows half of a secret", async () => {
  for (let before = CAPTURED_CHARS_MAX - SECRET.length - 2; before <= CAPTURED_CHARS_MAX + 2; before++) {
    const captured = await captureResponse(new Response(`${"x".repeat(before)}${SECRET}${"y".repeat(50)}`, { status: 400 }), [
      SECRET,
    ]);
    expect(captured.body).not.toContain("canary");
    expect(captured.body.length).toBeLessThanOrEqual(CAPTURED_CHARS_MAX);
    expect(captured.body_truncated).toBe(true);
  }
});

test("a body without end is read to a bound and given up", async () => {
  let pulled = 0;
  let cancelled = false;
  const body = new ReadableStream({
    pull(controller) {
      pulled += 1;
      controller.enqueue(new TextEncoder().encode("x".repeat(1_000)));
    },
    cancel() {
      cancelled = true;
    },
  });
  const captured = await captureResponse(new Response(body, { status: 500, headers: { "content-type": "text/plain" } }), [
    SECRET,
  ]);
  expect(captured).toMatchObject({ status_code: 500, content_type: "text/plain", body_truncated: true });
  expect(cancelled).toBe(true);
  expect(pulled).toBeLessThan(20);
});
