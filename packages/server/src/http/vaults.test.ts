import { inspect } from "node:util";
import { type Anthropic, APIError } from "@anthropic-ai/sdk";
import type {
  BetaManagedAgentsEnvironmentVariableCreateParams as VariableParams,
  BetaManagedAgentsMCPOAuthCreateParams as OAuthParams,
  CredentialCreateParams,
} from "@anthropic-ai/sdk/resources/beta/vaults/credentials";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TestServer, startTestServer } from "./http-server.fixture.ts";

let server: TestServer;
let client: Anthropic;
let vaultId: string;

beforeAll(async () => {
  server = await startTestServer();
  client = server.client();
  vaultId = (await client.beta.vaults.create({ display_name: "shared" })).id;
});
afterAll(async () => {
  expect(server.bugs.splice(0)).toEqual([]);
  await server.close();
});

const vaults = () => client.beta.vaults;
const credentials = () => client.beta.vaults.credentials;
const bearer = (mcp_server_url: string, token = "canary-token") => ({ type: "static_bearer" as const, mcp_server_url, token });
const variable = (fields: Partial<VariableParams> = {}): VariableParams => ({
  type: "environment_variable",
  secret_name: "API_KEY",
  secret_value: "canary-value",
  networking: { type: "unrestricted" },
  ...fields,
});
const oauth = (fields: Partial<OAuthParams> = {}): OAuthParams => ({
  type: "mcp_oauth",
  mcp_server_url: "https://oauth.example.com/mcp",
  access_token: "canary-access",
  ...fields,
});
const newVault = async (): Promise<string> => (await vaults().create({ display_name: "v" })).id;

/** The status, type and message of an answer that says no. */
async function refused(
  call: Promise<unknown>,
): Promise<{ status: number | undefined; type: string | undefined; message: string }> {
  const error = await call.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (!(error instanceof APIError)) throw new Error(`not refused: ${String(error)}`);
  const body = error.error as { error: { type: string; message: string } };
  return { status: error.status, type: body.error.type, message: body.error.message };
}

describe("vaults", () => {
  test("create, retrieve, update", async () => {
    const vault = await vaults().create({ display_name: "Team", metadata: { a: "1", b: "2" } });
    expect(vault).toEqual({
      id: expect.stringMatching(/^vlt_01/),
      type: "vault",
      display_name: "Team",
      metadata: { a: "1", b: "2" },
      created_at: expect.stringMatching(/Z$/),
      updated_at: vault.created_at,
      archived_at: null,
    });
    expect(await vaults().retrieve(vault.id)).toEqual(vault);
    const updated = await vaults().update(vault.id, { metadata: { a: null, c: "3" } });
    expect(updated).toMatchObject({ display_name: "Team", metadata: { b: "2", c: "3" } });
    expect(await vaults().update(vault.id, { display_name: null, metadata: null })).toEqual(updated);
    expect((await vaults().update(vault.id, { display_name: "New" })).display_name).toBe("New");
  });

  test("a name has 1 to 255 characters", async () => {
    for (const display_name of ["", "x".repeat(256)])
      expect(await refused(vaults().create({ display_name }))).toMatchObject({ status: 400, type: "invalid_request_error" });
    expect((await refused(vaults().create({} as { display_name: string }))).message).toBe("display_name: Field required");
  });

  test("the list is newest first, hides archived ones, and pages", async () => {
    const made = [await newVault(), await newVault(), await newVault()];
    const first = await vaults().list({ limit: 2 });
    expect(first.data.map(({ id }) => id)).toEqual([made[2], made[1]]);
    expect((await first.getNextPage()).data[0]?.id).toBe(made[0]);
    await vaults().archive(made[2] ?? "");
    expect((await vaults().list({ limit: 1 })).data[0]?.id).toBe(made[1]);
    expect((await vaults().list({ limit: 1, include_archived: true })).data[0]?.id).toBe(made[2]);
    expect((await server.request("GET", `/v1/environments?page=${first.next_page}`)).status).toBe(400);
    expect((await server.request("GET", "/v1/vaults?limit=101")).status).toBe(400);
  });

  test("archive takes the credentials along, purges the secrets, keeps the records, and is final", async () => {
    const id = await newVault();
    const { id: credentialId } = await credentials().create(id, { auth: bearer("https://a.example.com") });
    const archived = await vaults().archive(id);
    expect(archived.archived_at).toMatch(/Z$/);
    expect(await vaults().archive(id)).toEqual(archived);
    expect((await credentials().retrieve(credentialId, { vault_id: id })).archived_at).toBe(archived.archived_at);
    expect((await credentials().list(id)).data).toEqual([]);
    expect((await credentials().list(id, { include_archived: true })).data).toHaveLength(1);
    const { rows } = await server.db.query(
      "select 1 from vault_secrets where vault_id = $1 union all select 1 from vault_data_keys where vault_id = $1",
      [id],
    );
    expect(rows).toEqual([]);
    expect(await refused(vaults().update(id, { display_name: "x" }))).toMatchObject({ status: 400 });
    expect(await refused(credentials().create(id, { auth: bearer("https://b.example.com") }))).toMatchObject({ status: 400 });
    expect(await refused(credentials().update(credentialId, { vault_id: id, display_name: "x" }))).toMatchObject({ status: 400 });
  });

  test("delete is for good", async () => {
    const id = await newVault();
    const { id: credentialId } = await credentials().create(id, { auth: bearer("https://a.example.com") });
    expect(await vaults().delete(id)).toEqual({ id, type: "vault_deleted" });
    for (const call of [
      () => vaults().retrieve(id),
      () => vaults().update(id, {}),
      () => vaults().archive(id),
      () => vaults().delete(id),
      () => credentials().list(id),
      () => credentials().retrieve(credentialId, { vault_id: id }),
    ])
      expect(await refused(call())).toMatchObject({
        status: 404,
        type: "not_found_error",
        message: `Vault \`${id}\` not found.`,
      });
    for (const table of ["vault_credentials", "vault_secrets", "vault_data_keys"])
      expect((await server.db.query(`select 1 from ${table} where vault_id = $1`, [id])).rows).toEqual([]);
  });

  test("another workspace does not see them", async () => {
    const principal = { keyId: "x", workspaceId: server.workspaceId, admin: true };
    const { key } = await server.apiKeys.create(principal, { name: "other", workspace: "other" });
    const other = server.client({ apiKey: key });
    const { id: credentialId } = await credentials().create(await newVault(), { auth: bearer("https://a.example.com") });
    expect(await refused(other.beta.vaults.retrieve(vaultId))).toMatchObject({ status: 404 });
    expect(await refused(other.beta.vaults.delete(vaultId))).toMatchObject({ status: 404 });
    expect(await refused(other.beta.vaults.credentials.list(vaultId))).toMatchObject({ status: 404 });
    expect(await refused(other.beta.vaults.credentials.create(vaultId, { auth: bearer("https://a.b") }))).toMatchObject({
      status: 404,
    });
    expect(await refused(other.beta.vaults.credentials.archive(credentialId, { vault_id: vaultId }))).toMatchObject({
      status: 404,
    });
    expect((await other.beta.vaults.list()).data).toEqual([]);
  });
});

describe("credentials", () => {
  test("each type comes back without its secrets", async () => {
    const id = await newVault();
    const expires_at = new Date(Date.now() + 3_600_000).toISOString();
    const refresh = {
      client_id: "client",
      refresh_token: "canary-refresh",
      token_endpoint: "https://oauth.example.com/token",
      token_endpoint_auth: { type: "client_secret_basic" as const, client_secret: "canary-client" },
      scope: "read",
    };
    const made = [
      await credentials().create(id, { auth: bearer("https://static.example.com/mcp"), display_name: "s", metadata: { k: "v" } }),
      await credentials().create(id, { auth: oauth({ expires_at, refresh }) }),
      await credentials().create(id, { auth: oauth({ mcp_server_url: "https://plain.example.com" }) }),
      await credentials().create(id, {
        auth: variable({ networking: { type: "limited", allowed_hosts: ["api.example.com", "*.x.org", "192.0.2.1"] } }),
      }),
    ];
    expect(made[0]).toEqual({
      id: expect.stringMatching(/^vcrd_01/),
      type: "vault_credential",
      vault_id: id,
      display_name: "s",
      metadata: { k: "v" },
      auth: { type: "static_bearer", mcp_server_url: "https://static.example.com/mcp" },
      created_at: expect.stringMatching(/Z$/),
      updated_at: made[0]?.created_at,
      archived_at: null,
    });
    expect(made[1]?.auth).toEqual({
      type: "mcp_oauth",
      mcp_server_url: "https://oauth.example.com/mcp",
      expires_at,
      refresh: {
        client_id: "client",
        token_endpoint: "https://oauth.example.com/token",
        token_endpoint_auth: { type: "client_secret_basic" },
        resource: null,
        scope: "read",
      },
    });
    expect(made[2]?.auth).toEqual({ type: "mcp_oauth", mcp_server_url: "https://plain.example.com", refresh: null });
    expect(made[3]?.auth).toEqual({
      type: "environment_variable",
      secret_name: "API_KEY",
      networking: { type: "limited", allowed_hosts: ["api.example.com", "*.x.org", "192.0.2.1"] },
      injection_location: { header: true, body: true },
    });
    const list = await credentials().list(id);
    expect(list.data).toEqual([...made].reverse());
    for (const one of made) expect(await credentials().retrieve(one.id, { vault_id: id })).toEqual(one);
    expect(JSON.stringify([made, list.data])).not.toContain("canary");
  });

  test("one server, one active credential: a duplicate is a 409 that no client retries", async () => {
    const id = await newVault();
    const first = await credentials().create(id, { auth: bearer("https://MCP.example.com:443/a/") });
    const duplicate = await server.request("POST", `/v1/vaults/${id}/credentials`, {
      body: { auth: oauth({ mcp_server_url: "https://mcp.example.com/a" }) },
    });
    expect(duplicate.status).toBe(409);
    expect(duplicate.headers.get("x-should-retry")).toBe("false");
    expect(duplicate.body.error).toEqual({
      type: "conflict_error",
      message: "A credential already exists for this MCP server URL.",
    });
    await credentials().create(id, { auth: bearer("https://mcp.example.com/a/b") });
    await credentials().create(id, { auth: variable() });
    expect(await refused(credentials().create(id, { auth: variable({ secret_value: "other" }) }))).toEqual({
      status: 409,
      type: "conflict_error",
      message: "A credential already exists for this secret name.",
    });
    await credentials().archive(first.id, { vault_id: id });
    await credentials().create(id, { auth: oauth({ mcp_server_url: "https://mcp.example.com/a" }) });
  });

  test("at most 20 active ones, also when all are made at once", async () => {
    const id = await newVault();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 25 }, (_, i) => credentials().create(id, { auth: bearer(`https://s${i}.example.com`) })),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(20);
    const over = await refused(credentials().create(id, { auth: bearer("https://more.example.com") }));
    expect(over).toMatchObject({ status: 400, message: expect.stringContaining("20 active credentials") });
    const [one] = (await credentials().list(id)).data;
    await credentials().archive(one?.id ?? "", { vault_id: id });
    await credentials().create(id, { auth: bearer("https://more.example.com") });
  });

  test("of two that claim one server at once, one gets it", async () => {
    const id = await newVault();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, () => credentials().create(id, { auth: bearer("https://same.example.com") })),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const outcome of outcomes) if (outcome.status === "rejected") expect((outcome.reason as APIError).status).toBe(409);
  });

  test("archive purges the secret and is final; delete is for good", async () => {
    const id = await newVault();
    const { id: one } = await credentials().create(id, { auth: bearer("https://a.example.com") });
    const archived = await credentials().archive(one, { vault_id: id });
    expect(await credentials().archive(one, { vault_id: id })).toEqual(archived);
    expect((await server.db.query("select 1 from vault_secrets where credential_id = $1", [one])).rows).toEqual([]);
    expect(await credentials().delete(one, { vault_id: id })).toEqual({ id: one, type: "vault_credential_deleted" });
    expect(await refused(credentials().retrieve(one, { vault_id: id }))).toEqual({
      status: 404,
      type: "not_found_error",
      message: `Credential \`${one}\` not found.`,
    });
    // The vault in the path is the credential's own.
    const { id: other } = await credentials().create(id, { auth: bearer("https://b.example.com") });
    expect(await refused(credentials().retrieve(other, { vault_id: vaultId }))).toMatchObject({ status: 404 });
  });
});

describe("updating a credential", () => {
  test("oauth: what is left out or null is kept, scope is cleared by an empty text", async () => {
    const id = await newVault();
    const expires_at = new Date(Date.now() + 3_600_000).toISOString();
    const made = await credentials().create(id, {
      auth: oauth({
        expires_at,
        refresh: {
          client_id: "c",
          refresh_token: "r",
          token_endpoint: "https://t.example.com",
          token_endpoint_auth: { type: "client_secret_post", client_secret: "s" },
          scope: "a b",
        },
      }),
    });
    const update = (auth: object) =>
      credentials().update(made.id, { vault_id: id, auth: { type: "mcp_oauth", ...auth } as never });
    const changed = await update({ access_token: "new", expires_at: null, refresh: { refresh_token: "r2", scope: "" } });
    expect(changed.auth).toEqual({ ...made.auth, refresh: { ...(made.auth as { refresh: object }).refresh, scope: null } });
    const basic = { token_endpoint_auth: { type: "client_secret_basic", client_secret: "s2" } };
    expect((await update({ refresh: basic })).auth).toMatchObject({
      refresh: { token_endpoint_auth: { type: "client_secret_post" } },
    });
    for (const [auth, message] of [
      [{ mcp_server_url: "https://x.example.com" }, /^auth.mcp_server_url: cannot be changed/],
      [{ refresh: { client_id: "x" } }, /^auth.refresh.client_id: cannot be changed/],
      [{ refresh: { token_endpoint: "https://x.example.com" } }, /^auth.refresh.token_endpoint: cannot be changed/],
      [{ expires_at: "2020-01-01T00:00:00Z" }, /^auth.expires_at: must be in the future/],
      [{ expires_at: "tomorrow" }, /^auth.expires_at: must be an RFC 3339/],
    ] as const)
      expect(await refused(update(auth))).toMatchObject({ status: 400, message: expect.stringMatching(message) });
    const type = await refused(credentials().update(made.id, { vault_id: id, auth: { type: "static_bearer", token: "t" } }));
    expect(type).toMatchObject({ status: 400, message: 'auth.type: cannot change from "mcp_oauth" to "static_bearer"' });
  });

  test("oauth: no refresh can be added, and no client secret to a public client", async () => {
    const id = await newVault();
    const plain = await credentials().create(id, { auth: oauth() });
    const update = (credential: string, refresh: object) =>
      credentials().update(credential, { vault_id: id, auth: { type: "mcp_oauth", refresh } as never });
    expect(await refused(update(plain.id, { refresh_token: "r" }))).toMatchObject({
      status: 400,
      message: expect.stringContaining("auth.refresh"),
    });
    const open = await credentials().create(id, {
      auth: oauth({
        mcp_server_url: "https://open.example.com",
        refresh: {
          client_id: "c",
          refresh_token: "r",
          token_endpoint: "https://t.example.com",
          token_endpoint_auth: { type: "none" },
        },
      }),
    });
    const secret = { token_endpoint_auth: { type: "client_secret_basic", client_secret: "s" } };
    expect(await refused(update(open.id, secret))).toMatchObject({
      status: 400,
      message: expect.stringContaining("token_endpoint_auth"),
    });
  });

  test("environment variables: networking is replaced whole, injection locations are merged", async () => {
    const id = await newVault();
    const made = await credentials().create(id, { auth: variable({ injection_location: { header: true } }) });
    expect(made.auth).toMatchObject({ injection_location: { header: true, body: false } });
    const update = (auth: object) =>
      credentials().update(made.id, { vault_id: id, auth: { type: "environment_variable", ...auth } as never });
    expect((await update({ injection_location: { body: true } })).auth).toMatchObject({
      injection_location: { header: true, body: true },
    });
    expect((await update({ injection_location: { header: false } })).auth).toMatchObject({
      injection_location: { header: false, body: true },
    });
    const last = await refused(update({ injection_location: { body: false } }));
    expect(last).toMatchObject({ status: 400, message: expect.stringContaining("injection_location") });
    const networking = { type: "limited", allowed_hosts: ["a.example.com"] };
    expect((await update({ networking })).auth).toMatchObject({ networking });
    expect((await update({ networking: null, secret_value: "rotated" })).auth).toMatchObject({ networking });
    expect(await refused(update({ secret_name: "OTHER" }))).toMatchObject({ status: 400 });
    // A line break would begin another header.
    expect((await update({ secret_value: "line\nbreak" })).auth).toMatchObject({ type: "environment_variable" });
    expect(await refused(update({ injection_location: { header: true } }))).toMatchObject({
      status: 400,
      message: expect.stringContaining("line breaks"),
    });
  });

  test("names and metadata", async () => {
    const id = await newVault();
    const made = await credentials().create(id, {
      auth: bearer("https://a.example.com"),
      display_name: "before",
      metadata: { a: "1" },
    });
    const changed = await credentials().update(made.id, { vault_id: id, display_name: "after", metadata: { a: null, b: "2" } });
    expect(changed).toEqual({ ...made, display_name: "after", metadata: { b: "2" }, updated_at: expect.any(String) });
    expect(await credentials().update(made.id, { vault_id: id, display_name: null })).toEqual(changed);
    expect(await refused(credentials().update(made.id, { vault_id: id, display_name: "" }))).toMatchObject({ status: 400 });
  });
});

describe("bad input names the field", () => {
  const refresh = {
    client_id: "c",
    refresh_token: "r",
    token_endpoint: "https://t.example.com",
    token_endpoint_auth: { type: "none" },
  };
  const hosts = (host: string) => variable({ networking: { type: "limited", allowed_hosts: [host] } });
  test.each<[string, object, RegExp]>([
    [
      "both locations off",
      variable({ injection_location: { header: false, body: false } }),
      /^auth.injection_location: at least one/,
    ],
    ["an empty location", variable({ injection_location: {} }), /^auth.injection_location: at least one/],
    ["a null location", variable({ injection_location: null as never }), /^auth.injection_location: .*omit the field instead/],
    [
      "a null header",
      variable({ injection_location: { header: null as never } }),
      /^auth.injection_location.header: .*omit the field instead/,
    ],
    ["a scheme", hosts("https://a.com"), /^auth.networking.allowed_hosts\[0\]: .*without a scheme/],
    ["a port", hosts("a.com:443"), /^auth.networking.allowed_hosts\[0\]: .*without a port/],
    ["a path", hosts("a.com/x"), /^auth.networking.allowed_hosts\[0\]: .*without a path/],
    ["IPv6", hosts("2001:db8::1"), /^auth.networking.allowed_hosts\[0\]: .*IPv6/],
    ["IPv6 in brackets", hosts("[::1]"), /^auth.networking.allowed_hosts\[0\]: .*IPv6/],
    [
      "17 hosts",
      variable({ networking: { type: "limited", allowed_hosts: Array.from({ length: 17 }, (_, i) => `h${i}.com`) } }),
      /^auth.networking.allowed_hosts:/,
    ],
    ["no networking", { ...variable(), networking: undefined }, /^auth.networking: /],
    ["a variable name", variable({ secret_name: "1X" }), /^auth.secret_name: /],
    [
      "a variable of the sandbox",
      variable({ secret_name: "https_proxy" }),
      /^auth.secret_name: is a variable that the sandbox sets/,
    ],
    ["an empty secret", variable({ secret_value: "" }), /^auth.secret_value: /],
    ["a line break for a header", variable({ secret_value: "canary\r\nX: y" }), /^auth.secret_value: must not have line breaks/],
    ["no URL", bearer("not a url"), /^auth.mcp_server_url: must be an http or https URL/],
    ["another scheme", bearer("ftp://a.com"), /^auth.mcp_server_url: must be an http or https URL/],
    ["a password in the URL", bearer("https://u:canary@a.com"), /^auth.mcp_server_url: must not contain a user name/],
    ["a fragment", bearer("https://a.com/#x"), /^auth.mcp_server_url: must not have a fragment/],
    ["a long URL", bearer(`https://a.com/${"x".repeat(2_048)}`), /^auth.mcp_server_url: must have at most 2048/],
    ["no server", { type: "static_bearer", token: "canary" }, /^auth.mcp_server_url: Field required$/],
    ["a token with a line break", bearer("https://a.com", "canary\nx"), /^auth.token: must be printable ASCII/],
    ["a past expiry", oauth({ expires_at: "2020-01-01T00:00:00Z" }), /^auth.expires_at: must be in the future/],
    ["a bad token endpoint", oauth({ refresh: { ...refresh, token_endpoint: "x" } as never }), /^auth.refresh.token_endpoint: /],
    [
      "no client secret",
      oauth({ refresh: { ...refresh, token_endpoint_auth: { type: "client_secret_post" } } as never }),
      /^auth.refresh.token_endpoint_auth.client_secret: Field required/,
    ],
    ["an unknown type", { type: "password" }, /^auth/],
  ])("%s", async (_what, auth, message) => {
    const { status, type, message: text } = await refused(credentials().create(vaultId, { auth } as CredentialCreateParams));
    expect({ status, type }).toEqual({ status: 400, type: "invalid_request_error" });
    expect(text).toMatch(message);
    expect(text).not.toContain("canary");
  });
});

test("a vault that cannot be decrypted: a 500 that says nothing, and no secret in the server's log", async () => {
  const id = await newVault();
  await server.db.query(
    "update vault_data_keys set wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1) where vault_id = $1",
    [id],
  );
  const failed = await refused(credentials().create(id, { auth: bearer("https://a.example.com") }));
  expect(failed).toEqual({ status: 500, type: "api_error", message: "Internal server error" });
  const bugs = server.bugs.splice(0);
  expect(bugs).toMatchObject([{ code: "secret_unreadable" }]);
  expect(inspect(bugs, { depth: 10 })).not.toContain("canary");
  // The upkeep, and a rotation, would tell of it.
  await vaults().delete(id);
});

test("only an admin key rotates the master key, and a bad new key is not quoted", async () => {
  const principal = { keyId: "x", workspaceId: server.workspaceId, admin: true };
  const { key } = await server.apiKeys.create(principal, { name: "tenant", workspace: "tenant" });
  const rotate = (options: object) => server.request("POST", "/sandbox0/v1/vaults/rotate_key", options);
  expect((await rotate({ anonymous: true, headers: { "x-api-key": key } })).status).toBe(403);
  const bad = await rotate({ body: { new_key: "canary-not-32-bytes" } });
  expect([bad.status, bad.body.error?.message]).toEqual([400, "new_key: must be 32 bytes in hex or base64"]);
  const done = await rotate({});
  expect([done.status, done.body]).toMatchObject([
    200,
    { type: "master_key_rotation", master_key_id: expect.stringMatching(/^mk_/) },
  ]);
  await credentials().create(vaultId, { auth: bearer("https://after-rotation.example.com") });
});
