import type { SessionResource } from "@sandbox0/protocol";
import type { Queryable } from "./query.ts";

type Shown<T> = T extends unknown ? Omit<T, "id" | "created_at" | "updated_at"> : never;
/** A resource as the API shows it, without id and times. Each has its `mount_path`. */
export type ResourceConfig = Shown<SessionResource> & { mount_path: string };
export type ResourceType = ResourceConfig["type"];
export type ResourceConfigOf<T extends ResourceType> = Extract<ResourceConfig, { type: T }>;

export interface ResourceRecord<T extends ResourceType = ResourceType> {
  id: string;
  config: ResourceConfigOf<T>;
  createdAt: Date;
  updatedAt: Date;
}

interface Row<T extends ResourceType = ResourceType> {
  id: string;
  config: ResourceConfigOf<T>;
  created_at: Date;
  updated_at: Date;
}

const COLUMNS = "id, config, created_at, updated_at";

const toRecord = <T extends ResourceType>(row: Row<T>): ResourceRecord<T> => ({
  id: row.id,
  config: row.config,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

/** Behind those that the session has. The files of file resources are there already. */
export async function insertSessionResources(
  tx: Queryable,
  sessionId: string,
  records: readonly ResourceRecord[],
): Promise<void> {
  await tx.query(
    `insert into session_resources (id, session_id, type, config, mount_path, file_id, created_at, updated_at)
     select r.id, $1, r.config->>'type', r.config, r.config->>'mount_path', r.config->>'file_id', r.created_at, r.created_at
     from unnest($2::text[], $3::jsonb[], $4::timestamptz[]) with ordinality as r (id, config, created_at, place)
     order by r.place`,
    [
      sessionId,
      records.map(({ id }) => id),
      records.map(({ config }) => JSON.stringify(config)),
      records.map(({ createdAt }) => createdAt),
    ],
    "insert_session_resources",
  );
}

/** In the order in which the session was given them. */
export async function listSessionResources(db: Queryable, sessionId: string): Promise<ResourceRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from session_resources where session_id = $1 order by position`,
    [sessionId],
    "list_session_resources",
  );
  return rows.map(toRecord);
}

/** Those of one type, in the order in which the session was given them. */
export async function listResourcesOfType<T extends ResourceType>(
  db: Queryable,
  sessionId: string,
  type: T,
): Promise<ResourceRecord<T>[]> {
  const { rows } = await db.query<Row<T>>(
    `select ${COLUMNS} from session_resources where session_id = $1 and type = $2 order by position`,
    [sessionId, type],
    "list_session_resources_of_type",
  );
  return rows.map(toRecord);
}

export async function readSessionResource(db: Queryable, sessionId: string, id: string): Promise<ResourceRecord | null> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from session_resources where id = $1 and session_id = $2`,
    [id, sessionId],
    "read_session_resource",
  );
  return rows[0] ? toRecord(rows[0]) : null;
}

export async function touchSessionResource(tx: Queryable, id: string, at: Date): Promise<void> {
  await tx.query("update session_resources set updated_at = $2 where id = $1", [id, at], "touch_session_resource");
}

/** With its own copy, if it is a file. */
export async function deleteSessionResource(tx: Queryable, id: string): Promise<void> {
  // The resource of a file goes with it, by the foreign key.
  await tx.query("delete from files where id = (select file_id from session_resources where id = $1)", [id]);
  await tx.query("delete from session_resources where id = $1", [id]);
}

/** Differs when resources were added or removed; cheap. */
export async function readResourcesMark(db: Queryable, sessionId: string): Promise<string> {
  const { rows } = await db.query<{ count: number; last: number | null }>(
    "select count(*) as count, max(position) as last from session_resources where session_id = $1",
    [sessionId],
    "read_resources_mark",
  );
  return `${rows[0]?.count ?? 0} ${rows[0]?.last ?? 0}`;
}

/** Of all files that are mounted in the session. */
export async function readMountedBytes(db: Queryable, sessionId: string): Promise<number> {
  const { rows } = await db.query<{ bytes: number }>(
    `select coalesce(sum(f.size_bytes), 0)::bigint as bytes
     from session_resources r join files f on f.id = r.file_id where r.session_id = $1`,
    [sessionId],
    "read_mounted_bytes",
  );
  return rows[0]?.bytes ?? 0;
}

/** A mounted file with its content. */
export interface MountedFile {
  mountPath: string;
  sha256: string;
  sizeBytes: number;
  /** When it was given to the session. */
  createdAt: Date;
}

export async function listMountedFiles(db: Queryable, sessionId: string): Promise<MountedFile[]> {
  const { rows } = await db.query<{ mount_path: string; sha256: string; size_bytes: number; created_at: Date }>(
    `select r.mount_path, f.sha256, f.size_bytes, r.created_at
     from session_resources r join files f on f.id = r.file_id
     where r.session_id = $1 and f.sha256 is not null order by r.position`,
    [sessionId],
    "list_mounted_files",
  );
  return rows.map((row) => ({
    mountPath: row.mount_path,
    sha256: row.sha256,
    sizeBytes: row.size_bytes,
    createdAt: row.created_at,
  }));
}
