import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import { loadConfig, type RunningServer, serve } from "@sandbox0/server/main";
import { asOffered, call, createScriptedProvider, createTestDatabase, say } from "@sandbox0/testkit";
import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { message, only, openSession, saidBy, textOf } from "../conformance/fixture/test-session.ts";
import { VENDOR_HARNESSES } from "./vendor-harnesses.ts";

const API_KEY = "key-of-the-operator";
const closers: (() => Promise<unknown>)[] = [];
const start = new Map<string, (harness: string) => Promise<RunningServer>>();

beforeAll(async () => {
  const database = await createTestDatabase();
  closers.push(() => database.drop());
  const provider = await createScriptedProvider({
    script: asOffered(({ messages }) =>
      messages.at(-1)?.results.length ? say("Done.") : call("bash", { command: "echo here" }),
    ),
  });
  closers.push(() => provider.close());
  const masterKey = randomBytes(32).toString("hex");
  for (const role of ["api", "worker"]) {
    start.set(role, async (harness) => {
      const dataDir = await mkdtemp(join(tmpdir(), `sandbox0-${role}-`));
      const environment = {
        DATABASE_URL: database.connectionString,
        SANDBOX0_DATA_DIR: dataDir,
        SANDBOX0_PORT: "0",
        SANDBOX0_API_KEY: API_KEY,
        SANDBOX0_MASTER_KEY: masterKey,
        SANDBOX0_ROLES: role,
        SANDBOX0_HARNESS: harness,
        ANTHROPIC_API_KEY: "scripted",
        ANTHROPIC_BASE_URL: provider.url,
        OPENAI_API_KEY: "scripted",
        OPENAI_BASE_URL: provider.url,
      };
      const server = await serve(loadConfig(environment), { logger: pino({ level: "error" }) });
      closers.push(async () => {
        await server.close();
        await rm(dataDir, { recursive: true, force: true });
      });
      return server;
    });
  }
});
afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

test.each(VENDOR_HARNESSES)("one server takes the session of $name, the other one runs it", async ({ name, model }) => {
  const [api, worker] = [await start.get("api")?.(name), await start.get("worker")?.(name)];
  expect(worker?.url).toBe("");
  const client = new Anthropic({ baseURL: api?.url ?? "", apiKey: API_KEY, maxRetries: 0 });
  const environment = await client.beta.environments.create({ name });
  const agent = await client.beta.agents.create({ name, model, tools: [{ type: "agent_toolset_20260401" }] });
  const created = await client.beta.sessions.create({ agent: agent.id, environment_id: environment.id });
  const session = openSession(client, created, () => undefined);
  await session.send(message("hello"));
  const events = await session.until((log) => log.some(({ type }) => type === "session.status_idle"));
  expect(textOf(only(events, "agent.tool_result")[0] ?? {})).toContain("here");
  expect(saidBy(events)).toEqual(["Done."]);
  for (const close of closers.splice(2).reverse()) await close();
});
