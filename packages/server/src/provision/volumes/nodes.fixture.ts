import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createId, type SessionError } from "@sandbox0/protocol";
import { createProcessDriver, createSandboxPool, type SandboxPool, type Volume } from "@sandbox0/sandbox";
import { createTestDatabase, until } from "@sandbox0/testkit";
import { type Blobs, createBlobs } from "../../blobs/blobs.ts";
import { createDirectoryStore } from "../../blobs/directory-store.ts";
import type { BlobStore } from "../../blobs/port.ts";
import { type NodeRegistry, registerNode } from "../../store/node-registry.ts";
import { createNotifier, type Notifier } from "../../store/notify.ts";
import { createPool, type Database } from "../../store/pool.ts";
import { readHomeNodes } from "../../store/session-volumes.ts";
import { insertSession } from "../../store/sessions.ts";
import { Troubles } from "../../store/troubles.fixture.ts";
import type { ProvisionSession } from "../port.ts";
import type { CaptureBounds } from "./capture-tree.ts";
import { createCheckpoints } from "./checkpoints.ts";
import { createTreeThreads, type TreeThreads } from "./tree-threads.ts";
import { createVolumeKeeper, type VolumeKeeper, type VolumeKeeperTimes } from "./volume-keeper.ts";
import { createVolumeRequests, type VolumeRequests } from "./volume-requests.ts";

const WORKSPACE = "wrkspc_1";
/** Longer than any test. */
const NEVER_MS = 3_600_000;

/** Servers on one database and one blob store, each with a data directory of its own, and sessions without a harness. */
export class Nodes {
  readonly db: Database;
  readonly dir: string;
  readonly blobs: Blobs;
  readonly threads: TreeThreads;
  readonly #database: { connectionString: string; drop(): Promise<void> };
  readonly #nodes: TestNode[] = [];
  readonly #troubles = new Troubles();

  private constructor(database: { connectionString: string; drop(): Promise<void> }, db: Database, dir: string, blobs: Blobs) {
    this.#database = database;
    this.db = db;
    this.dir = dir;
    this.blobs = blobs;
    this.threads = createTreeThreads();
  }

  /** @param store default: a directory */
  static async create(store?: BlobStore): Promise<Nodes> {
    const database = await createTestDatabase();
    const db = createPool({ connectionString: database.connectionString, max: 8 });
    await db.query("insert into workspaces (id, name) values ($1, 'test')", [WORKSPACE]);
    await db.query(
      `insert into environments (id, workspace_id, name, config, created_at, updated_at)
       values ('env_1', $1, 'e', '{"type":"cloud","networking":{"type":"unrestricted"}}', now(), now())`,
      [WORKSPACE],
    );
    const dir = await mkdtemp(join(tmpdir(), "sandbox0-nodes-"));
    const kept = store ?? (await createDirectoryStore(join(dir, "blobs")));
    // What nothing refers to goes at once; what the store cannot do is told by whoever asked for it.
    const blobs = createBlobs({ db, store: kept, graceMs: -60_000, onProblem: () => undefined });
    return new Nodes(database, db, dir, blobs);
  }

  async newSession(): Promise<string> {
    const id = createId("session");
    await insertSession(this.db, {
      id,
      workspaceId: WORKSPACE,
      threadId: "sthr_1",
      agentId: "agent_1",
      agentVersion: 1,
      agent: { name: "agent" },
      environmentId: "env_1",
      harness: "sandpi",
      title: null,
      metadata: {},
      vaultIds: [],
      createdAt: new Date(),
    });
    return id;
  }

  /** @param name of its data directory @param times by default, sessions have no checkpoint until one is asked for */
  async start(name: string, times: Partial<VolumeKeeperTimes> = {}): Promise<TestNode> {
    const { connectionString } = this.#database;
    const notifier = createNotifier({ connectionString, onError: this.#troubles.add });
    await notifier.ready;
    const registry = await registerNode({ connectionString, name, roles: ["worker"], onError: this.#troubles.add });
    const dir = join(this.dir, name);
    const pool = await createSandboxPool(createProcessDriver({ dir }), {
      dir,
      warmCount: 0,
      pauseAfterMs: NEVER_MS,
      destroyAfterMs: NEVER_MS,
    });
    const node = new TestNode(this, notifier, registry, pool, {
      captureAfterMs: NEVER_MS,

      homeReturnMs: 0,
      ...times,
    });
    await node.keeper.start();
    this.#nodes.push(node);
    return node;
  }

  async close(): Promise<void> {
    for (const node of this.#nodes) await node.stop();
    await this.threads.close();
    await this.db.close();
    await this.#database.drop();
    await rm(this.dir, { recursive: true, force: true });
    this.#troubles.check();
  }
}

export class TestNode {
  readonly nodes: Nodes;
  readonly pool: SandboxPool;
  readonly keeper: VolumeKeeper;
  readonly requests: VolumeRequests;
  readonly troubles: unknown[] = [];
  /** Of its sessions' logs. */
  readonly reported: SessionError[] = [];
  /** Of its captures. */
  readonly bounds: CaptureBounds = {};
  /** What the blob store throws instead of taking content. */
  storeFailure: Error | null = null;
  /** Before content is stored. */
  beforePut: () => Promise<void> = async () => undefined;
  /** Before content is read. */
  beforeOpen: () => Promise<void> = async () => undefined;
  readonly #notifier: Notifier;
  readonly #registry: NodeRegistry;
  #isStopped = false;

  constructor(nodes: Nodes, notifier: Notifier, registry: NodeRegistry, pool: SandboxPool, times: Partial<VolumeKeeperTimes>) {
    this.nodes = nodes;
    this.pool = pool;
    this.#notifier = notifier;
    this.#registry = registry;
    const { db, threads } = nodes;
    this.requests = createVolumeRequests({ db, notifier });
    const blobs: Pick<Blobs, "put" | "putKnown" | "pathOf" | "open"> = {
      put: async (source, options) => {
        await this.beforePut();
        if (this.storeFailure !== null) throw this.storeFailure;
        return nodes.blobs.put(source, options);
      },
      putKnown: async (content, sha256, signal) => {
        await this.beforePut();
        if (this.storeFailure !== null) throw this.storeFailure;
        return nodes.blobs.putKnown(content, sha256, signal);
      },
      // Tests look at what is opened.
      pathOf: () => null,
      open: async (sha256, range) => {
        await this.beforeOpen();
        return nodes.blobs.open(sha256, range);
      },
    };
    const checkpoints = createCheckpoints({ db, blobs, threads, nodeId: () => registry.id(), bounds: this.bounds });
    const onTrouble = (error: unknown): void => void this.troubles.push(error);
    const deps = { db, pool, checkpoints, requests: this.requests, notifier, node: registry, onTrouble };
    this.keeper = createVolumeKeeper(deps, times);
  }

  /** A turn that runs here and does `work` in the volume. @returns what the agent is told @throws SandboxError */
  async turn(sessionId: string, work: (volume: Volume) => Promise<unknown>, signal = NEVER): Promise<string[]> {
    const { part } = this.keeper;
    await this.nodes.db.query("update session_heads set lease_owner = $2 where session_id = $1", [
      sessionId,
      this.#registry.id(),
    ]);
    const session = this.#session(sessionId, signal);
    try {
      await part.place?.(session);
      const { volume } = await this.pool.claim(sessionId, null);
      await part.fill?.(session, volume);
      await work(volume);
      const said = (await part.afterCall?.(session, volume)) ?? [];
      await part.beforeIdle?.(session, volume);
      return said;
    } finally {
      await this.nodes.db.query("update session_heads set lease_owner = null where session_id = $1", [sessionId]);
      this.pool.release(sessionId);
      await part.atRest?.(session, { id: "", path: "" });
    }
  }

  write(sessionId: string, name: string, content: string): Promise<string[]> {
    return this.turn(sessionId, ({ path }) => writeFile(join(path, "workspace", name), content));
  }

  /** A turn that is given up before it has a sandbox. */
  async placeOnly(sessionId: string): Promise<void> {
    await this.keeper.part.place?.(this.#session(sessionId, NEVER));
  }

  /** A turn that is given up in the middle: its sandbox is ended, and it never comes to rest here. */
  async cutTurn(sessionId: string, name: string, content: string): Promise<void> {
    const { part } = this.keeper;
    const lease = (owner: number | null) =>
      this.nodes.db.query("update session_heads set lease_owner = $2 where session_id = $1", [sessionId, owner]);
    await lease(this.#registry.id());
    const session = this.#session(sessionId, NEVER);
    await part.place?.(session);
    const { volume } = await this.pool.claim(sessionId, null);
    await part.fill?.(session, volume);
    await writeFile(join(volume.path, "workspace", name), content);
    await this.pool.discard(sessionId);
    await lease(null);
  }

  async read(sessionId: string, name: string): Promise<{ content: string | null; said: string[] }> {
    let content: string | null = null;
    const said = await this.turn(sessionId, async ({ path }) => {
      content = await readFile(join(path, "workspace", name), "utf8").catch(nullWhenMissing);
    });
    return { content, said };
  }

  /** As after SIGKILL: the others see it dead, and nothing of it answers. */
  async die(): Promise<void> {
    await this.#registry.close();
    await this.stop();
    await until(async () => (await readHomeNodes(this.nodes.db, this.pool.homeId)).length === 0);
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    await this.keeper.close();
    await this.pool.close();
    await this.#registry.close();
    await this.#notifier.close();
  }

  #session(sessionId: string, signal: AbortSignal): ProvisionSession {
    const report = async (error: SessionError): Promise<void> => void this.reported.push(error);
    return { sessionId, workspaceId: WORKSPACE, environmentId: "env_1", agent: {}, signal, report } as ProvisionSession;
  }
}

const NEVER = new AbortController().signal;

function nullWhenMissing(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT") return null;
  throw error;
}
