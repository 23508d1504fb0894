import { afterAll, beforeAll, expect, test } from "vitest";
import type { OpenVaults } from "./open-vaults.ts";
import { createVaultStage, type VaultStage } from "./vaults.fixture.ts";

/** Whoever writes the database may make secrets unreadable; never put one where another belongs. */
let stage: VaultStage;
let server: OpenVaults;
beforeAll(async () => {
  stage = await createVaultStage();
  server = await stage.server();
});
afterAll(() => stage.close());

async function add(vaultId: string, url: string, token: string): Promise<string> {
  const auth = { type: "static_bearer" as const, mcp_server_url: url, token };
  return (await server.api.credentials.create(stage.workspaceId, vaultId, { auth })).id;
}
const vault = async (): Promise<string> => (await server.api.vaults.create(stage.workspaceId, { display_name: "v" })).id;
const unreadable = { code: "secret_unreadable", message: expect.not.stringContaining("canary") };

test("a changed byte", async () => {
  const id = await add(await vault(), "https://a.example.com", "canary");
  await stage.db.query(
    "update vault_secrets set ciphertext = set_byte(ciphertext, 30, get_byte(ciphertext, 30) # 255) where credential_id = $1",
    [id],
  );
  await expect(server.secrets.secretOf(id)).rejects.toMatchObject(unreadable);
});

test("ciphertexts swapped between two credentials of a vault, and between vaults", async () => {
  const [one, two] = [await vault(), await vault()];
  const ids = [await add(one, "https://a.example.com", "canary-1"), await add(one, "https://b.example.com", "canary-2")];
  const other = await add(two, "https://a.example.com", "canary-3");
  const swap = async (a: string, b: string): Promise<void> => {
    await stage.db.query(
      `update vault_secrets s set ciphertext = o.ciphertext from vault_secrets o
       where (s.credential_id = $1 and o.credential_id = $2) or (s.credential_id = $2 and o.credential_id = $1)`,
      [a, b],
    );
  };
  await swap(ids[0] ?? "", ids[1] ?? "");
  for (const id of ids) await expect(server.secrets.secretOf(id)).rejects.toMatchObject(unreadable);
  await swap(ids[0] ?? "", ids[1] ?? "");
  expect(await server.secrets.secretOf(ids[0] ?? "")).toBe("canary-1");
  await swap(ids[0] ?? "", other);
  await expect(server.secrets.secretOf(other)).rejects.toMatchObject(unreadable);
  // With its data key along: the vault's id is bound too.
  await stage.db.query(
    "update vault_data_keys d set wrapped = o.wrapped from vault_data_keys o where d.vault_id = $1 and o.vault_id = $2",
    [two, one],
  );
  await expect(server.secrets.secretOf(other)).rejects.toMatchObject(unreadable);
});

test("a secret moved to another field of its credential", async () => {
  const auth = {
    type: "mcp_oauth" as const,
    mcp_server_url: "https://o.example.com",
    access_token: "canary-a",
    refresh: {
      client_id: "c",
      refresh_token: "canary-r",
      token_endpoint: "https://o.example.com/token",
      token_endpoint_auth: { type: "none" as const },
    },
  };
  const vaultId = await vault();
  const { id } = await server.api.credentials.create(stage.workspaceId, vaultId, { auth });
  await stage.db.query(
    `update vault_secrets s set ciphertext = o.ciphertext from vault_secrets o
     where s.credential_id = $1 and o.credential_id = $1 and s.field = 'access_token' and o.field = 'refresh_token'`,
    [id],
  );
  await expect(server.secrets.credentialForMcp(stage.workspaceId, [vaultId], "https://o.example.com")).rejects.toMatchObject(
    unreadable,
  );
});

test("another key version, or another master key's name", async () => {
  const id = await add(await vault(), "https://a.example.com", "canary");
  await stage.db.query("update vault_secrets set key_version = 2 where credential_id = $1", [id]);
  await expect(server.secrets.secretOf(id)).rejects.toMatchObject(unreadable);
  await stage.db.query("update vault_secrets set key_version = 1 where credential_id = $1", [id]);
  expect(await server.secrets.secretOf(id)).toBe("canary");
  await stage.db.query(
    "update vault_data_keys set master_key_id = 'mk_0' where vault_id = (select vault_id from vault_credentials where id = $1)",
    [id],
  );
  await expect(server.secrets.secretOf(id)).rejects.toMatchObject({ code: "master_key_missing" });
});
