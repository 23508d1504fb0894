import { chmod, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { newKey } from "./envelope.ts";
import { type OpenVaults, VaultsUnreadable } from "./open-vaults.ts";
import { createVaultStage, type VaultStage } from "./vaults.fixture.ts";

let stage: VaultStage;
beforeEach(async () => {
  stage = await createVaultStage();
});
afterEach(async () => {
  expect(stage.problems).toEqual([]);
  await stage.close();
});

async function addSecret({ api }: OpenVaults, token = "canary"): Promise<string> {
  const { id } = await api.vaults.create(stage.workspaceId, { display_name: "v" });
  const auth = { type: "static_bearer" as const, mcp_server_url: "https://a.example.com", token };
  return (await api.credentials.create(stage.workspaceId, id, { auth })).id;
}

const currentKey = async (): Promise<string | undefined> =>
  (await stage.db.query<{ id: string }>("select id from master_keys where current")).rows[0]?.id;
const wrappers = async (): Promise<string[]> =>
  (await stage.db.query<{ id: string }>("select distinct master_key_id as id from vault_data_keys")).rows.map(({ id }) => id);

test("the first start makes a key file that only its owner may read", async () => {
  const file = join(stage.dir, "data", "master-keys.json");
  const one = await stage.server();
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const text = await readFile(file, "utf8");
  const id = await addSecret(one);
  const two = await stage.server();
  expect(await two.secrets.secretOf(id)).toBe("canary");
  expect(await readFile(file, "utf8")).toBe(text);
  expect(await readdir(join(stage.dir, "data"))).toEqual(["master-keys.json"]);
});

test("servers that start at once in one directory agree on the key", async () => {
  const servers = await Promise.all(Array.from({ length: 6 }, () => stage.server()));
  const ids = await Promise.all(servers.map((server) => addSecret(server)));
  for (const server of servers) for (const id of ids) expect(await server.secrets.secretOf(id)).toBe("canary");
  expect(await readdir(join(stage.dir, "data"))).toEqual(["master-keys.json"]);
});

test("another key than the database's: no start, a message that says what to do, and no key is made", async () => {
  await addSecret(await stage.server({ configured: newKey() }));
  for (const options of [{ configured: newKey() }, { dataDir: "elsewhere" }]) {
    const failure = await stage.server(options).then(
      () => null,
      (error: Error) => error,
    );
    expect(failure?.message).toMatch(/encrypted under the master key mk_[0-9a-f]{16}, and this server has/);
    expect(failure?.message).toContain(await currentKey());
  }
  await expect(stat(join(stage.dir, "elsewhere", "master-keys.json"))).rejects.toThrow("ENOENT");
});

test("servers without vaults need not agree; the first vault decides, and the other says so", async () => {
  const one = await stage.server({ dataDir: "one" });
  const two = await stage.server({ dataDir: "two" });
  await one.upkeep.keys();
  await two.upkeep.keys();
  const id = await addSecret(one);
  await expect(addSecret(two)).rejects.toThrow(/encrypted under the master key/);
  await expect(two.secrets.secretOf(id)).rejects.toThrow(/encrypted under the master key/);
  expect(await one.secrets.secretOf(id)).toBe("canary");
});

test("a key file that others may read, or that is no key file, is refused without being quoted", async () => {
  await stage.server();
  const file = join(stage.dir, "data", "master-keys.json");
  await chmod(file, 0o644);
  await expect(stage.server()).rejects.toThrow(/may be read by others/);
  await chmod(file, 0o600);
  for (const text of ["canary", '{"canary":1}', "[]", '["canary"]']) {
    await writeFile(file, text);
    const failure = await stage.server().then(
      () => null,
      (error: Error) => error,
    );
    expect(failure?.message).toMatch(/is not a file of master keys$/);
  }
  await rm(file);
});

test("rotation: every vault under a new key, the other servers of the directory follow, a restart too", async () => {
  const [one, two] = [await stage.server(), await stage.server()];
  const ids = [await addSecret(one), await addSecret(two)];
  const before = await currentKey();
  const { masterKeyId, rewrapped, unreadable } = await one.api.rotateKey(undefined);
  expect({ rewrapped, unreadable }).toEqual({ rewrapped: 2, unreadable: [] });
  expect(masterKeyId).not.toBe(before);
  expect([await currentKey(), ...(await wrappers())]).toEqual([masterKeyId, masterKeyId]);
  for (const server of [one, two, await stage.server()])
    for (const id of ids) expect(await server.secrets.secretOf(id)).toBe("canary");
  expect((await one.api.rotateKey(undefined)).rewrapped).toBe(2);
});

test("rotation with configured keys: given to one server, handed over to the other, then needed at the start", async () => {
  const [old, next] = [newKey(), newKey()];
  const [one, two] = [await stage.server({ configured: old }), await stage.server({ configured: old })];
  const id = await addSecret(one);
  await expect(one.api.rotateKey(undefined)).rejects.toMatchObject({ status: 400, message: expect.stringContaining("new_key") });
  await expect(one.api.rotateKey(old)).rejects.toMatchObject({ status: 400 });
  expect((await one.api.rotateKey(next)).rewrapped).toBe(1);
  expect(await two.secrets.secretOf(id)).toBe("canary");
  const another = await addSecret(two);
  expect(await one.secrets.secretOf(another)).toBe("canary");
  expect(await (await stage.server({ configured: next })).secrets.secretOf(id)).toBe("canary");
  // A late server with the old key still finds the new one, until the time is over; then the old one opens nothing.
  expect(await (await stage.server({ configured: old })).secrets.secretOf(id)).toBe("canary");
  await stage.db.query("update master_keys set wrapped_until = now() - interval '1 second' where wrapped_until is not null");
  await expect(stage.server({ configured: old })).rejects.toThrow(/encrypted under the master key/);
  await one.upkeep.keys();
  expect((await stage.db.query("select 1 from master_keys where wrapped is not null")).rows).toEqual([]);
});

test("a handed-over key that somebody changed is not taken", async () => {
  const [old, next] = [newKey(), newKey()];
  const one = await stage.server({ configured: old });
  const late = await stage.server({ configured: old });
  const id = await addSecret(one);
  await one.api.rotateKey(next);
  await stage.db.query(
    "update master_keys set wrapped = set_byte(wrapped, 40, get_byte(wrapped, 40) # 1) where wrapped is not null",
  );
  await expect(late.secrets.secretOf(id)).rejects.toThrow(/cannot be decrypted/);
});

test("rotation that was broken off goes on in the upkeep of any server", async () => {
  const server = await stage.server();
  const ids = await Promise.all(Array.from({ length: 5 }, () => addSecret(server)));
  const { rows } = await stage.db.query<{ vault_id: string; wrapped: Buffer; master_key_id: string }>(
    "select vault_id, wrapped, master_key_id from vault_data_keys order by vault_id",
  );
  const { masterKeyId } = await server.api.rotateKey(undefined);
  for (const row of rows.slice(2))
    await stage.db.query("update vault_data_keys set wrapped = $2, master_key_id = $3 where vault_id = $1", [
      row.vault_id,
      row.wrapped,
      row.master_key_id,
    ]);
  const other = await stage.server();
  await other.upkeep.keys();
  expect(await wrappers()).toEqual([masterKeyId]);
  for (const id of ids) expect(await other.secrets.secretOf(id)).toBe("canary");
});

test("rotation says which vaults nothing opens, and does the others", async () => {
  const server = await stage.server();
  const [bad, good] = [await addSecret(server), await addSecret(server)];
  const { rows } = await stage.db.query<{ vault_id: string }>("select vault_id from vault_credentials where id = $1", [bad]);
  const vaultId = rows[0]?.vault_id ?? "";
  await stage.db.query("update vault_data_keys set wrapped = '\\x00' where vault_id = $1", [vaultId]);
  expect(await server.api.rotateKey(undefined)).toMatchObject({ rewrapped: 1, unreadable: [vaultId] });
  expect(stage.problems.splice(0)).toMatchObject([{ vaultIds: [vaultId] }]);
  expect(await server.secrets.secretOf(good)).toBe("canary");
  await expect(server.secrets.secretOf(bad)).rejects.toThrow();
});

test("the upkeep says once which vaults nothing opens, and does the others", async () => {
  const server = await stage.server();
  const [bad, good] = [await addSecret(server), await addSecret(server)];
  const { rows } = await stage.db.query<{ vault_id: string }>("select vault_id from vault_credentials where id = $1", [bad]);
  const vaultId = rows[0]?.vault_id ?? "";
  // Under a key that is not the current one, as a rotation that was broken off leaves it.
  await stage.db.query("update vault_data_keys set wrapped = '\\x00', master_key_id = 'gone' where vault_id = $1", [vaultId]);
  await server.upkeep.keys();
  await server.upkeep.keys();
  const told = stage.problems.splice(0);
  expect(told.every((problem) => problem instanceof VaultsUnreadable)).toBe(true);
  expect(told).toMatchObject([{ vaultIds: [vaultId], message: expect.stringContaining(vaultId) }]);
  expect(await server.secrets.secretOf(good)).toBe("canary");
});

test("secrets are read, changed and made while keys rotate, and none is lost", async () => {
  const servers = [await stage.server(), await stage.server()];
  const [one, two] = servers as [OpenVaults, OpenVaults];
  const ids = await Promise.all(Array.from({ length: 10 }, () => addSecret(one)));
  let rotating = true;
  let reads = 0;
  const load = servers.map(async (server) => {
    while (rotating) {
      const id = ids[reads % ids.length] ?? "";
      expect(await server.secrets.secretOf(id)).toBe("canary");
      if (reads % 7 === 0) ids.push(await addSecret(server));
      reads += 1;
    }
  });
  for (let round = 0; round < 3; round++) {
    await one.api.rotateKey(undefined);
    await two.api.rotateKey(undefined);
  }
  rotating = false;
  await Promise.all(load);
  await one.upkeep.keys();
  expect(await wrappers()).toEqual([await currentKey()]);
  expect(reads).toBeGreaterThan(0);
  const fresh = await stage.server();
  for (const id of ids) expect(await fresh.secrets.secretOf(id)).toBe("canary");
});

test("rotations at once on several servers end with one current key", async () => {
  const servers = [await stage.server(), await stage.server()];
  const ids = await Promise.all(servers.map((server) => addSecret(server)));
  await Promise.all([...servers, ...servers].map((server) => server.api.rotateKey(undefined)));
  await Promise.all(servers.map((server) => server.upkeep.keys()));
  expect(await wrappers()).toEqual([await currentKey()]);
  for (const server of [...servers, await stage.server()])
    for (const id of ids) expect(await server.secrets.secretOf(id)).toBe("canary");
});
