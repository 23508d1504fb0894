import pg from "pg";
import { ADVISORY_LOCKS } from "./advisory-locks.ts";

const CONNECT_TIMEOUT_MS = 5_000;

/** A server's stake in an embedded cluster: one connection that holds a shared lock, so it ends with the process. */
export interface Tenancy {
  /** Resolves when the connection is lost: the cluster went down, or is about to. */
  readonly lost: Promise<void>;
  /**
   * Gives the stake up. True: nobody else has one and nobody is connected, and no one can join until `close`, so the
   * caller may stop the cluster. False: others still use it.
   */
  leave(): Promise<boolean>;
  /** Closes the connection. Never fails. */
  close(): Promise<void>;
}

/** `stopping`: another server holds the cluster exclusively to stop it. `unreachable`: not up, or not yet. */
export type JoinOutcome = { state: "joined"; tenancy: Tenancy } | { state: "stopping" } | { state: "unreachable"; cause: Error };

/** One try at joining the cluster behind `connectionString`. Never throws. */
export async function joinCluster(connectionString: string): Promise<JoinOutcome> {
  const client = new pg.Client({
    connectionString,
    application_name: "sandbox0 tenancy",
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  const lost = new Promise<void>((resolve) => client.once("end", resolve));
  // An error of this connection always ends it, and `lost` says so.
  client.on("error", () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ joined: boolean }>("select pg_try_advisory_lock_shared($1) as joined", [
      ADVISORY_LOCKS.tenancy,
    ]);
    if (rows[0]?.joined) return { state: "joined", tenancy: tenancyOn(client, lost) };
    await close(client);
    return { state: "stopping" };
  } catch (error) {
    await close(client);
    return { state: "unreachable", cause: error instanceof Error ? error : new Error(String(error)) };
  }
}

function tenancyOn(client: pg.Client, lost: Promise<void>): Tenancy {
  return {
    lost,
    async leave() {
      await client.query("select pg_advisory_unlock_shared($1)", [ADVISORY_LOCKS.tenancy]);
      const { rows } = await client.query<{ alone: boolean }>("select pg_try_advisory_lock($1) as alone", [
        ADVISORY_LOCKS.tenancy,
      ]);
      return rows[0]?.alone === true && (await noOtherClient(client));
    },
    close: () => close(client),
  };
}

/** Backends of connections that were closed a moment ago need a moment to go. */
const LINGER_MS = 10_000;

/** Waits shortly for other connections to end: a console, or a server that came by `DATABASE_URL`, keeps the cluster up. */
async function noOtherClient(client: pg.Client): Promise<boolean> {
  const deadline = Date.now() + LINGER_MS;
  for (;;) {
    // A look made after the deadline is the last: this process may have stood still between the two.
    const isLast = Date.now() > deadline;
    const { rows } = await client.query<{ others: boolean }>(
      "select exists (select from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()) as others, pg_sleep(0.01)",
    );
    if (rows[0]?.others === false) return true;
    if (isLast) return false;
  }
}

async function close(client: pg.Client): Promise<void> {
  try {
    await client.end();
  } catch (error) {
    // The connection was never made, or is gone: that is what was wanted.
    if (!(error instanceof Error)) throw error;
  }
}
