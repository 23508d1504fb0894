import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Memory, SessionError } from "@sandbox0/protocol";
import { createTestDatabase } from "@sandbox0/testkit";
import { createApiKeys } from "../../resources/api-keys/api-keys.ts";
import { type MemoryApi, openMemory } from "../../resources/memory/open-memory.ts";
import { migrate } from "../../store/migrate.ts";
import { createPool, type Database } from "../../store/pool.ts";
import { insertSessionResources } from "../../store/session-resources.ts";
import { insertSession } from "../../store/sessions.ts";
import type { ProvisionPart, ProvisionSession } from "../port.ts";
import { createMemoryPart } from "./memory-part.ts";

/** Unprivileged, as the owners of volumes are; used when the tests run as root. */
const OWNER = 2_000_000_123;
/** More than a full store has. */
const ENTRIES_MAX = 2_100;
const USER = { type: "user_actor" as const, user_id: "user_1" };

/** Memory stores of a workspace, changed as if by its users. */
export interface TestStore {
  id: string;
  write(path: string, content: string): Promise<void>;
  move(from: string, to: string): Promise<void>;
  delete(path: string): Promise<void>;
  /** Contents by path. */
  contents(): Promise<Record<string, string>>;
  memory(path: string): Promise<Memory>;
  /** Of all versions. */
  texts(): Promise<string[]>;
  /** Operations with the session that made them, or `user`; the last first. */
  versions(path?: string): Promise<string[]>;
  archive(): Promise<void>;
  remove(): Promise<void>;
}

/** A session with stores, as its sandbox and the orchestrator see it. */
export interface TestMount {
  sessionId: string;
  /** Host directory that the sandbox sees. */
  dir: string;
  write(path: string, content: string | Buffer): void;
  delete(path: string): void;
  read(path: string): string | null;
  /** A text that lost a conflict, by what the agent was told that it is called. */
  readKept(sentence: string): string;
  /** All of them. */
  keptTexts(): string[];
  begin(): Promise<void>;
  /** A call has ended. @returns what the agent is told */
  call(): Promise<string[]>;
  end(): Promise<void>;
  /** The part as a server has it that is started after this one was killed. */
  restart(): void;
  isEager(): Promise<boolean>;
  part: ProvisionPart;
  /** What the session's log says. */
  reported: SessionError[];
  session: ProvisionSession;
}

export interface MemoryStage {
  /** Files and directories that the part looks at. */
  entriesMax: number;
  /** `/m/1`, `/m/2` and so on. */
  addMemories(store: TestStore, count: number): Promise<void>;
  db: Database;
  api: MemoryApi;
  dir: string;
  createStore(name?: string): Promise<TestStore>;
  createSession(stores: readonly TestStore[], access?: "read_write" | "read_only"): Promise<TestMount>;
  /** A part's last change of so many is committed, and then its server is gone. */
  killAfterChanges(count: number): void;
  close(): Promise<void>;
}

export async function createMemoryStage(): Promise<MemoryStage> {
  const database = await createTestDatabase();
  const db = createPool({ connectionString: database.connectionString, max: 4 });
  await migrate(db);
  const { workspaceId } = await createApiKeys({ db }).bootstrap("sk-test");
  await db.query(
    "insert into environments (id, workspace_id, name, config, created_at, updated_at) values ('env_1', $1, 'e', '{}', now(), now())",
    [workspaceId],
  );
  const memory = openMemory({ db, onProblem: () => undefined });
  const root = await mkdtemp(join(tmpdir(), "sandbox0-mounts-"));
  const dir = join(root, "memory");
  let made = 0;
  let changesLeft = 0;
  const partDb: Database = Object.create(db, {
    transaction: {
      value: async <T>(fn: Parameters<typeof db.transaction<T>>[0]) => {
        const result = await db.transaction(fn);
        changesLeft -= 1;
        if (changesLeft === 0) throw new Error("killed");
        return result;
      },
    },
  });
  return {
    db,
    api: memory.api,
    dir,
    entriesMax: ENTRIES_MAX,
    addMemories: (store, count) => addMemories(db, store.id, count),
    createStore: (name = "notes") => createStore(db, memory.api, workspaceId, name),
    async createSession(stores, access = "read_write") {
      made += 1;
      const session = await insertTestSession(db, workspaceId, `sesn_${made}`, stores, access);
      const volume = { id: `vol_${made}`, path: join(root, `vol_${made}`) };
      for (const each of [volume.path, join(volume.path, "tool-outputs")]) makeOwnedDir(each);
      return mountOf(
        () => createMemoryPart({ db: partDb, dir, entriesMax: ENTRIES_MAX, now: () => new Date() }),
        session,
        volume,
        join(dir, session.sessionId, stores[0]?.id ?? "", "files"),
      );
    },
    killAfterChanges(count) {
      changesLeft = count;
    },
    async close() {
      await memory.close();
      await db.close();
      await database.drop();
      await rm(root, { recursive: true });
    },
  };
}

/** At once: one by one it takes a minute on a busy machine. */
async function addMemories(db: Database, storeId: string, count: number): Promise<void> {
  await db.query(
    `with given as (select 'memver_' || $1 || n as version, 'mem_' || $1 || n as id, '/m/' || n as path,
        convert_to(n::text, 'UTF8') as content from generate_series(1, $2::int) n),
     versions as (insert into memory_versions (id, store_id, memory_id, operation, path, content, content_sha256, content_bytes, created_by, created_at)
       select version, $1, id, 'created', path, content, encode(sha256(content), 'hex'), length(content), $3, now() from given)
     insert into memories (id, store_id, path, version_id, content_sha256, content_bytes, created_at, updated_at)
       select id, $1, path, version, encode(sha256(content), 'hex'), length(content), now(), now() from given`,
    [storeId, count, JSON.stringify(USER)],
  );
}

function makeOwnedDir(path: string): void {
  mkdirSync(path);
  if (process.getuid?.() === 0) chownSync(path, OWNER, OWNER);
}

async function insertTestSession(
  db: Database,
  workspaceId: string,
  id: string,
  stores: readonly TestStore[],
  access: "read_write" | "read_only",
): Promise<Omit<ProvisionSession, "report">> {
  const at = new Date();
  await insertSession(db, {
    id,
    workspaceId,
    threadId: `${id}_thread`,
    agentId: "agent_1",
    agentVersion: 1,
    agent: { name: "a" },
    environmentId: "env_1",
    harness: "sandpi",
    title: null,
    metadata: {},
    vaultIds: [],
    createdAt: at,
  });
  const configs = stores.map((store, index) => ({
    type: "memory_store" as const,
    memory_store_id: store.id,
    access,
    instructions: "Keep it short.",
    name: `Store ${index}`,
    description: "What we know",
    mount_path: index === 0 ? "/mnt/memory/notes" : `/mnt/memory/notes-${index}`,
  }));
  const records = configs.map((config, index) => ({ id: `${id}_${index}`, config, createdAt: at, updatedAt: at }));
  await insertSessionResources(db, id, records);
  return { sessionId: id, workspaceId, environmentId: "env_1", agent: {}, signal: new AbortController().signal };
}

function mountOf(
  createPart: () => ProvisionPart,
  given: Omit<ProvisionSession, "report">,
  volume: { id: string; path: string },
  dir: string,
): TestMount {
  const reported: SessionError[] = [];
  const report = async (error: SessionError): Promise<void> => void reported.push(error);
  const session = { ...given, report };
  const mount: TestMount = {
    reported,
    sessionId: session.sessionId,
    dir,
    session,
    part: createPart(),
    write(path, content) {
      mkdirSync(dirname(join(dir, path)), { recursive: true });
      writeFileSync(join(dir, path), content);
    },
    delete: (path) => rmSync(join(dir, path), { recursive: true }),
    read: (path) => (existsSync(join(dir, path)) ? readFileSync(join(dir, path), "utf8") : null),
    readKept(sentence) {
      const name = /\/tmp\/tool_outputs\/(\S+\.txt)/.exec(sentence)?.[1] ?? "nothing is said of a place";
      return readFileSync(join(volume.path, "tool-outputs", name), "utf8");
    },
    keptTexts() {
      const kept = join(volume.path, "tool-outputs");
      return readdirSync(kept).map((name) => readFileSync(join(kept, name), "utf8"));
    },
    async begin() {
      await mount.part.equip?.(session);
      await mount.part.fill?.(session, volume);
    },
    call: async () => (await mount.part.afterCall?.(session, volume)) ?? [],
    end: async () => mount.part.beforeIdle?.(session, volume),
    restart() {
      mount.part = createPart();
    },
    isEager: async () => (await mount.part.isEager?.(session)) ?? false,
  };
  return mount;
}

async function createStore(db: Database, api: MemoryApi, workspaceId: string, name: string): Promise<TestStore> {
  const { id } = await api.stores.create(workspaceId, { name });
  const at = { workspaceId, storeId: id };
  const find = async (path: string): Promise<Memory | undefined> => (await all()).find((memory) => memory.path === path);
  const need = async (path: string): Promise<Memory> => {
    const memory = await find(path);
    if (memory === undefined) throw new Error(`there is no memory ${path}`);
    return memory;
  };
  async function all(): Promise<Memory[]> {
    const found: Memory[] = [];
    let page: string | undefined;
    do {
      const answer = await api.memories.list(at, { view: "full", limit: 20, ...(page === undefined ? {} : { page }) });
      found.push(...answer.data.filter((item) => item.type === "memory"));
      page = answer.next_page ?? undefined;
    } while (page !== undefined);
    return found;
  }
  return {
    id,
    async write(path, content) {
      const memory = await find(path);
      if (memory === undefined) await api.memories.create(at, { path, content }, USER);
      else await api.memories.update({ ...at, id: memory.id }, { content }, USER);
    },
    move: async (from, to) => void (await api.memories.update({ ...at, id: (await need(from)).id }, { path: to }, USER)),
    delete: async (path) => void (await api.memories.delete({ ...at, id: (await need(path)).id }, USER)),
    contents: async () => Object.fromEntries((await all()).map(({ path, content }) => [path, content ?? ""])),
    memory: need,
    async texts() {
      const { rows } = await db.query<{ text: string }>(
        "select convert_from(content, 'UTF8') as text from memory_versions where store_id = $1 and content is not null",
        [id],
      );
      return rows.map(({ text }) => text);
    },
    async versions(path) {
      const { data } = await api.versions.list(at, { limit: 100 });
      const shown = data.filter((version) => path === undefined || version.path === path);
      return shown.map(({ operation, created_by: by }) => `${operation} by ${by && "session_id" in by ? by.session_id : "user"}`);
    },
    archive: async () => void (await api.stores.archive(workspaceId, id)),
    remove: async () => void (await api.stores.delete(workspaceId, id)),
  };
}
