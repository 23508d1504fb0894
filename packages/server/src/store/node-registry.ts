import type pg from "pg";
import { ADVISORY_LOCKS } from "./advisory-locks.ts";
import { DatabaseUnavailable } from "./database-error.ts";
import { type KeptConnection, keepConnection } from "./kept-connection.ts";
import { queryOn } from "./query.ts";

/** Rows of dead nodes stay for a while, for whoever looks into an incident. */
const DEAD_NODE_DAYS = 7;
/** A server that cannot register in this time does not start. */
const REGISTER_TIMEOUT_MS = 30_000;

export interface NodeRegistryOptions {
  connectionString: string;
  /** For people: host name and process id. */
  name: string;
  roles: readonly string[];
  /** The lock is lost until it is taken again: other nodes may take this one's sessions, and fencing refuses its writes. */
  onLost?: () => void;
  onError: (error: unknown) => void;
}

/** This server among the servers on one database. */
export interface NodeRegistry {
  /** The same for the life of the process, across lost connections. */
  id(): number;
  /** Whether others see this node alive now. */
  held(): boolean;
  /** Ids of all nodes that live, this one included while it is `held`. @throws DatabaseUnavailable while it is not */
  aliveNodes(): Promise<number[]>;
  /** Ends it for the others at once. */
  close(): Promise<void>;
}

/**
 * Inserts a node row and holds an advisory lock with its id for as long as the process lives: Postgres frees it when the
 * connection ends, so a killed node is seen dead at once, without a heartbeat that others must wait out.
 * @throws DatabaseUnavailable when it could not be done in 30 s; the reasons went to `onError`
 */
export async function registerNode(options: NodeRegistryOptions): Promise<NodeRegistry> {
  let id: number | undefined;
  const connection = keepConnection({
    connectionString: options.connectionString,
    applicationName: "sandbox0 node",
    async setUp(client) {
      if (id === undefined) id = await insertNode(client, options);
      else await takeLock(client, id);
    },
    heartbeat: async (client) => {
      await client.query("select 1");
    },
    onError: options.onError,
    ...(options.onLost && { onLost: options.onLost }),
  });
  await withinTime(connection);
  return {
    id: () => id as number,
    held: () => connection.client() !== undefined,
    async aliveNodes() {
      const client = connection.client();
      if (client === undefined) throw new DatabaseUnavailable("connection", false);
      return readAlive(client);
    },
    close: () => connection.close(),
  };
}

async function withinTime(connection: KeptConnection): Promise<void> {
  const timer = setTimeout(() => void connection.close(), REGISTER_TIMEOUT_MS);
  try {
    await connection.ready;
  } finally {
    clearTimeout(timer);
  }
}

/** The row is seen by others when the statement commits, and then the lock is held already. */
async function insertNode(client: pg.Client, { name, roles }: NodeRegistryOptions): Promise<number> {
  const { rows } = await queryOn<{ id: number }>(
    client,
    true,
    `with node as (insert into nodes (name, roles) values ($1, $2) returning id)
     select id, pg_advisory_lock($3, id::int4) from node`,
    [name, roles.join(","), ADVISORY_LOCKS.nodeClass],
  );
  const id = rows[0]?.id as number;
  const alive = await readAlive(client);
  await queryOn(client, true, "delete from nodes where started_at < now() - $1 * interval '1 day' and not (id = any($2))", [
    DEAD_NODE_DAYS,
    alive,
  ]);
  return id;
}

/** Refused while Postgres has not noticed that the connection before is gone; the next try follows. */
async function takeLock(client: pg.Client, id: number): Promise<void> {
  const { rows } = await queryOn<{ taken: boolean }>(client, true, "select pg_try_advisory_lock($1, $2) as taken", [
    ADVISORY_LOCKS.nodeClass,
    id,
  ]);
  if (!rows[0]?.taken)
    throw new DatabaseUnavailable("conflict", false, new Error(`the lock of node ${id} is still held by its old connection`));
}

async function readAlive(client: pg.Client): Promise<number[]> {
  const { rows } = await queryOn<{ id: number }>(
    client,
    true,
    `select objid::int8 as id from pg_locks
     where locktype = 'advisory' and granted and classid = $1::int8::oid and objsubid = 2
       and database = (select oid from pg_database where datname = current_database())`,
    [ADVISORY_LOCKS.nodeClass],
    "alive_nodes",
  );
  return rows.map((row) => row.id);
}
