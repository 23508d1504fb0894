import { hash as digest, randomBytes } from "node:crypto";
import { ApiError, type ApiKeyInfo, createId, notFound } from "@sandbox0/protocol";
import {
  type ApiKeyRecord,
  ensureWorkspace,
  findApiKey,
  hasAdminKey,
  insertApiKey,
  isAdminKey,
  listApiKeys,
  revokeApiKey,
} from "../../store/api-keys.ts";
import type { Database } from "../../store/pool.ts";

/** The workspace of the configured key, and of every key that names no other. */
export const DEFAULT_WORKSPACE = "default";
/**
 * How long an answer about a key is believed: a key revoked on another server works there for as long as this. On the
 * server that revokes it stops at once.
 */
export const KEY_CACHE_MS = 3_000;
const KEY_CACHE_ENTRIES_MAX = 10_000;
const KEYS_LISTED_MAX = 1_000;
const SECRET_BYTES = 32;
const SECRET_PREFIX = "sk-sandbox0-";
const HINT_CHARS = 4;

/** Who makes a request. */
export interface Principal {
  keyId: string;
  workspaceId: string;
  admin: boolean;
}

export interface NewApiKey {
  name: string;
  /** The workspace's name; it is made if there is none. Only an admin key may name another than its own. */
  workspace?: string | undefined;
  admin?: boolean | undefined;
}

/** API keys and the workspaces they belong to. Only the SHA-256 of a key is stored; the key itself is shown once. */
export interface ApiKeys {
  /** `null` when there is no such key or it is revoked. */
  authenticate(secret: string): Promise<Principal | null>;
  create(by: Principal, key: NewApiKey): Promise<ApiKeyInfo & { key: string }>;
  /** Newest first: of all workspaces for an admin key, else of its own. */
  list(by: Principal): Promise<ApiKeyInfo[]>;
  /** Any key for an admin key; else those of its own workspace that are no admin keys. */
  revoke(by: Principal, id: string): Promise<{ id: string; type: "api_key_deleted" }>;
  /**
   * Called once when the server starts. With a configured key: that key is an admin key of the default workspace.
   * Without: the first start makes one.
   * @returns the key that was made, to be shown once
   */
  bootstrap(configuredKey: string | undefined): Promise<{ workspaceId: string; createdKey: string | null }>;
}

/** In base64: at once, for it is made with every request. */
const keyOf = (secret: string): string => digest("sha256", secret, "base64");
const hashOf = (secret: string): Buffer => Buffer.from(keyOf(secret), "base64");
const hintOf = (secret: string): string => secret.slice(-HINT_CHARS);

const infoOf = (record: ApiKeyRecord): ApiKeyInfo => ({
  id: record.id,
  type: "api_key",
  name: record.name,
  workspace_id: record.workspaceId,
  workspace_name: record.workspaceName,
  hint: record.hint,
  admin: record.admin,
  created_at: record.createdAt.toISOString(),
  revoked_at: record.revokedAt?.toISOString() ?? null,
});

export function createApiKeys(deps: { db: Database; now?: () => Date }): ApiKeys {
  const { db } = deps;
  const now = deps.now ?? (() => new Date());
  const cache = createKeyCache(async (key) => {
    const record = await findApiKey(db, Buffer.from(key, "base64"));
    return record && { keyId: record.id, workspaceId: record.workspaceId, admin: record.admin };
  });
  let configured: { key: string; principal: Principal } | undefined;

  const insert = async (
    name: string,
    workspace: { name: string } | { id: string },
    admin: boolean,
  ): Promise<{ id: string; secret: string }> => {
    const secret = SECRET_PREFIX + randomBytes(SECRET_BYTES).toString("base64url");
    const id = createId("apiKey");
    await db.transaction(async (tx) => {
      const workspaceId = "id" in workspace ? workspace.id : await ensureWorkspace(tx, workspace.name, createId("workspace"));
      await insertApiKey(tx, { id, workspaceId, name, hash: hashOf(secret), hint: hintOf(secret), admin, createdAt: now() });
    });
    return { id, secret };
  };

  return {
    async authenticate(secret) {
      const key = keyOf(secret);
      return configured?.key === key ? configured.principal : cache.find(key);
    },
    async create(by, key) {
      if (!by.admin && (key.workspace !== undefined || key.admin === true)) {
        throw new ApiError("permission_error", "Only an admin key may create admin keys, or keys for a workspace by name.");
      }
      const { id, secret } = await insert(
        key.name,
        key.workspace === undefined ? { id: by.workspaceId } : { name: key.workspace },
        key.admin ?? false,
      );
      const record = await findApiKey(db, hashOf(secret));
      if (!record) throw new Error(`API key ${id} vanished right after it was made`);
      return { ...infoOf(record), key: secret };
    },
    list: async (by) => (await listApiKeys(db, by.admin ? null : by.workspaceId, KEYS_LISTED_MAX)).map(infoOf),
    async revoke(by, id) {
      const hash = await revokeApiKey(db, by.admin ? null : by.workspaceId, id, now());
      if (!hash && !by.admin && (await isAdminKey(db, by.workspaceId, id))) {
        throw new ApiError("permission_error", "Only an admin key may revoke admin keys.");
      }
      if (!hash) throw notFound(`API key \`${id}\` not found.`);
      cache.forget(hash.toString("base64"));
      return { id, type: "api_key_deleted" };
    },
    async bootstrap(configuredKey) {
      const made = await bootstrap(db, configuredKey === undefined, now());
      if (configuredKey !== undefined) {
        const principal = { keyId: "configured", workspaceId: made.workspaceId, admin: true };
        configured = { key: keyOf(configuredKey), principal };
      }
      return made;
    },
  };
}

/** The workspace row is locked meanwhile: of two servers that start at once, one makes the key. */
function bootstrap(db: Database, wantsKey: boolean, now: Date): Promise<{ workspaceId: string; createdKey: string | null }> {
  const secret = SECRET_PREFIX + randomBytes(SECRET_BYTES).toString("base64url");
  return db.transaction(async (tx) => {
    const workspaceId = await ensureWorkspace(tx, DEFAULT_WORKSPACE, createId("workspace"));
    if (!wantsKey || (await hasAdminKey(tx, workspaceId))) return { workspaceId, createdKey: null };
    const key = {
      id: createId("apiKey"),
      workspaceId,
      name: "first key",
      hash: hashOf(secret),
      hint: hintOf(secret),
      admin: true,
      createdAt: now,
    };
    await insertApiKey(tx, key);
    return { workspaceId, createdKey: secret };
  });
}

interface KeyCache {
  find(key: string): Promise<Principal | null>;
  forget(key: string): void;
}

/** Remembers answers, refusals too, for `KEY_CACHE_MS`; the oldest make room. Concurrent questions share one look-up. */
function createKeyCache(look: (key: string) => Promise<Principal | null>): KeyCache {
  const entries = new Map<string, { answer: Promise<Principal | null>; until: number }>();
  return {
    find(key) {
      const known = entries.get(key);
      const now = performance.now();
      if (known && known.until > now) return known.answer;
      const answer = look(key);
      entries.delete(key);
      entries.set(key, { answer, until: now + KEY_CACHE_MS });
      for (const oldest of entries.keys()) {
        if (entries.size <= KEY_CACHE_ENTRIES_MAX) break;
        entries.delete(oldest);
      }
      answer.catch(() => entries.delete(key));
      return answer;
    },
    forget: (key) => void entries.delete(key),
  };
}
