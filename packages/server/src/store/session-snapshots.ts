import type { StopReason } from "@sandbox0/protocol";
import type { LogPoint } from "./log-points.ts";
import type { Queryable } from "./query.ts";

/** An input as it was admitted. */
export interface SnapshotInput {
  id: string;
  type: string;
  fields: Record<string, unknown>;
}

export interface SnapshotRecord {
  id: string;
  sessionId: string;
  name: string | null;
  point: LogPoint;
  eventId: string | null;
  stopReason: StopReason | null;
  /** Of its files; `null`: there were none. */
  checkpointId: string | null;
  createdAt: Date;
}

interface Row {
  id: string;
  session_id: string;
  name: string | null;
  seq: number;
  rewound: string;
  event_id: string | null;
  stop_reason: StopReason | null;
  checkpoint_id: string | null;
  created_at: Date;
}

const COLUMNS = "id, session_id, name, seq, rewound::text as rewound, event_id, stop_reason, checkpoint_id, created_at";

function toRecord(row: Row): SnapshotRecord {
  return {
    id: row.id,
    sessionId: row.session_id,
    name: row.name,
    point: { seq: row.seq, rewound: row.rewound },
    eventId: row.event_id,
    stopReason: row.stop_reason,
    checkpointId: row.checkpoint_id,
    createdAt: row.created_at,
  };
}

export async function insertSnapshot(tx: Queryable, snapshot: SnapshotRecord, inputs: readonly SnapshotInput[]): Promise<void> {
  const { id, sessionId, name, point, eventId, stopReason, checkpointId, createdAt } = snapshot;
  await tx.query(
    `insert into session_snapshots (id, session_id, name, seq, rewound, event_id, stop_reason, inputs, checkpoint_id, created_at)
     values ($1, $2, $3, $4, $5::int8multirange, $6, $7::jsonb, $8::json, $9, $10)`,
    [
      id,
      sessionId,
      name,
      point.seq,
      point.rewound,
      eventId,
      stopReason === null ? null : JSON.stringify(stopReason),
      JSON.stringify(inputs),
      checkpointId,
      createdAt,
    ],
    "insert_snapshot",
  );
}

export async function countSnapshots(db: Queryable, sessionId: string): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    "select count(*) as count from session_snapshots where session_id = $1",
    [sessionId],
    "count_snapshots",
  );
  return rows[0]?.count ?? 0;
}

/** @param options.keep the snapshot cannot be deleted until the transaction ends */
export async function readSnapshot(
  db: Queryable,
  sessionId: string,
  id: string,
  { keep = false }: { keep?: boolean } = {},
): Promise<SnapshotRecord | null> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from session_snapshots where session_id = $1 and id = $2${keep ? " for key share" : ""}`,
    [sessionId, id],
    keep ? "keep_snapshot" : "read_snapshot",
  );
  return rows[0] ? toRecord(rows[0]) : null;
}

export async function readSnapshotInputs(db: Queryable, id: string): Promise<SnapshotInput[]> {
  const { rows } = await db.query<{ inputs: SnapshotInput[] }>(
    "select inputs from session_snapshots where id = $1",
    [id],
    "read_snapshot_inputs",
  );
  return rows[0]?.inputs ?? [];
}

/** The newest snapshot of this very point, if there is one; it cannot be deleted until the transaction ends. */
export async function readSnapshotAt(db: Queryable, sessionId: string, eventId: string): Promise<SnapshotRecord | null> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from session_snapshots where session_id = $1 and event_id = $2
     order by created_at desc, id desc limit 1 for key share`,
    [sessionId, eventId],
    "read_snapshot_at",
  );
  return rows[0] ? toRecord(rows[0]) : null;
}

/** Newest first. */
export async function listSnapshots(
  db: Queryable,
  sessionId: string,
  { after, limit }: { after?: { createdAt: Date; id: string } | undefined; limit: number },
): Promise<SnapshotRecord[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from session_snapshots
     where session_id = $1 and ($2::timestamptz is null or (created_at, id) < ($2, $3))
     order by created_at desc, id desc limit $4`,
    [sessionId, after?.createdAt ?? null, after?.id ?? null, limit],
    "list_snapshots",
  );
  return rows.map(toRecord);
}

export async function deleteSnapshot(db: Queryable, sessionId: string, id: string): Promise<boolean> {
  const { rowCount } = await db.query(
    "delete from session_snapshots where session_id = $1 and id = $2",
    [sessionId, id],
    "delete_snapshot",
  );
  return rowCount === 1;
}
