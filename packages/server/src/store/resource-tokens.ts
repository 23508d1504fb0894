import type { Queryable } from "./query.ts";

/** The token of a session's resource as it is stored: under a data key, and that under a master key. */
export interface SealedToken {
  resourceId: string;
  masterKeyId: string;
  wrapped: Buffer;
  ciphertext: Buffer;
}

interface Row {
  resource_id: string;
  master_key_id: string;
  wrapped: Buffer;
  ciphertext: Buffer;
}

const COLUMNS = "resource_id, master_key_id, wrapped, ciphertext";

const toToken = (row: Row): SealedToken => ({
  resourceId: row.resource_id,
  masterKeyId: row.master_key_id,
  wrapped: row.wrapped,
  ciphertext: row.ciphertext,
});

/** In place of the one before. The resource is there already. */
export async function writeResourceToken(tx: Queryable, token: SealedToken): Promise<void> {
  await tx.query(
    `insert into session_resource_tokens (${COLUMNS}) values ($1, $2, $3, $4)
     on conflict (resource_id) do update
       set master_key_id = excluded.master_key_id, wrapped = excluded.wrapped, ciphertext = excluded.ciphertext`,
    [token.resourceId, token.masterKeyId, token.wrapped, token.ciphertext],
    "write_resource_token",
  );
}

/** `null`: the resource is gone, or was given none. */
export async function readResourceToken(db: Queryable, resourceId: string): Promise<SealedToken | null> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from session_resource_tokens where resource_id = $1`,
    [resourceId],
    "read_resource_token",
  );
  return rows[0] ? toToken(rows[0]) : null;
}

/** Those of a session of the workspace. */
export async function listSessionTokens(db: Queryable, workspaceId: string, sessionId: string): Promise<SealedToken[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from session_resource_tokens where resource_id in (
       select r.id from session_resources r join sessions s on s.id = r.session_id where s.id = $2 and s.workspace_id = $1)`,
    [workspaceId, sessionId],
    "list_session_tokens",
  );
  return rows.map(toToken);
}

/** Tokens whose data key another master key than this one wraps, of resources after `after`. */
export async function listTokensNotUnder(
  db: Queryable,
  masterKeyId: string,
  page: { after: string; limit: number },
): Promise<SealedToken[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from session_resource_tokens
     where master_key_id <> $1 and resource_id > $2 order by resource_id limit $3`,
    [masterKeyId, page.after, page.limit],
    "list_tokens_not_under",
  );
  return rows.map(toToken);
}

/** Puts its data key under another master key, unless somebody has changed the token meanwhile. */
export async function rewrapToken(db: Queryable, before: SealedToken, after: SealedToken): Promise<boolean> {
  const { rowCount } = await db.query(
    "update session_resource_tokens set master_key_id = $3, wrapped = $4 where resource_id = $1 and wrapped = $2",
    [before.resourceId, before.wrapped, after.masterKeyId, after.wrapped],
  );
  return rowCount > 0;
}
