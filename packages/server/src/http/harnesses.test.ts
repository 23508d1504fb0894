import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { HarnessOffer } from "../resources/harnesses/harnesses.ts";
import { startTestServer, type TestServer } from "./http-server.fixture.ts";

const inSandbox = { placement: "agent-in-sandbox", version: "1.2.3", unavailable: null } as const;
const OFFERS: HarnessOffer[] = [
  {
    name: "sandpi",
    placement: "sandbox-as-tool",
    version: null,
    unavailable: null,
    apis: ["anthropic-messages", "openai-responses"],
  },
  { ...inSandbox, name: "claude", apis: ["anthropic-messages"] },
  {
    ...inSandbox,
    name: "codex",
    apis: ["openai-responses"],
    version: null,
    unavailable: "the package @openai/codex is not installed",
  },
];

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ harnesses: OFFERS });
});
afterAll(() => server.close());

/** Creates a session; `harness` by the agent's metadata, or `engine` by an LLM vault. */
const refusal = (message: string) => ({ status: 400, error: { error: { message: expect.stringContaining(message) } } });

async function create(wanted: { model: string; harness?: string; engine?: string }) {
  const { environments, agents, sessions, vaults } = server.client().beta;
  const environment = await environments.create({ name: crypto.randomUUID() });
  const agent = await agents.create({
    name: "a",
    model: wanted.model,
    ...(wanted.harness ? { metadata: { "sandbox0.harness": wanted.harness } } : {}),
  });
  const vaultIds: string[] = [];
  if (wanted.engine) {
    const metadata = {
      "sandbox0.managed_agents.role": "llm",
      "sandbox0.managed_agents.engine": wanted.engine,
      "sandbox0.managed_agents.llm_base_url": "https://llm.example.com",
    };
    vaultIds.push((await vaults.create({ display_name: "llm", metadata })).id);
  }
  const session = await sessions.create({ agent: agent.id, environment_id: environment.id, vault_ids: vaultIds });
  const { rows } = await server.db.query<{ harness: string }>("select harness from sessions where id = $1", [session.id]);
  return rows[0]?.harness;
}

describe("the harness of a session", () => {
  test("is the vault's, the agent's or the server's", async () => {
    expect(await create({ model: "gpt-x" })).toBe("sandpi");
    expect(await create({ model: "claude-x", harness: "claude" })).toBe("claude");
    expect(await create({ model: "own-model", harness: "sandpi", engine: "claude" })).toBe("claude");
  });

  test("that cannot be used is refused with the reason", async () => {
    await expect(create({ model: "gpt-x", harness: "codex" })).rejects.toMatchObject(
      refusal(
        'agent.metadata.sandbox0.harness: the harness "codex" is not available on this server: the package @openai/codex is not ' +
          "installed; available: sandpi, claude",
      ),
    );
    await expect(create({ model: "gpt-x", engine: "other" })).rejects.toMatchObject(
      refusal('vault_ids: the harness "other" is not available on this server: there is no such harness'),
    );
  });

  test("must speak the API that the model is served over", async () => {
    await expect(create({ model: "gpt-x", harness: "claude" })).rejects.toMatchObject(
      refusal(
        'agent.model: the harness "claude" speaks anthropic-messages, and the model "gpt-x" is served over openai-responses here',
      ),
    );
  });
});

test("they are listed with their versions and why one cannot be used", async () => {
  const { status, body } = await server.request("GET", "/sandbox0/v1/harnesses");
  expect(status).toBe(200);
  const common = { type: "harness", default: false, available: true, unavailable_reason: null };
  expect(body).toEqual({
    data: [
      { ...common, name: "sandpi", version: null, placement: "sandbox-as-tool", apis: OFFERS[0]?.apis, default: true },
      { ...common, name: "claude", version: "1.2.3", placement: "agent-in-sandbox", apis: ["anthropic-messages"] },
      {
        ...common,
        name: "codex",
        version: null,
        placement: "agent-in-sandbox",
        apis: ["openai-responses"],
        available: false,
        unavailable_reason: "the package @openai/codex is not installed",
      },
    ],
  });
  expect((await server.request("GET", "/sandbox0/v1/harnesses", { anonymous: true })).status).toBe(401);
});
