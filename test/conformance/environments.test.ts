import type { EnvironmentCreateParams } from "@anthropic-ai/sdk/resources/beta/environments/environments";
import { expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { refused, refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();
const environments = () => server.client.beta.environments;

const NO_PACKAGES = { type: "packages", apt: [], cargo: [], gem: [], go: [], npm: [], pip: [] };
type Config = NonNullable<EnvironmentCreateParams["config"]>;
const limited = (networking: object, packages?: object): Config =>
  ({ type: "cloud", networking: { type: "limited", ...networking }, ...(packages ? { packages } : {}) }) as Config;

verifies(["environments.name-only", "http.id-prefixes"], "a name is enough", async () => {
  const environment = await environments().create({ name: "plain" });
  expect(environment).toEqual({
    id: expect.stringMatching(/^env_01\w+$/),
    type: "environment",
    name: "plain",
    description: null,
    config: { type: "cloud", networking: { type: "unrestricted" }, packages: NO_PACKAGES },
    metadata: {},
    scope: "organization",
    created_at: expect.stringMatching(/Z$/),
    updated_at: environment.created_at,
    archived_at: null,
  });
  expect(await environments().retrieve(environment.id)).toEqual(environment);
});

verifies("environments.limited-defaults", "limited networking shuts everything that is not opened", async () => {
  const { config } = await environments().create({ name: "limited", config: limited({}) });
  expect(config).toEqual({
    type: "cloud",
    networking: { type: "limited", allowed_hosts: [], allow_mcp_servers: false, allow_package_managers: false },
    packages: NO_PACKAGES,
  });
});

verifies("environments.hosts", "hosts are bare names or wildcards", async () => {
  const allowed_hosts = ["example.com", "*.example.org"];
  const { config } = await environments().create({ name: "hosts", config: limited({ allowed_hosts }) });
  expect(config).toMatchObject({ networking: { allowed_hosts } });
  for (const bad of ["https://example.com", "example.com:443", "example.com/path", "*", "a.*.com", "", "ex ample.com"]) {
    await refusedAsInvalid(environments().create({ name: "x", config: limited({ allowed_hosts: [bad] }) }), /allowed_hosts\[0\]/);
  }
});

verifies("environments.packages-limited", "packages need package managers", async () => {
  const packages = { pip: ["requests==2.32.0"] };
  await refusedAsInvalid(environments().create({ name: "x", config: limited({}, packages) }), /allow_package_managers/);
  const { config } = await environments().create({ name: "x", config: limited({ allow_package_managers: true }, packages) });
  expect(config).toMatchObject({ packages: { ...NO_PACKAGES, ...packages } });
});

verifies("environments.same-name", "names may repeat", async () => {
  const [one, two] = [await environments().create({ name: "twice" }), await environments().create({ name: "twice" })];
  expect(one.id).not.toBe(two.id);
});

verifies(["environments.update-keeps", "environments.metadata-empty", "metadata.patch"], "update", async () => {
  const environment = await environments().create({
    name: "before",
    description: "d",
    config: limited({ allowed_hosts: ["a.com"], allow_package_managers: true }, { npm: ["left-pad"] }),
    metadata: { keep: "1", empty: "2", gone: "3" },
  });
  const renamed = await environments().update(environment.id, { name: "after", metadata: { empty: "", gone: null } });
  expect(renamed).toEqual({ ...environment, name: "after", metadata: { keep: "1" }, updated_at: expect.any(String) });
  const opened = await environments().update(environment.id, { config: limited({ allow_mcp_servers: true }, { pip: ["x"] }) });
  expect(opened.config).toEqual({
    type: "cloud",
    networking: { type: "limited", allowed_hosts: ["a.com"], allow_mcp_servers: true, allow_package_managers: true },
    packages: { ...NO_PACKAGES, npm: ["left-pad"], pip: ["x"] },
  });
  expect((await environments().update(environment.id, { config: { type: "cloud", networking: null } })).config).toEqual(
    opened.config,
  );
  expect((await environments().update(environment.id, { name: null, description: "" })).description).toBe("");
  expect(await environments().update(environment.id, { description: null })).toMatchObject({ name: "after", description: null });
  expect(await refused(environments().update(environment.id, { metadata: { ["k".repeat(65)]: "v" } }))).toMatchObject({
    status: 400,
    code: "invalid_metadata",
  });
});

verifies(["environments.type-immutable", "environments.scope"], "what cannot be", async () => {
  const cloud = await environments().create({ name: "cloud" });
  expect(await refused(environments().update(cloud.id, { config: { type: "self_hosted" } }))).toMatchObject({
    status: 400,
    type: "invalid_request_error",
    code: "invalid_config_type_change",
  });
  await refusedAsInvalid(environments().create({ name: "x", scope: "account" }), /scope/);
  expect((await environments().create({ name: "own", config: { type: "self_hosted" } })).config).toEqual({ type: "self_hosted" });
});

verifies(["environments.archive", "environments.archived-unlisted", "sessions.archived-parts"], "archive", async () => {
  const environment = await environments().create({ name: "old" });
  const archived = await environments().archive(environment.id);
  expect(archived).toEqual({ ...environment, archived_at: expect.any(String), updated_at: expect.any(String) });
  expect(await environments().archive(environment.id)).toEqual(archived);
  expect(await refused(environments().update(environment.id, { name: "x" }))).toMatchObject({
    status: 400,
    code: "environment_archived",
  });
  await refusedAsInvalid(server.createSession({ environment_id: environment.id }), /archived/);
  const ids = async (include_archived: boolean) => {
    const all: string[] = [];
    for await (const { id } of environments().list({ include_archived })) all.push(id);
    return all;
  };
  expect(await ids(false)).not.toContain(environment.id);
  expect(await ids(true)).toContain(environment.id);
});

verifies(
  ["environments.delete", "environments.delete-used", "environments.unknown-id", "http.delete-body"],
  "delete",
  async () => {
    const environment = await environments().create({ name: "gone" });
    const session = await server.createSession({ environment_id: environment.id });
    const { status, headers } = await refused(environments().delete(environment.id));
    expect({ status, retry: headers.get("x-should-retry") }).toEqual({ status: 409, retry: "false" });
    await server.client.beta.sessions.delete(session.id);
    expect(await environments().delete(environment.id)).toEqual({ id: environment.id, type: "environment_deleted" });
    await refusedAsUnknown(environments().retrieve(environment.id));
    await refusedAsUnknown(environments().update(environment.id, {}));
    await refusedAsUnknown(environments().archive(environment.id));
    await refusedAsUnknown(environments().delete(environment.id));
    await refusedAsUnknown(server.createSession({ environment_id: environment.id }));
  },
);
