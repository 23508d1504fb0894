import type { Anthropic } from "@anthropic-ai/sdk";
import {
  BetaEnvironmentArchivedError,
  BetaInvalidConfigTypeChangeError,
  BetaInvalidMetadataError,
} from "@anthropic-ai/sdk/resources/beta/environments/environments";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TestServer, startTestServer } from "./http-server.fixture.ts";

let server: TestServer;
let client: Anthropic;

beforeAll(async () => {
  server = await startTestServer();
  client = server.client();
});
afterAll(async () => {
  await server.close();
});

const NO_PACKAGES = { type: "packages", apt: [], cargo: [], gem: [], go: [], npm: [], pip: [] };
const environments = () => client.beta.environments;

test("a name is enough", async () => {
  const environment = await environments().create({ name: "simple-example-environment" });
  expect(environment).toMatchObject({
    type: "environment",
    name: "simple-example-environment",
    description: null,
    config: { type: "cloud", networking: { type: "unrestricted" }, packages: NO_PACKAGES },
    metadata: {},
    scope: "organization",
    archived_at: null,
  });
  expect(environment.id).toMatch(/^env_01/);
  expect(await environments().retrieve(environment.id)).toEqual(environment);
  // The official examples use the same name in every run.
  expect((await environments().create({ name: "simple-example-environment" })).id).not.toBe(environment.id);
});

describe("updating", () => {
  test("what is left out is kept, at every level", async () => {
    const { id } = await environments().create({
      name: "n",
      description: "d",
      config: {
        type: "cloud",
        networking: { type: "limited", allowed_hosts: ["a.com", "*.b.com"], allow_package_managers: true },
        packages: { pip: ["x==1.0"] },
      },
      metadata: { a: "1", b: "2", c: "3" },
    });
    const updated = await environments().update(id, {
      config: {
        type: "cloud",
        networking: { type: "limited", allow_mcp_servers: true },
        packages: { npm: ["left-pad"], pip: null },
      },
      metadata: { a: null, b: "", d: "4" },
    });
    expect(updated).toMatchObject({
      name: "n",
      description: "d",
      config: {
        networking: {
          type: "limited",
          allowed_hosts: ["a.com", "*.b.com"],
          allow_mcp_servers: true,
          allow_package_managers: true,
        },
        packages: { ...NO_PACKAGES, npm: ["left-pad"], pip: ["x==1.0"] },
      },
      metadata: { c: "3", d: "4" },
    });
    expect(updated.metadata).toEqual({ c: "3", d: "4" });
    expect((await environments().update(id, { config: { type: "cloud" } })).config).toEqual(updated.config);
    const open = await environments().update(id, {
      config: { type: "cloud", networking: { type: "unrestricted" } },
      description: null,
    });
    expect(open).toMatchObject({ description: null, config: { networking: { type: "unrestricted" } } });
    expect((await environments().update(id, { description: "" })).description).toBe("");
  });

  test("nothing changed: updated_at stays", async () => {
    const environment = await environments().create({ name: "n" });
    expect(await environments().update(environment.id, { name: "n", config: null })).toEqual(environment);
  });

  test("the type of the config cannot change", async () => {
    const { id } = await environments().create({ name: "n" });
    await expect(environments().update(id, { config: { type: "self_hosted" } })).rejects.toBeInstanceOf(
      BetaInvalidConfigTypeChangeError,
    );
    const own = await environments().create({ name: "n", config: { type: "self_hosted" } });
    expect(own.config).toEqual({ type: "self_hosted" });
    await expect(environments().update(own.id, { config: { type: "cloud" } })).rejects.toBeInstanceOf(
      BetaInvalidConfigTypeChangeError,
    );
  });

  test("bad metadata has its own error, before and after the merge", async () => {
    const { id } = await environments().create({
      name: "n",
      metadata: Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`k${i}`, "v"])),
    });
    await expect(environments().update(id, { metadata: { more: "v" } })).rejects.toBeInstanceOf(BetaInvalidMetadataError);
    await expect(environments().create({ name: "n", metadata: { ["k".repeat(65)]: "v" } })).rejects.toBeInstanceOf(
      BetaInvalidMetadataError,
    );
    await expect(environments().create({ name: "n", metadata: { k: "v".repeat(513) } })).rejects.toBeInstanceOf(
      BetaInvalidMetadataError,
    );
    expect((await environments().update(id, { metadata: { k0: null, more: "v" } })).metadata).toMatchObject({ more: "v" });
  });
});

const limited = (fields: object) => ({ config: { type: "cloud", networking: { type: "limited", ...fields } } });
const REFUSED: [string, object, RegExp][] = [
  ["no name", { name: undefined }, /^name: Field required/],
  [
    "a host with a scheme",
    limited({ allowed_hosts: ["https://a.com"] }),
    /^config\.networking\.allowed_hosts\[0\]: .*without a scheme/,
  ],
  [
    "a host with a port",
    limited({ allowed_hosts: ["a.com", "b.com:1"] }),
    /^config\.networking\.allowed_hosts\[1\]: .*without a port/,
  ],
  ["a host with a path", limited({ allowed_hosts: ["a.com/x"] }), /without a path/],
  ["a wildcard in the middle", limited({ allowed_hosts: ["a.*.com"] }), /allowed_hosts\[0\]/],
  ["a bare wildcard", limited({ allowed_hosts: ["*"] }), /allowed_hosts\[0\]/],
  [
    "packages that limited networking shuts out",
    { config: { type: "cloud", networking: { type: "limited" }, packages: { apt: ["jq"] } } },
    /allow_package_managers: must be true/,
  ],
  [
    "a package that is an option",
    { config: { type: "cloud", packages: { pip: ["--index-url=x"] } } },
    /^config\.packages\.pip\[0\]: /,
  ],
  ["an unknown type", { config: { type: "vm" } }, /^config\.type: /],
  ["the scope of an account", { scope: "account" }, /^scope: only "organization"/],
  ["a NUL in a package", { config: { type: "cloud", packages: { apt: ["a\0"] } } }, /^config\.packages\.apt\[0\]: Text must be/],
];

test.each(REFUSED)("refused: %s", async (_what, change, message) => {
  const { status, body } = await server.request("POST", "/v1/environments", { body: { name: "n", ...change } });
  expect([status, body.error?.type]).toEqual([400, "invalid_request_error"]);
  expect(body.error?.message).toMatch(message);
});

test("an archived environment is read-only", async () => {
  const { id } = await environments().create({ name: "n" });
  const archived = await environments().archive(id);
  expect(archived.archived_at).not.toBeNull();
  expect(await environments().archive(id)).toEqual(archived);
  await expect(environments().update(id, { name: "m" })).rejects.toBeInstanceOf(BetaEnvironmentArchivedError);
  const agent = await client.beta.agents.create({ name: "a", model: "m" });
  await expect(client.beta.sessions.create({ agent: agent.id, environment_id: id })).rejects.toMatchObject({ status: 400 });
});

test("deleting: refused while a session refers to it", async () => {
  const { id } = await environments().create({ name: "n" });
  const agent = await client.beta.agents.create({ name: "a", model: "m" });
  const session = await client.beta.sessions.create({ agent: agent.id, environment_id: id });
  await expect(environments().delete(id)).rejects.toMatchObject({ status: 409, type: "conflict_error" });
  await client.beta.sessions.delete(session.id);
  expect(await environments().delete(id)).toEqual({ id, type: "environment_deleted" });
  await expect(environments().retrieve(id)).rejects.toMatchObject({ status: 404 });
  await expect(environments().delete(id)).rejects.toMatchObject({ status: 404 });
});

test("lists are paged, newest first", async () => {
  const made = [];
  for (let i = 0; i < 3; i++) made.push((await environments().create({ name: `p${i}` })).id);
  const first = await environments().list({ limit: 2 });
  expect(first.data.map((environment) => environment.id)).toEqual([made[2], made[1]]);
  expect((await first.getNextPage()).data[0]?.id).toBe(made[0]);
  await environments().archive(made[2] ?? "");
  expect((await environments().list({ limit: 1 })).data[0]?.id).toBe(made[1]);
  expect((await environments().list({ limit: 1, include_archived: true })).data[0]?.id).toBe(made[2]);
  // A cursor belongs to the list that made it.
  expect((await server.request("GET", `/v1/agents?page=${first.next_page}`)).status).toBe(400);
});
