import type { CredentialCreateParams } from "@sandbox0/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OpenVaults } from "./open-vaults.ts";
import { createVaultStage, type VaultStage } from "./vaults.fixture.ts";

let stage: VaultStage;
let server: OpenVaults;
beforeAll(async () => {
  stage = await createVaultStage();
  server = await stage.server();
});
afterAll(() => stage.close());

async function vault(metadata: Record<string, string> = {}): Promise<string> {
  return (await server.api.vaults.create(stage.workspaceId, { display_name: "v", metadata })).id;
}
const add = async (vaultId: string, auth: CredentialCreateParams["auth"]): Promise<string> =>
  (await server.api.credentials.create(stage.workspaceId, vaultId, { auth })).id;
const bearer = (mcp_server_url: string, token: string) => ({ type: "static_bearer" as const, mcp_server_url, token });
const variable = (secret_name: string, secret_value: string, rest: object = {}) => ({
  type: "environment_variable" as const,
  secret_name,
  secret_value,
  networking: { type: "unrestricted" as const },
  ...rest,
});

describe("the credential for an MCP server", () => {
  const tokenFor = async (vaultIds: string[], url: string): Promise<string | undefined> =>
    (await server.secrets.credentialForMcp(stage.workspaceId, vaultIds, url))?.token;

  test("is of the first vault that has one, in the order of the session", async () => {
    const [one, two, empty] = [await vault(), await vault(), await vault()];
    await add(two, bearer("https://a.example.com/mcp", "of-two"));
    await add(one, bearer("https://a.example.com/mcp", "of-one"));
    expect(await tokenFor([empty, one, two], "https://a.example.com/mcp")).toBe("of-one");
    expect(await tokenFor([two, one], "https://a.example.com/mcp")).toBe("of-two");
    expect(await tokenFor([empty], "https://a.example.com/mcp")).toBeUndefined();
    expect(await tokenFor([], "https://a.example.com/mcp")).toBeUndefined();
  });

  test("is found by the normalised URL, and by no other path, host or port", async () => {
    const id = await vault();
    await add(id, bearer("HTTPS://A.Example.com:443/mcp/", "token"));
    for (const same of ["https://a.example.com/mcp", "https://A.EXAMPLE.COM/mcp/", "https://a.example.com:443/mcp"])
      expect(await tokenFor([id], same)).toBe("token");
    for (const other of [
      "https://a.example.com/mcp/x",
      "https://a.example.com",
      "https://b.a.example.com/mcp",
      "https://a.example.com:8443/mcp",
      "http://a.example.com/mcp",
    ])
      expect(await tokenFor([id], other)).toBeUndefined();
  });

  test("an archived one, an archived vault, another workspace: none, and the next vault's instead", async () => {
    const [one, two, three] = [await vault(), await vault(), await vault()];
    const url = "https://a.example.com";
    const archived = await add(one, bearer(url, "one"));
    await add(two, bearer(url, "two"));
    await add(three, bearer(url, "three"));
    await server.api.credentials.archive(stage.workspaceId, one, archived);
    await server.api.vaults.archive(stage.workspaceId, two);
    expect(await tokenFor([one, two, three], url)).toBe("three");
    expect(await server.secrets.credentialForMcp("wrkspc_other", [three], url)).toBeNull();
  });

  test("is the one that is stored now", async () => {
    const id = await vault();
    const credential = await add(id, bearer("https://a.example.com", "before"));
    await server.api.credentials.update(stage.workspaceId, id, credential, { auth: { type: "static_bearer", token: "after" } });
    expect(await tokenFor([id], "https://a.example.com")).toBe("after");
  });
});

describe("environment variables", () => {
  test("of all vaults; of two with one name the first vault's; without any secret", async () => {
    const [one, two] = [await vault(), await vault()];
    const limited = {
      networking: { type: "limited", allowed_hosts: ["API.example.com", "*.x.org"] },
      injection_location: { header: true },
    };
    const first = await add(one, variable("SHARED", "canary-1", limited));
    await add(two, variable("SHARED", "canary-2"));
    const other = await add(two, variable("OTHER", "canary-3"));
    await add(two, bearer("https://a.example.com", "t"));
    const variables = await server.secrets.environmentVariables(stage.workspaceId, [one, two]);
    expect(variables).toEqual([
      { credentialId: first, secretName: "SHARED", hosts: ["api.example.com", "*.x.org"], inHeader: true, inBody: false },
      { credentialId: other, secretName: "OTHER", hosts: null, inHeader: true, inBody: true },
    ]);
    expect(await server.secrets.secretOf(first)).toBe("canary-1");
    await server.api.credentials.archive(stage.workspaceId, one, first);
    expect(
      (await server.secrets.environmentVariables(stage.workspaceId, [one, two])).map(({ secretName }) => secretName),
    ).toEqual(["SHARED", "OTHER"]);
    expect(await server.secrets.secretOf(first)).toBeNull();
    expect(await server.secrets.secretOf("vcrd_x")).toBeNull();
    expect(await server.secrets.environmentVariables("wrkspc_other", [one, two])).toEqual([]);
  });
});

describe("LLM vaults", () => {
  const llm = (rest: Record<string, string> = {}) => ({ "sandbox0.managed_agents.role": "llm", ...rest });

  test("an unbound key goes there and nowhere else", async () => {
    const id = await vault(llm());
    const { auth } = await server.api.credentials.create(stage.workspaceId, id, {
      auth: { type: "static_bearer", token: "key" },
    });
    expect(auth).toEqual({ type: "static_bearer", mcp_server_url: "" });
    await expect(add(id, { type: "static_bearer", token: "second" })).rejects.toMatchObject({
      status: 409,
      message: expect.stringContaining("model provider"),
    });
    await add(id, bearer("https://a.example.com", "t"));
    await expect(
      add(await vault({ "sandbox0.managed_agents.role": "other" }), { type: "static_bearer", token: "key" }),
    ).rejects.toMatchObject({
      status: 400,
      message: "auth.mcp_server_url: Field required",
    });
  });

  test("the first of the session's vaults that is one decides", async () => {
    const [plain, one, two] = [
      await vault(),
      await vault(
        llm({ "sandbox0.managed_agents.llm_base_url": "https://llm.example.com", "sandbox0.managed_agents.engine": "sandpi" }),
      ),
      await vault(llm()),
    ];
    const key = await add(one, { type: "static_bearer", token: "provider-key" });
    expect(await server.secrets.llmOf(stage.workspaceId, [plain, one, two])).toEqual({
      vaultId: one,
      engine: "sandpi",
      baseUrl: "https://llm.example.com",
      credentialId: key,
    });
    expect(await server.secrets.secretOf(key)).toBe("provider-key");
    expect(await server.secrets.llmOf(stage.workspaceId, [two, one])).toEqual({
      vaultId: two,
      engine: null,
      baseUrl: null,
      credentialId: null,
    });
    expect(await server.secrets.llmOf(stage.workspaceId, [plain])).toBeNull();
    await server.api.vaults.archive(stage.workspaceId, one);
    expect(await server.secrets.llmOf(stage.workspaceId, [one])).toBeNull();
    expect(await server.secrets.llmOf("wrkspc_other", [two])).toBeNull();
  });
});

test("no secret is in any table, in the clear or in any plain form", async () => {
  const id = await vault();
  const secrets = [
    "canary-token-7f3a",
    "canary-value-7f3a",
    "canary-access-7f3a",
    "canary-refresh-7f3a",
    "canary-client-7f3a",
  ] as const;
  const [token, value, access, refresh, client] = secrets;
  await add(id, bearer("https://leak.example.com", token));
  await add(id, variable("LEAK", value));
  await add(id, {
    type: "mcp_oauth",
    mcp_server_url: "https://leak.example.com/oauth",
    access_token: access,
    refresh: {
      client_id: "public",
      refresh_token: refresh,
      token_endpoint: "https://leak.example.com/token",
      token_endpoint_auth: { type: "client_secret_post", client_secret: client },
    },
  });
  const dump = await stage.dump();
  expect(dump).toContain("leak.example.com");
  for (const secret of secrets)
    for (const form of [secret, Buffer.from(secret).toString("hex"), Buffer.from(secret).toString("base64").slice(0, -4)])
      expect(dump).not.toContain(form);
});
