import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { byMarker } from "@sandbox0/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ScriptedServer, startScriptedServer } from "../scripted-server.fixture.ts";

let server: ScriptedServer;
let dirs = 0;
beforeAll(async () => {
  server = await startScriptedServer(byMarker({}));
});
afterAll(() => server.close());

/** A directory with these files. */
function write(files: Readonly<Record<string, string>>, dir = join(server.dir, `d${dirs++}`)): string {
  mkdirSync(dir, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  return dir;
}
const apply = (kind: string, dir: string, ...options: string[]) => server.run(kind, "apply", "-f", dir, ...options);
const applyWith = (kind: string, dir: string, environment: Record<string, string>, ...options: string[]) =>
  server.start([kind, "apply", "-f", dir, ...options], { environment }).ended;
async function collect<T>(list: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of list) found.push(item);
  return found;
}
const agentsNamed = async (name: string) =>
  (await collect(server.client.beta.agents.list({ include_archived: true }))).filter((agent) => agent.name === name);
const vaultNamed = async (name: string) =>
  (await collect(server.client.beta.vaults.list())).find((vault) => vault.display_name === name);

describe("agents", () => {
  const TWO = `
name: helper
model: claude-haiku-5-5
system: You help.
metadata: {team: blue}
tools:
  - type: agent_toolset_20260401
    configs: [{name: bash, permission_policy: {type: always_ask}}]
---
kind: agent
name: judge
model: {id: claude-haiku-5-5, effort: low}
`;

  test("YAML and JSON, several documents; a second time does nothing; a change updates what is there", async () => {
    const dir = write({
      "a.yaml": TWO,
      "b.json": JSON.stringify([
        { name: "third", model: "claude-haiku-5-5" },
        { kind: "environment", name: "not now" },
      ]),
      "notes.txt": "no document",
    });
    const first = await apply("agents", dir);
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(first.stdout).toContain("3 to create.\n1 documents of other kinds are left alone.\n");
    expect(first.stdout).toMatch(/\ncreated agent helper {2}agent_\w+ \(version 1\)\n/);
    const [helper] = await agentsNamed("helper");
    expect(helper).toMatchObject({ system: "You help.", version: 1, metadata: { team: "blue" } });

    const second = await apply("agents", dir);
    expect(second.stdout).toMatch(/= agent helper {2}agent_\w+ .*a\.yaml:2: document 1\n/);
    expect(second.stdout).toContain("3 unchanged.\n");
    expect((await agentsNamed("helper")).map(({ version }) => version)).toEqual([1]);

    write({ "a.yaml": TWO.replace("You help.", "You help people.").replace("{team: blue}", "{size: small}") }, dir);
    const third = await apply("agents", dir);
    expect(third.stdout).toMatch(/~ agent helper .*\n {4}system: "You help\." → "You help people\."\n/);
    expect(third.stdout).toContain("1 to update, 2 unchanged.\n");
    const [changed] = await agentsNamed("helper");
    expect(changed).toMatchObject({ id: helper?.id, version: 2, system: "You help people." });
    expect(changed?.metadata).toEqual({ size: "small", "sandbox0.apply": expect.any(String) });
  });

  test("what a document stops saying is as in a new one, inside of a tool, too", async () => {
    const dir = write({ "a.yaml": TWO.replaceAll("helper", "shrinks") });
    await apply("agents", dir);
    write({ "a.yaml": "name: shrinks\nmodel: claude-haiku-5-5\ntools: [{type: agent_toolset_20260401}]\n" }, dir);
    expect((await apply("agents", dir)).stdout).toContain("updated agent shrinks");
    const [agent] = await agentsNamed("shrinks");
    expect(agent).toMatchObject({ system: null, version: 2, tools: [{ configs: [] }] });
    expect((await apply("agents", dir)).stdout).toContain("1 unchanged.");
  });

  test("what somebody else changed since is put back, and said", async () => {
    const dir = write({ "a.yaml": "name: drifts\nmodel: claude-haiku-5-5\n" });
    await apply("agents", dir);
    const [agent] = await agentsNamed("drifts");
    await server.client.beta.agents.update(agent?.id ?? "", { description: "by hand", version: 1 });
    const again = await apply("agents", dir);
    expect(again.stdout).toContain('description: "by hand" → nothing');
    expect((await agentsNamed("drifts"))[0]).toMatchObject({ description: null, version: 3 });
    expect((await apply("agents", dir)).stdout).toContain("1 unchanged.");
  });

  test("a dry run shows all and does nothing", async () => {
    const dir = write({ "a.yaml": "name: dry\nmodel: claude-haiku-5-5\n" });
    const { code, stdout } = await apply("agents", dir, "--dry-run");
    expect(code).toBe(0);
    expect(stdout).toMatch(/\+ agent dry .*\n1 to create\.\nA dry run: nothing was changed\.\n$/);
    expect(await agentsNamed("dry")).toEqual([]);
    const [planned] = JSON.parse((await apply("agents", dir, "--dry-run", "--json")).stdout);
    expect(planned).toEqual({
      action: "create",
      name: "agent dry",
      id: null,
      file: join(dir, "a.yaml"),
      document: 1,
      changes: [],
      done: false,
    });
  });

  test("what apply did not make is left alone, or taken over when that is asked for", async () => {
    const made = await server.client.beta.agents.create({ name: "by hand", model: "claude-haiku-5-5", system: "Mine." });
    const dir = write({ "a.yaml": "name: by hand\nmodel: claude-haiku-5-5\nsystem: Ours.\n" });
    const refused = await apply("agents", dir);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      `a.yaml:1: document 1: name: the agent of this name was not made by apply: ${made.id}; --adopt takes it over`,
    );
    expect((await apply("agents", dir, "--adopt")).stdout).toContain('system: "Mine." → "Ours."');
    expect((await apply("agents", dir)).stdout).toContain("1 unchanged.");
  });

  test("--prune asks, or is told --yes; it archives what apply made and nothing else", async () => {
    const dir = write({ "a.yaml": "name: stays\nmodel: claude-haiku-5-5\n---\nname: goes\nmodel: claude-haiku-5-5\n" });
    await apply("agents", dir);
    const [byHand] = [await server.client.beta.agents.create({ name: "not ours", model: "claude-haiku-5-5" })];
    write({ "a.yaml": "name: stays\nmodel: claude-haiku-5-5\n" }, dir);
    expect((await apply("agents", dir)).stdout).not.toContain("goes");
    expect(await apply("agents", dir, "--prune")).toMatchObject({ code: 2, stderr: expect.stringContaining("--yes") });
    expect((await apply("agents", dir, "--prune", "--dry-run")).stdout).toMatch(/- agent goes {2}agent_\w+\n/);
    expect(await agentsNamed("goes")).toMatchObject([{ archived_at: null }]);
    const pruned = await apply("agents", dir, "--prune", "--yes");
    expect(pruned.stdout).toMatch(/removed agent goes {2}agent_\w+ \(archived\)\n/);
    expect(await agentsNamed("goes")).toMatchObject([{ archived_at: expect.any(String) }]);
    expect(await agentsNamed("stays")).toMatchObject([{ archived_at: null }]);
    expect((await server.client.beta.agents.retrieve(byHand.id)).archived_at).toBeNull();
  });
});

describe("errors name file, document and field, and nothing is changed", () => {
  test.each([
    ["name: x\n---\nmodel: claude-haiku-5-5\n", /a\.yaml:3: document 2: name: Field required/],
    [
      "name: x\nmodel: m\ntools:\n  - type: agent_toolset_20260401\n    colour: red\n",
      /a\.yaml:5: document 1: tools\[0\]\.colour: not a field/,
    ],
    ["name: x\nmodel: m\nname: y\n", /a\.yaml:3:1: Map keys must be unique/],
    ["name: [x\n", /a\.yaml:\d+:\d+: /],
    ["- 1\n", /a\.yaml:1: document 1: must be a mapping of fields/],
    ["kind: pod\nname: x\n", /a\.yaml:1: document 1: kind: must be one of agent, environment, vault, file/],
    [
      "name: same\nmodel: m\n---\nname: same\nmodel: m\n",
      /a\.yaml:4: document 2: name: another agent of this name is in .*a\.yaml:1: document 1: name/,
    ],
    [
      "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n",
      /a\.yaml: Excessive alias count/,
    ],
  ])("%j", async (text, problem) => {
    const dir = write({ "a.yaml": text });
    const { code, stdout, stderr } = await apply("agents", dir);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(problem);
    expect(stderr).not.toContain("    at ");
  });

  test("the server's own, too; what came before is done", async () => {
    const tools = "tools: [{type: mcp_toolset, mcp_server_name: nowhere}]";
    const dir = write({
      "a.yaml": `name: before\nmodel: claude-haiku-5-5\n---\nname: refused\nmodel: claude-haiku-5-5\n${tools}\n`,
    });
    const { code, stderr } = await apply("agents", dir);
    expect(code).toBe(1);
    expect(stderr).toMatch(/a\.yaml:\d+: document 2: tools\[0\]\.mcp_server_name: .*nowhere/);
    expect(await agentsNamed("before")).toHaveLength(1);
  });

  test("a file that is not there, and none named", async () => {
    expect(await apply("agents", join(server.dir, "none"))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("cannot be read"),
    });
    expect(await server.run("agents", "apply")).toMatchObject({ code: 2, stderr: expect.stringContaining("Missing --file") });
  });
});

test("environments: everything a document leaves out is as in a new one, and a second time does nothing", async () => {
  const text = `
name: py
config:
  type: cloud
  networking: {type: limited, allowed_hosts: [b.example.com, a.example.com], allow_package_managers: true}
  packages: {pip: [requests]}
`;
  const dir = write({ "e.yaml": text });
  expect((await apply("environments", dir)).stdout).toMatch(/created environment py {2}env_\w+\n/);
  expect((await apply("environments", dir)).stdout).toContain("1 unchanged.");
  write({ "e.yaml": "name: py\nconfig: {type: cloud, networking: {type: limited, allowed_hosts: [c.example.com]}}\n" }, dir);
  const changed = await apply("environments", dir);
  expect(changed.stdout).toContain('config.packages.pip: ["requests"] → nothing');
  expect((await apply("environments", dir)).stdout).toContain("1 unchanged.");
  const stored = (await collect(server.client.beta.environments.list())).filter(({ name }) => name === "py");
  expect(stored).toMatchObject([
    {
      config: {
        networking: { type: "limited", allowed_hosts: ["c.example.com"], allow_package_managers: false },
        packages: { pip: [] },
      },
    },
  ]);
});

describe("vaults", () => {
  const CANARY = "canary-secret-of-the-test";
  const VAULT = `
display_name: ci
credentials:
  - display_name: packages
    auth:
      type: environment_variable
      secret_name: NPM_TOKEN
      secret_value: {from_env: THE_TOKEN}
      networking: {type: limited, allowed_hosts: [registry.example.com]}
  - auth:
      type: static_bearer
      mcp_server_url: https://mcp.example.com
      token: {from_file: token.txt}
`;

  test("secrets come from the environment and from files, and a changed one is seen without being stored", async () => {
    const dir = write({ "v.yaml": VAULT, "token.txt": `${CANARY}-file\n` });
    const environment = { THE_TOKEN: `${CANARY}-1` };
    const first = await applyWith("vaults", dir, environment);
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(first.stdout).toContain("created credential NPM_TOKEN of vault ci");
    const again = await applyWith("vaults", dir, environment);
    expect(again.stdout).toContain("3 unchanged.");
    const changed = await applyWith("vaults", dir, { THE_TOKEN: `${CANARY}-2` });
    expect(changed.stdout).toMatch(/~ credential NPM_TOKEN of vault ci .*\n {4}the secret: another one\n/);
    expect(changed.stdout).toContain("1 to update, 2 unchanged.");
    expect((await applyWith("vaults", dir, { THE_TOKEN: `${CANARY}-2` })).stdout).toContain("3 unchanged.");
    const vault = await vaultNamed("ci");
    const credentials = await collect(server.client.beta.vaults.credentials.list(vault?.id ?? ""));
    expect(credentials).toHaveLength(2);
    for (const shown of [first.stdout, again.stdout, changed.stdout, JSON.stringify(credentials)])
      expect(shown).not.toContain(CANARY);
  });

  test("what changes in place, what has to be replaced, and what goes with --prune", async () => {
    const text = VAULT.replace("display_name: ci", "display_name: changes").replace("token.txt", "t");
    const dir = write({ "v.yaml": text, t: "bearer" });
    const environment = { THE_TOKEN: "x" };
    await applyWith("vaults", dir, environment);
    write({ "v.yaml": text.replace("[registry.example.com]", "[other.example.com]") }, dir);
    const moved = await applyWith("vaults", dir, environment);
    expect(moved.stdout).toContain('networking.allowed_hosts[0]: "registry.example.com" → "other.example.com"');
    const oauth = "type: mcp_oauth\n      mcp_server_url: https://mcp.example.com\n      access_token: {from_file: t}\n";
    write({ "v.yaml": text.replace(/type: static_bearer[\s\S]*/, oauth) }, dir);
    const replaced = await applyWith("vaults", dir, environment);
    expect(replaced.stdout).toMatch(/± credential https:\/\/mcp\.example\.com .*\n {4}auth\.type: static_bearer → mcp_oauth\n/);
    expect((await applyWith("vaults", dir, environment)).stdout).toContain("3 unchanged.");
    write({ "v.yaml": "display_name: changes\n" }, dir);
    const pruned = await applyWith("vaults", dir, {}, "--prune", "--yes");
    expect(pruned.stdout).toContain("removed credential NPM_TOKEN of vault changes");
    const vault = await vaultNamed("changes");
    expect(await collect(server.client.beta.vaults.credentials.list(vault?.id ?? ""))).toEqual([]);
  });

  test("a secret that stands in the file, or is nowhere, is refused, and never repeated", async () => {
    const clear = await apply("vaults", write({ "v.yaml": VAULT.replace("{from_env: THE_TOKEN}", CANARY), "token.txt": "t" }));
    expect(clear.code).toBe(1);
    expect(clear.stderr).toMatch(
      /v\.yaml:8: document 1: credentials\[0\]\.auth\.secret_value: a secret does not stand in a file/,
    );
    expect(clear.stderr).not.toContain(CANARY);
    const missing = await apply("vaults", write({ "v.yaml": VAULT }));
    expect(missing.stderr).toContain("credentials[0].auth.secret_value: the variable THE_TOKEN is not set");
    expect(missing.stderr).toMatch(/credentials\[1\]\.auth\.token: .*token\.txt cannot be read/);
    const other = write({ "v.yaml": VAULT.replace("{from_env: THE_TOKEN}", "{from_vault: x}"), "token.txt": "t" });
    expect((await apply("vaults", other)).stderr).toContain("must be {from_env: NAME} or {from_file: PATH}");
  });
});

describe("which files are read, and where secrets come from", () => {
  const CANARY = "canary-of-another-place";
  const vaultOf = (name: string, auth: string): string =>
    `kind: vault\ndisplay_name: ${name}\ncredentials:\n  - auth: {type: static_bearer, mcp_server_url: "https://${name}.example.com", ${auth}}\n`;

  test("a plan says it, of what is new and of what takes the place of another", async () => {
    const text = vaultOf("sources", "token: {from_file: keys/token}").replace(
      "credentials:\n",
      "credentials:\n  - auth: {type: environment_variable, secret_name: A, secret_value: {from_env: THE_TOKEN}, networking: {type: limited, allowed_hosts: [a.example.com]}}\n",
    );
    const dir = write({ "v.yaml": text, "f.yaml": "kind: file\npath: sources.csv\n", "sources.csv": "a" });
    write({ token: "t" }, join(dir, "keys"));
    const environment = { THE_TOKEN: "x" };
    const made = await applyWith("vaults", dir, environment);
    expect(made.stdout).toMatch(/\+ credential A of vault sources .*\n {4}secret_value: from \$THE_TOKEN\n/);
    expect(made.stdout).toContain(`\n    token: from ${join(dir, "keys", "token")}\n`);
    const replaced = await applyWith(
      "vaults",
      write({ "v.yaml": text.replace("static_bearer", "mcp_oauth").replace("token:", "access_token:") }, dir),
      environment,
    );
    expect(replaced.stdout).toMatch(/ {4}auth\.type: .*\n {4}access_token: from \/.*\/keys\/token\n/);
    const again = await applyWith("vaults", dir, { THE_TOKEN: "y" });
    expect(again.stdout).toContain("    the secret: another one\n    secret_value: from $THE_TOKEN\n");

    expect((await apply("files", dir)).stdout).toContain(`\n    content: from ${join(dir, "sources.csv")}\n`);
    write({ "sources.csv": "b" }, dir);
    expect((await apply("files", dir)).stdout).toMatch(/ {4}content: sha256 .*\n {4}content: from \/.*\/sources\.csv\n/);
    expect((await apply("files", dir, "--json")).stdout).toContain('"changes": []');
  });

  test("a file outside of the document's directory is not read, by whatever way, unless that is allowed", async () => {
    const secrets = write({ key: CANARY, "key.csv": CANARY });
    const dir = write({});
    symlinkSync(join(secrets, "key"), join(dir, "innocent"));
    symlinkSync(secrets, join(dir, "sub"));
    symlinkSync(join(secrets, "key.csv"), join(dir, "innocent.csv"));
    for (const [kind, text] of [
      ...[`../${basename(secrets)}/key`, join(secrets, "key"), "innocent", "sub/key"].map((path) => [
        "vaults",
        vaultOf("outside", `token: {from_file: "${path}"}`),
      ]),
      ...["innocent.csv", "sub/key.csv", join(secrets, "key.csv")].map((path) => ["files", `kind: file\npath: "${path}"\n`]),
    ] as [string, string][]) {
      write({ "d.yaml": text }, dir);
      const { code, stdout, stderr } = await apply(kind, dir, "--dry-run");
      expect([text, code, stdout]).toEqual([text, 1, ""]);
      expect(stderr).toMatch(/d\.yaml:\d: document 1: .*key(?:\.csv)? is outside of .*--allow-outside/);
      expect(stderr).not.toContain(CANARY);
      const allowed = await apply(kind, dir, "--dry-run", "--allow-outside");
      expect([text, allowed.code, allowed.stderr]).toEqual([text, 0, ""]);
      expect(allowed.stdout).toMatch(new RegExp(` from ${secrets}/key(?:\\.csv)?\\n`));
    }
  });

  test("a file inside may be a link to another one inside", async () => {
    const dir = write({ "v.yaml": vaultOf("inside", "token: {from_file: token}") });
    write({ token: "t" }, join(dir, "..data"));
    symlinkSync("..data/token", join(dir, "token"));
    expect((await apply("vaults", dir)).code).toBe(0);
  });

  test("what is no file, or larger than a secret can be, is refused before it is read whole", async () => {
    const text = vaultOf("large", "token: {from_file: large}");
    const dir = write({ "v.yaml": text, large: "x".repeat(200_000) });
    expect((await apply("vaults", dir)).stderr).toMatch(
      /document 1: credentials\[0\]\.auth\.token: .*large is larger than a secret/,
    );
    write({ "v.yaml": text.replace("from_file: large", "from_file: .") }, dir);
    expect((await apply("vaults", dir)).stderr).toMatch(/credentials\[0\]\.auth\.token: .* is no file/);
    write({ "v.yaml": text.replace("from_file: large", "from_file: /dev/zero") }, dir);
    expect((await apply("vaults", dir, "--allow-outside")).stderr).toContain("/dev/zero is no file");
  });
});

test("files: uploaded once, another content is another upload, and --prune deletes those before it", async () => {
  const dir = write({
    "f.yaml": "path: ./data.csv\n---\npath: data.csv\nname: copy.bin\nmime_type: application/x-copy\n",
    "data.csv": "a,b\n1,2\n",
  });
  const first = await apply("files", dir);
  expect(first.stdout).toMatch(/created file data\.csv {2}file_\w+\n/);
  expect((await apply("files", dir)).stdout).toContain("2 unchanged.");
  const uploads = async () => (await collect(server.client.beta.files.list())).filter(({ filename }) => filename === "data.csv");
  expect(await uploads()).toMatchObject([{ mime_type: "text/csv", size_bytes: 8 }]);
  write({ "data.csv": "a,b\n1,3\n" }, dir);
  expect((await apply("files", dir)).stdout).toMatch(/± file data\.csv .*\n {4}content: sha256 \w{12}… → sha256 \w{12}…\n/);
  expect(await uploads()).toHaveLength(2);
  const pruned = await apply("files", dir, "--prune", "--yes");
  expect(pruned.stdout).toContain("2 unchanged, 2 to remove.");
  const [left, ...others] = await uploads();
  expect(others).toEqual([]);
  expect((await apply("files", dir)).stdout).toContain(`= file data.csv  ${left?.id}`);
  const missing = await apply("files", write({ "f.yaml": "path: nowhere.txt\n" }));
  expect(missing).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/f\.yaml:1: document 1: path: .*nowhere\.txt cannot be read: /),
  });
});
