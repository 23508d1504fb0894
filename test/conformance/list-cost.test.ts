import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { say } from "@sandbox0/testkit";
import { afterAll, expect, test } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { message, only } from "./fixture/test-session.ts";

/** USD for a million tokens: high enough that one short answer costs cents. */
const PRICE = { input: 4_000, output: 20_000, cache_read: 400, cache_write: 5_000 };
const PRICED = "claude-priced";
const dir = mkdtempSync(join(tmpdir(), "sandbox0-prices-"));
const models = join(dir, "models.json");
writeFileSync(models, JSON.stringify({ models: [{ id: PRICED, api: "anthropic-messages", list_price: PRICE }] }));

const server = conformanceServer({ SANDBOX0_MODELS: models });
afterAll(() => rmSync(dir, { recursive: true }));

test("a session's usage says what its model requests cost by the list, its thread's without running time (semantics §15)", async () => {
  const session = await server.start({ model: PRICED }, say("Hello."));
  await session.rest();
  await session.send(message(server.play(say("And once more."))));
  const events = await session.rest();
  const usd = only(events, "span.model_request_end").reduce(
    (sum, { model_usage: usage }) => sum + (usage.input_tokens * PRICE.input + usage.output_tokens * PRICE.output) / 1e6,
    0,
  );
  const cents = String(Math.round(usd * 100));
  expect(Number(cents)).toBeGreaterThan(0);
  // A turn of milliseconds runs for no cent.
  const retrieved = await server.client.beta.sessions.retrieve(session.id);
  expect(retrieved.usage.list_cost).toEqual({ amount: cents, currency: "USD" });
  expect(only(events, "session.usage").at(-1)?.usage.list_cost).toEqual({ amount: cents, currency: "USD" });
  const threads = await server.client.beta.sessions.threads.list(session.id);
  expect(threads.data[0]?.usage?.list_cost).toEqual({ amount: cents, currency: "USD" });
});

test("a model without a price costs nothing that could be told", async () => {
  const session = await server.start({}, say("Hello."));
  const events = await session.rest();
  expect(only(events, "session.usage").at(-1)?.usage).not.toHaveProperty("list_cost");
  expect((await server.client.beta.sessions.retrieve(session.id)).usage.list_cost ?? null).toBeNull();
});
