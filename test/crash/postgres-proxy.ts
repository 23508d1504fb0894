import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { createConnection, createServer, type NetConnectOpts, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { createFramer, messageType, type Statement, StatementReader } from "./postgres-wire.ts";

/** A statement on its way, and what it has to do with a session. */
export interface Passage extends Statement {
  /** The same before and after. */
  id: string;
  /** `before` it is handed to Postgres; `after` Postgres has answered it and before the client hears of it. */
  when: "before" | "after";
  /** Between `begin` and `commit`, those included. */
  transaction: TransactionSoFar | null;
  /** The session that one of its values names; of a `commit`, the first that its transaction touched. */
  sessionId: string | null;
}

interface TransactionSoFar {
  /** Those that its statements have named, in order: a group commit has several. */
  sessionIds: Set<string>;
  /** It has changed more than a lease. */
  wrote: boolean;
  /** Of a group commit (store/group-commit). */
  isGroup: boolean;
}

/** Sees every statement twice. `hold`: on this connection nothing passes any more, in either direction, until `resume`. */
export type Watcher = (passage: Passage) => "pass" | "hold";

/**
 * Stands between one server and Postgres. What a crash looks like from the database's side happens here, at the
 * statement the test chose: nothing in the server knows.
 */
export interface PostgresProxy {
  /** For the server under test. */
  readonly connectionString: string;
  readonly watchers: Set<Watcher>;
  /** Notifications are swallowed on their way to the client. */
  losesNotifications: boolean;
  /** Lets what is held go on. */
  resume(): void;
  /** Ends every connection on both sides, as when the client or the machine between them dies. */
  cut(): void;
  close(): Promise<void>;
}

const SESSION_ID = /^sesn_/;
const WRITES = /^\s*(with|insert|update|delete)\b/i;

export async function createPostgresProxy(connectionString: string): Promise<PostgresProxy> {
  const target = new pg.Client({ connectionString });
  const upstream: NetConnectOpts = target.host.startsWith("/")
    ? { path: join(target.host, `.s.PGSQL.${target.port}`) }
    : { host: target.host, port: target.port };
  const directory = await mkdtemp(join(tmpdir(), "sandbox0-proxy-"));
  const relays = new Set<Relay>();
  const proxy: PostgresProxy = {
    connectionString: proxied(target, directory),
    watchers: new Set(),
    losesNotifications: false,
    resume() {
      for (const relay of relays) relay.resume();
    },
    cut() {
      for (const relay of relays) relay.destroy();
      relays.clear();
    },
    async close() {
      const closed = once(server, "close");
      server.close();
      proxy.cut();
      await closed;
      await rm(directory, { recursive: true, force: true });
    },
  };
  const server: Server = createServer((client) => {
    const relay = new Relay(proxy, client, createConnection(upstream), () => relays.delete(relay));
    relays.add(relay);
  });
  const socketPath = join(directory, ".s.PGSQL.5432");
  server.listen(socketPath);
  await once(server, "listening");
  // A server under test may run as another user.
  await Promise.all([chmod(directory, 0o755), chmod(socketPath, 0o777)]);
  return proxy;
}

function proxied(target: pg.Client, directory: string): string {
  const query = new URLSearchParams({
    host: directory,
    user: target.user ?? "",
    ...(target.password && { password: target.password }),
  });
  return `postgresql:///${target.database}?${query}`;
}

/** One connection: whole statements go up, whole answers come down. */
class Relay {
  private readonly proxy: PostgresProxy;
  private readonly client: Socket;
  private readonly upstream: Socket;
  private readonly reader = new StatementReader();
  private readonly fromClient = createFramer(true);
  private readonly fromServer = createFramer(false);
  /** Of the statement that the client is still sending. */
  private sending: Buffer[] = [];
  /** Statements without an answer yet, oldest first; `null` stands for the start of the connection. */
  private readonly unanswered: (Passage | null)[] = [null];
  private answer: Buffer[] = [];
  private transaction: TransactionSoFar | null = null;
  private isStarted = false;
  /** What waits while the connection is held, in order. */
  private held: (() => void)[] | null = null;

  constructor(proxy: PostgresProxy, client: Socket, upstream: Socket, onClose: () => void) {
    this.proxy = proxy;
    this.client = client;
    this.upstream = upstream;
    const end = (): void => {
      if (this.held !== null) return;
      if (this.answer.length > 0) client.write(Buffer.concat(this.answer.splice(0)));
      client.end();
      upstream.end();
      onClose();
    };
    for (const socket of [client, upstream]) socket.on("error", () => undefined).on("close", end);
    client.on("data", (chunk: Buffer) => {
      for (const message of this.fromClient(chunk)) this.inTurn(() => this.takeFromClient(message));
    });
    upstream.on("data", (chunk: Buffer) => {
      for (const message of this.fromServer(chunk)) this.inTurn(() => this.takeFromServer(message));
    });
  }

  destroy(): void {
    this.client.destroy();
    this.upstream.destroy();
  }

  resume(): void {
    const waiting = this.held ?? [];
    this.held = null;
    for (const go of waiting) this.inTurn(go);
  }

  private inTurn(go: () => void): void {
    if (this.held === null) go();
    else this.held.push(go);
  }

  private takeFromClient(message: Buffer): void {
    // The start and the password are no statements.
    if (!this.isStarted) {
      this.upstream.write(message);
      return;
    }
    this.sending.push(message);
    const statement = this.reader.read(message);
    if (statement === undefined && messageType(message) !== "X") return;
    const bytes = Buffer.concat(this.sending.splice(0));
    const passage = statement === undefined ? null : this.place(statement);
    this.pass(passage, () => {
      if (passage !== null) this.unanswered.push(passage);
      this.upstream.write(bytes);
    });
  }

  private takeFromServer(message: Buffer): void {
    const type = messageType(message);
    if (type === "A" && this.proxy.losesNotifications) return;
    if (type === "A" || (!this.isStarted && type !== "Z")) {
      this.client.write(message);
      return;
    }
    this.answer.push(message);
    if (type !== "Z") return;
    this.isStarted = true;
    const passage = this.unanswered.shift() ?? null;
    const bytes = Buffer.concat(this.answer.splice(0));
    this.pass(passage && { ...passage, when: "after" }, () => void this.client.write(bytes));
  }

  /** Does what lets it pass, now or when it is resumed. */
  private pass(passage: Passage | null, go: () => void): void {
    for (const watcher of passage === null ? [] : this.proxy.watchers) {
      if (passage !== null && watcher(passage) === "hold") this.held ??= [];
    }
    this.inTurn(go);
  }

  private place(statement: Statement): Passage {
    const verb = /^\s*(\w+)/.exec(statement.sql)?.[1]?.toLowerCase();
    if (verb === "begin")
      this.transaction = { sessionIds: new Set(), wrote: false, isGroup: statement.sql.includes("set local lock_timeout") };
    const { transaction } = this;
    let sessionId = statement.params.find((param) => param !== null && SESSION_ID.test(param)) ?? null;
    if (transaction) {
      if (sessionId !== null) transaction.sessionIds.add(sessionId);
      sessionId ??= [...transaction.sessionIds][0] ?? null;
      transaction.wrote ||= WRITES.test(statement.sql) && statement.name !== "claim_lease";
    }
    if (verb === "commit" || verb === "rollback") this.transaction = null;
    const id = crypto.randomUUID();
    return { ...statement, id, when: "before", transaction, sessionId };
  }
}
