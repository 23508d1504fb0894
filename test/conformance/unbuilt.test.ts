import { OPERATION_NAMES, OPERATIONS } from "@sandbox0/protocol";
import { expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { refused } from "./fixture/refused.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

/** What is there, by the SDK's names: everything else must be a 501. */
const BUILT = [
  "agents.archive",
  "agents.create",
  "agents.list",
  "agents.retrieve",
  "agents.update",
  "agents.versions.list",
  "environments.archive",
  "environments.create",
  "environments.delete",
  "environments.list",
  "environments.retrieve",
  "environments.update",
  "memoryStores.archive",
  "memoryStores.create",
  "memoryStores.delete",
  "memoryStores.list",
  "memoryStores.memories.create",
  "memoryStores.memories.delete",
  "memoryStores.memories.list",
  "memoryStores.memories.retrieve",
  "memoryStores.memories.update",
  "memoryStores.memoryVersions.list",
  "memoryStores.memoryVersions.redact",
  "memoryStores.memoryVersions.retrieve",
  "memoryStores.retrieve",
  "memoryStores.update",
  "files.delete",
  "files.download",
  "files.list",
  "files.retrieveMetadata",
  "files.upload",
  "models.list",
  "models.retrieve",
  "sessions.archive",
  "sessions.create",
  "sessions.delete",
  "sessions.events.list",
  "sessions.events.send",
  "sessions.events.stream",
  "sessions.list",
  "sessions.resources.add",
  "sessions.resources.delete",
  "sessions.resources.list",
  "sessions.resources.retrieve",
  "sessions.resources.update",
  "sessions.retrieve",
  "sessions.threads.events.list",
  "sessions.threads.events.stream",
  "sessions.threads.list",
  "sessions.threads.retrieve",
  "sessions.update",
  "skills.create",
  "skills.delete",
  "skills.list",
  "skills.retrieve",
  "skills.versions.create",
  "skills.versions.delete",
  "skills.versions.download",
  "skills.versions.list",
  "skills.versions.retrieve",
  "vaults.archive",
  "vaults.create",
  "vaults.credentials.archive",
  "vaults.credentials.create",
  "vaults.credentials.delete",
  "vaults.credentials.list",
  "vaults.credentials.mcpOAuthValidate",
  "vaults.credentials.retrieve",
  "vaults.credentials.update",
  "vaults.delete",
  "vaults.list",
  "vaults.retrieve",
  "vaults.update",
];

verifies("http.unbuilt", "every other operation of contract §2: 501, and the SDK does not retry", async () => {
  expect(OPERATION_NAMES).toHaveLength(120);
  const session = await server.createSession();
  const answers: Record<string, number> = {};
  for (const name of OPERATION_NAMES) {
    const [method, path] = OPERATIONS[name];
    if (BUILT.includes(name)) continue;
    const url = path
      .replace("{session_id}", session.id)
      .replace("{environment_id}", server.environmentId)
      .replaceAll(/\{\w+\}/g, "x_01x");
    const response = await server.request(url, { method });
    answers[name] = response.status;
    const body = (await response.json()) as { error: { type: string; message: string } };
    expect([name, body.error.type, response.headers.get("x-should-retry")]).toEqual([name, "api_error", "false"]);
    expect(body.error.message).toMatch(/not (implemented|supported)/);
  }
  expect(Object.keys(answers)).toHaveLength(120 - BUILT.length);
  expect(new Set(Object.values(answers))).toEqual(new Set([501]));
});

verifies("http.unbuilt", "with the body that the SDK would send, through the SDK, once", async () => {
  const retrying = server.client.withOptions({ maxRetries: 2 });
  const before = server.wire.count;
  const calls = [
    () => retrying.beta.deployments.retrieve("depl_01x"),
    () => retrying.beta.dreams.cancel("drm_01x"),
    () => retrying.beta.environments.work.poll(server.environmentId),
  ];
  for (const call of calls) expect((await refused(call())).status).toBe(501);
  expect(server.wire.count - before).toBe(calls.length);
});

verifies("http.unbuilt", "what is not built inside built operations", async () => {
  const session = await server.createSession();
  const outcome = { type: "user.define_outcome" as const, description: "d", rubric: { type: "text" as const, content: "r" } };
  const budget = { type: "limit" as const, max_list_cost: { amount: "100", currency: "USD" as const } };
  for (const call of [
    () => session.send(outcome),
    () => server.createSession({ initial_events: [outcome] }),
    () => server.createSession({ budget }),
  ]) {
    const { status, type, headers } = await refused(call());
    expect({ status, type, retry: headers.get("x-should-retry") }).toEqual({ status: 501, type: "api_error", retry: "false" });
  }
  const own = await server.client.beta.environments.create({ name: "own", config: { type: "self_hosted" } });
  expect((await refused(server.createSession({ environment_id: own.id }))).status).toBe(501);
  expect(await session.events()).toEqual([]);
});
