import { createTestDatabase } from "@sandbox0/testkit";
import { pino } from "pino";
import { expect, test } from "vitest";
import { loadConfig } from "./config.ts";
import { findInstalledHarnesses } from "./harnesses.ts";
import { serve } from "./index.ts";

test("what is offered is what runs: names, places and APIs", async () => {
  const installed = findInstalledHarnesses({ sandbox: "bubblewrap" });
  const started = installed.create();
  const described = started.map(({ name, capabilities: { placement, apis } }) => ({ name, placement, apis }));
  const offered = installed.offers.filter(({ name }) => name !== "sandpi");
  expect(offered.map(({ name, placement, apis }) => ({ name, placement, apis }))).toEqual(described);
  expect(offered.map(({ unavailable }) => unavailable)).toEqual([null, null]);
  expect(installed.programs.map(({ version }) => version)).toEqual(offered.map(({ version }) => version));
  expect(installed.apisOf("claude")).toEqual(["anthropic-messages"]);
  expect(installed.apisOf("nobody")).toEqual([]);
  await Promise.all(started.map((harness) => harness.close()));
});

test("where sandboxes have no way to the model gateway, those that run in them cannot be used, and a server says so", async () => {
  const installed = findInstalledHarnesses({ sandbox: "process" });
  expect(installed.programs).toEqual([]);
  expect(installed.create()).toEqual([]);
  for (const { name, unavailable } of installed.offers)
    expect(unavailable, name).toEqual(name === "sandpi" ? null : expect.stringContaining("no way to the model gateway"));
});

test("a server whose default harness cannot be used does not start", async () => {
  const database = await createTestDatabase();
  try {
    const environment = { SANDBOX0_SANDBOX: "process", SANDBOX0_HARNESS: "codex", DATABASE_URL: database.connectionString };
    await expect(serve(loadConfig(environment), { logger: pino({ level: "silent" }) })).rejects.toMatchObject({
      code: "bad_configuration",
      message: expect.stringContaining('SANDBOX0_HARNESS: the harness "codex" is not available on this server: it runs in the'),
    });
  } finally {
    await database.drop();
  }
});
