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
  inTransaction: boolean;
  /** The session that one of its values names; of a `commit`, the one that its transaction touched. */
  sessionId: string | null;
}

/** Sees every statement twice. `freeze`: neither this nor anything else passes any more, in either direction. */
export type Watcher = (passage: Passage) => "pass" | "freeze";

/**
 * Stands between one server and Postgres. What a crash looks like from the database's side happens here, at the
 * statement the test chose: nothing in the server knows.
 */
export interface PostgresProxy {
  /** For the server under test. */
  readonly connectionString: string;
  watcher: Watcher | null;
  /** Notifications are swallowed on their way to the client. */
  losesNotifications: boolean;
  /** Refused while false, like a Postgres that is down. */
  accepting: boolean;
  /** Ends every connection on both sides, as when the client or the machine between them dies, and thaws. */
  cut(): void;
  close(): Promise<void>;
}

const SESSION_ID = /^sesn_/;

export async function createPostgresProxy(connectionString: string): Promise<PostgresProxy> {
  const target = new pg.Client({ connectionString });
  const upstream: NetConnectOpts = target.host.startsWith("/")
    ? { path: join(target.host, `.s.PGSQL.${target.port}`) }
    : { host: target.host, port: target.port };
  const directory = await mkdtemp(join(tmpdir(), "sandbox0-proxy-"));
  const relays = new Set<Relay>();
  const proxy: PostgresProxy & { frozen: boolean } = {
    connectionString: proxied(target, directory),
    watcher: null,
    losesNotifications: false,
    accepting: true,
    frozen: false,
    cut() {
      for (const relay of relays) relay.destroy();
      relays.clear();
      proxy.frozen = false;
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
    if (!proxy.accepting || proxy.frozen) return void client.destroy();
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
  private readonly proxy: PostgresProxy & { frozen: boolean };
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
  private transaction: { sessionId: string | null } | null = null;
  private started = false;

  constructor(proxy: PostgresProxy & { frozen: boolean }, client: Socket, upstream: Socket, onClose: () => void) {
    this.proxy = proxy;
    this.client = client;
    this.upstream = upstream;
    const end = (): void => {
      if (proxy.frozen) return;
      if (this.answer.length > 0) client.write(Buffer.concat(this.answer.splice(0)));
      client.end();
      upstream.end();
      onClose();
    };
    for (const socket of [client, upstream]) socket.on("error", () => undefined).on("close", end);
    client.on("data", (chunk: Buffer) => {
      for (const message of this.fromClient(chunk)) this.takeFromClient(message);
    });
    upstream.on("data", (chunk: Buffer) => {
      for (const message of this.fromServer(chunk)) this.takeFromServer(message);
    });
  }

  destroy(): void {
    this.client.destroy();
    this.upstream.destroy();
  }

  private takeFromClient(message: Buffer): void {
    if (this.proxy.frozen) return;
    // The start and the password are no statements.
    if (!this.started) return void this.upstream.write(message);
    this.sending.push(message);
    const statement = this.reader.read(message);
    if (statement === undefined && messageType(message) !== "X") return;
    const bytes = Buffer.concat(this.sending.splice(0));
    if (statement !== undefined) {
      const passage = this.place(statement);
      if (!this.passes(passage)) return;
      this.unanswered.push(passage);
    }
    this.upstream.write(bytes);
  }

  private takeFromServer(message: Buffer): void {
    if (this.proxy.frozen) return;
    const type = messageType(message);
    if (type === "A") {
      if (!this.proxy.losesNotifications) this.client.write(message);
      return;
    }
    if (!this.started && type !== "Z") return void this.client.write(message);
    this.answer.push(message);
    if (type !== "Z") return;
    this.started = true;
    const passage = this.unanswered.shift();
    if (passage && !this.passes({ ...passage, when: "after" })) return;
    this.client.write(Buffer.concat(this.answer.splice(0)));
  }

  private passes(passage: Passage): boolean {
    if (this.proxy.watcher?.(passage) === "freeze") this.proxy.frozen = true;
    return !this.proxy.frozen;
  }

  private place(statement: Statement): Passage {
    const verb = /^\s*(\w+)/.exec(statement.sql)?.[1]?.toLowerCase();
    if (verb === "begin") this.transaction = { sessionId: null };
    const { transaction } = this;
    let sessionId = statement.params.find((param) => param !== null && SESSION_ID.test(param)) ?? null;
    if (transaction) sessionId = transaction.sessionId ??= sessionId;
    if (verb === "commit" || verb === "rollback") this.transaction = null;
    const id = crypto.randomUUID();
    return { ...statement, id, when: "before", inTransaction: transaction !== null, sessionId };
  }
}
