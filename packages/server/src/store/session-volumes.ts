import { ADVISORY_LOCKS } from "./advisory-locks.ts";
import type { Queryable } from "./query.ts";

/** Where the files of a session are. */
export interface SessionVolume {
  sessionId: string;
  /** What the next volume is made from; `null`: an empty one. */
  checkpointId: string | null;
  /** The data directory that holds the newest files; `null`: the checkpoint is the newest there is. */
  homeId: string | null;
  volumeId: string | null;
  /** That last used it there. */
  nodeId: number | null;
  /** Turns that have used it. */
  uses: number;
  /** Raised by who begins to refer to the checkpoint (`fenceCheckpoints`). */
  fence: number;
  /** The files may be newer than the checkpoint. */
  dirty: boolean;
  /**
   * `uses` when the checkpoint was made: with the same number, only programs that run on behind the turn can have made the
   * files newer.
   */
  keptUses: number | null;
  /** When the session's first sandbox was made, of those whose files it still has. */
  startedAt: Date | null;
  /** It was made so long ago that its files are not kept any longer. */
  isExpired: boolean;
  /** What the agent must be told of its files. */
  notice: string | null;
}

/** For how long a session's files are kept, from its first sandbox on; turns do not extend it (semantics §3). */
export const VOLUME_RETENTION_DAYS = 30;

const COLUMNS = `session_id as "sessionId", checkpoint_id as "checkpointId", home_id as "homeId", volume_id as "volumeId",
  node_id as "nodeId", uses, fence, dirty, kept_uses as "keptUses", started_at as "startedAt", notice,
  coalesce(started_at < now() - ${VOLUME_RETENTION_DAYS} * interval '1 day', false) as "isExpired"`;

/** `null`: the session has had no files. */
export async function readSessionVolume(db: Queryable, sessionId: string): Promise<SessionVolume | null> {
  const { rows } = await db.query<SessionVolume>(
    `select ${COLUMNS} from session_volumes where session_id = $1`,
    [sessionId],
    "read_session_volume",
  );
  return rows[0] ?? null;
}

/** As `readSessionVolume`; nobody changes it until the transaction ends. */
export async function lockSessionVolume(tx: Queryable, sessionId: string): Promise<SessionVolume | null> {
  const { rows } = await tx.query<SessionVolume>(
    `select ${COLUMNS} from session_volumes where session_id = $1 for update`,
    [sessionId],
    "lock_session_volume",
  );
  return rows[0] ?? null;
}

interface Place {
  homeId: string;
  nodeId: number;
}

/**
 * Sessions without a turn whose newest files are in this data directory and in no checkpoint; of servers that are gone,
 * too.
 */
export async function readUnkeptSessions(
  db: Queryable,
  { homeId, nodeId }: Place,
  { alive, without, limit }: { alive: readonly number[]; without: readonly string[]; limit: number },
): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `select v.session_id as id from session_volumes v join session_heads h on h.session_id = v.session_id
     where v.home_id = $1 and v.dirty and h.lease_owner is null and (v.node_id is null or v.node_id = $2 or v.node_id <> all($3))
       and v.session_id <> all($4)
     limit $5`,
    [homeId, nodeId, alive, without, limit],
    "read_unkept_sessions",
  );
  return rows.map(({ id }) => id);
}

/**
 * A turn uses the files where they are, if this node used them last: from now on they may be newer than the checkpoint.
 * @returns the row as it was, and whether that is so
 */
export async function useSessionVolume(
  db: Queryable,
  sessionId: string,
  { homeId, nodeId }: Place,
): Promise<{ volume: SessionVolume | null; isUsed: boolean }> {
  const { rows } = await db.query<SessionVolume & { isUsed: boolean }>(
    `with used as (
       update session_volumes set dirty = true, uses = uses + 1
       where session_id = $1 and home_id = $2 and node_id = $3
         and exists (select from session_heads where session_id = $1 and lease_owner = $3)
         and started_at >= now() - ${VOLUME_RETENTION_DAYS} * interval '1 day'
       returning session_id)
     select ${COLUMNS}, exists (select from used) as "isUsed" from session_volumes where session_id = $1`,
    [sessionId, homeId, nodeId],
    "use_session_volume",
  );
  const row = rows[0];
  if (row === undefined) return { volume: null, isUsed: false };
  const { isUsed, ...volume } = row;
  return { volume, isUsed };
}

/**
 * The newest files of the session are here now, and a turn uses them; `before` is what the caller has read and acted on.
 * @param change `checkpointId` and `notice` as they shall be
 * @returns false: someone else was faster, or the session's lease is no longer this node's
 */
export async function takeSessionVolume(
  db: Queryable,
  before: SessionVolume | { sessionId: string; uses: null },
  { homeId, nodeId, volumeId }: Place & { volumeId: string },
  change: { checkpointId: string | null; notice: string | null; startsAnew: boolean },
): Promise<boolean> {
  const { rowCount } = await db.query(
    `insert into session_volumes (session_id, checkpoint_id, home_id, volume_id, node_id, uses, dirty, started_at, notice)
     select session_id, $5, $2, $4, $3, 1, true, now(), $6 from session_heads where session_id = $1 and lease_owner = $3
     on conflict (session_id) do update set checkpoint_id = $5, home_id = $2, volume_id = $4, node_id = $3, dirty = true,
       uses = session_volumes.uses + 1, notice = $6,
       started_at = case when $7 then now() else coalesce(session_volumes.started_at, now()) end
     where session_volumes.uses = $8`,
    [before.sessionId, homeId, nodeId, volumeId, change.checkpointId, change.notice, change.startsAnew, before.uses ?? -1],
    "take_session_volume",
  );
  return rowCount === 1;
}

/**
 * The newest checkpoint is this one. @param isQuiet nothing writes to the files before a turn does
 * @returns false: a turn has used the files since they were looked at, or somebody refers to the checkpoint before
 */
export async function setCheckpoint(
  tx: Queryable,
  volume: SessionVolume,
  checkpointId: string,
  isQuiet: boolean,
): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update session_volumes set checkpoint_id = $4, dirty = not $5, kept_uses = uses
     where session_id = $1 and home_id = $2 and uses = $3 and fence = $6`,
    [volume.sessionId, volume.homeId, volume.uses, checkpointId, isQuiet, volume.fence],
    "set_checkpoint",
  );
  return rowCount === 1;
}

/** The checkpoint that there is has all of the files. @param isQuiet as for `setCheckpoint` @returns false: a turn has used them */
export async function setKept(db: Queryable, volume: SessionVolume, isQuiet: boolean): Promise<boolean> {
  const { rowCount } = await db.query(
    "update session_volumes set dirty = not $4, kept_uses = uses where session_id = $1 and home_id = $2 and uses = $3",
    [volume.sessionId, volume.homeId, volume.uses, isQuiet],
    "set_kept",
  );
  return rowCount === 1;
}

/** The checkpoint is all there is from now on: the next turn makes a volume from it, wherever it runs. @returns as `setKept` */
export async function leaveHome(tx: Queryable, volume: SessionVolume): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update session_volumes set home_id = null, volume_id = null, node_id = null
     where session_id = $1 and home_id = $2 and uses = $3 and not dirty`,
    [volume.sessionId, volume.homeId, volume.uses],
    "leave_home",
  );
  return rowCount === 1;
}

/**
 * The session's files are those of the checkpoint (`null`: none) from the next turn on, whatever they were: for a fork or a
 * restore. The volume that it has is removed. No turn may run.
 */
export async function setSessionCheckpoint(tx: Queryable, sessionId: string, checkpointId: string | null): Promise<void> {
  await tx.query(
    `insert into session_volumes (session_id, checkpoint_id) values ($1, $2)
     on conflict (session_id) do update set checkpoint_id = $2, home_id = null, volume_id = null, node_id = null,
       dirty = false, uses = session_volumes.uses + 1`,
    [sessionId, checkpointId],
    "set_session_checkpoint",
  );
}

/** To be told at the next call, behind what waits to be told already. */
export async function addNotice(db: Queryable, sessionId: string, notice: string): Promise<void> {
  await db.query(
    `update session_volumes set notice = case when notice is null or notice = $2 then $2 else notice || ' ' || $2 end
     where session_id = $1`,
    [sessionId, notice],
    "add_volume_notice",
  );
}

/** It has been told. */
export async function clearNotice(db: Queryable, sessionId: string, notice: string): Promise<void> {
  await db.query(
    "update session_volumes set notice = null where session_id = $1 and notice = $2",
    [sessionId, notice],
    "clear_volume_notice",
  );
}

/**
 * Takes the files of sessions whose time is over and that rest: `notice` tells the agent. What was put there for them is no
 * longer said to be there. @returns how many
 */
export async function expireVolumes(db: Queryable, notice: string): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `with expired as (
       update session_volumes v set checkpoint_id = null, home_id = null, volume_id = null, node_id = null, dirty = false,
         started_at = null, uses = uses + 1, notice = $1
       from session_heads h
       where h.session_id = v.session_id and h.lease_owner is null
         and v.started_at < now() - ${VOLUME_RETENTION_DAYS} * interval '1 day'
       returning v.session_id),
     scans as (delete from session_skill_scans where session_id in (select session_id from expired)),
     repositories as (
       delete from session_repositories where resource_id in (
         select id from session_resources where session_id in (select session_id from expired)))
     select count(*) from expired`,
    [notice],
  );
  return rows[0]?.count ?? 0;
}

/**
 * Volumes of sessions that no row knows, because they are older than the rows or a server died right behind the claim: they are
 * their sessions' from now on, unless a turn runs, which is about to say so itself.
 */
export async function adoptVolumes(
  db: Queryable,
  { homeId, nodeId }: Place,
  volumes: readonly { id: string; sessionId: string }[],
  aliveNodeIds: readonly number[],
): Promise<void> {
  await db.query(
    `insert into session_volumes (session_id, home_id, node_id, volume_id, dirty, started_at)
     select h.session_id, $1, $2, v.id, true, now()
     from unnest($3::text[], $4::text[]) as v(id, session_id) join session_heads h on h.session_id = v.session_id
     where h.lease_owner is null or h.lease_owner <> all($5)
     on conflict do nothing`,
    [homeId, nodeId, volumes.map(({ id }) => id), volumes.map(({ sessionId }) => sessionId), aliveNodeIds],
    "adopt_volumes",
  );
}

/**
 * Of these volumes those that no row names, whichever data directory it says, and that no turn is about to name.
 * @param volumes with the sessions that claimed them
 */
export async function readUnnamedVolumes(
  db: Queryable,
  volumes: readonly { id: string; sessionId: string | null }[],
): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `select v.id from unnest($1::text[], $2::text[]) as v(id, session_id)
     where not exists (select from session_volumes where volume_id = v.id) and not exists (select from volume_trash where volume_id = v.id)
       and not exists (select from session_heads h where h.session_id = v.session_id and h.lease_owner is not null)`,
    [volumes.map(({ id }) => id), volumes.map(({ sessionId }) => sessionId)],
    "read_unnamed_volumes",
  );
  return rows.map(({ id }) => id);
}

/** This node has the data directory. */
export async function registerHome(db: Queryable, { homeId, nodeId }: Place): Promise<void> {
  await db.query("insert into volume_homes (node_id, home_id) values ($1, $2) on conflict (node_id) do update set home_id = $2", [
    nodeId,
    homeId,
  ]);
}

/** The living nodes that have the data directory. */
export async function readHomeNodes(db: Queryable, homeId: string): Promise<number[]> {
  const { rows } = await db.query<{ id: number }>(
    `select node_id as id from volume_homes where home_id = $2 and exists (
       select from pg_locks where locktype = 'advisory' and granted and classid = $1::int8::oid and objid::int8 = node_id
         and objsubid = 2 and database = (select oid from pg_database where datname = current_database()))`,
    [ADVISORY_LOCKS.nodeClass, homeId],
    "home_nodes",
  );
  return rows.map(({ id }) => id);
}
