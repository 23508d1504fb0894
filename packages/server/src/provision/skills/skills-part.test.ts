import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SessionError } from "@sandbox0/protocol";
import { type ClaimedSandbox, createBubblewrapDriver, createSandboxPool, type SandboxPool } from "@sandbox0/sandbox";
import { createTestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Blobs, createBlobs } from "../../blobs/blobs.ts";
import { createDirectoryStore } from "../../blobs/directory-store.ts";
import { BlobsUnavailable } from "../../blobs/port.ts";
import { createPublishedSkills } from "../../resources/skills/published-skills.ts";
import { createPool, type Database } from "../../store/pool.ts";
import { writeRepositoryOutcome } from "../../store/session-repositories.ts";
import { insertSessionResources } from "../../store/session-resources.ts";
import { insertSession } from "../../store/sessions.ts";
import type { ProvisionPart, ProvisionSession } from "../port.ts";
import { createSkillsPart } from "./skills-part.ts";

const WORKSPACE = "wrkspc_1";
const TOOLS = [
  { type: "agent_toolset_20260401", default_config: { enabled: true, permission_policy: { type: "always_allow" } }, configs: [] },
];

let db: Database;
let drop: () => Promise<void>;
let dir: string;
let blobs: Blobs;
let pool: SandboxPool;
let part: ProvisionPart;
let made = 0;

beforeAll(async () => {
  const database = await createTestDatabase();
  drop = () => database.drop();
  db = createPool({ connectionString: database.connectionString, max: 4 });
  dir = await mkdtemp(join(tmpdir(), "sandbox0-skills-part-"));
  blobs = createBlobs({ db, store: await createDirectoryStore(join(dir, "blobs")), onProblem: () => undefined });
  await mkdir(join(dir, "published", "sheets"), { recursive: true });
  await writeFile(join(dir, "published", "sheets", "SKILL.md"), "---\ndescription: Sheets.\n---\n");
  part = createSkillsPart({ db, blobs, published: createPublishedSkills(join(dir, "published")) });
  pool = await createSandboxPool(createBubblewrapDriver({ dir }), { dir: join(dir, "volumes"), warmCount: 0 });
  await db.query("insert into workspaces (id, name) values ($1, 'test')", [WORKSPACE]);
  await db.query(
    "insert into environments (id, workspace_id, name, config, created_at, updated_at) values ('env_1', $1, 'e', '{}', now(), now())",
    [WORKSPACE],
  );
});
afterAll(async () => {
  await pool.close();
  await db.close();
  await drop();
  await rm(dir, { recursive: true });
});

/** A running session with its sandbox, and what it was told. */
async function openSession(skills: readonly object[] = []): Promise<{
  session: ProvisionSession;
  claimed: ClaimedSandbox;
  errors: SessionError[];
}> {
  const sessionId = `sesn_${++made}`;
  const agent = { name: "a", tools: TOOLS, skills };
  await insertSession(db, {
    id: sessionId,
    workspaceId: WORKSPACE,
    threadId: "sthr_1",
    agentId: "agent_1",
    agentVersion: 1,
    agent,
    environmentId: "env_1",
    harness: "sandpi",
    title: null,
    metadata: {},
    vaultIds: [],
    createdAt: new Date(),
  });
  const errors: SessionError[] = [];
  const report = async (error: SessionError): Promise<void> => void errors.push(error);
  const { signal } = new AbortController();
  const session = { sessionId, workspaceId: WORKSPACE, environmentId: "env_1", agent, signal, report };
  return { session, claimed: await pool.claim(sessionId, null), errors };
}

async function turn(session: ProvisionSession, claimed: ClaimedSandbox): Promise<string> {
  await part.fill?.(session, claimed.volume);
  await part.ready?.(session, claimed);
  return ((await part.notes?.(session)) ?? []).join("\n\n");
}

async function addRepository(sessionId: string, mountPath: string): Promise<string> {
  const id = `sesrsc_${++made}`;
  const config = { type: "github_repository" as const, url: "https://github.com/o/r", mount_path: mountPath, checkout: null };
  await insertSessionResources(db, sessionId, [{ id, config, createdAt: new Date(), updatedAt: new Date() }]);
  return id;
}

test("what a repository brings is announced once it is there, as it was then, also to the next server", async () => {
  const { session, claimed, errors } = await openSession([{ type: "anthropic", skill_id: "sheets", version: "latest" }]);
  const { sandbox } = claimed;
  const id = await addRepository(session.sessionId, "/workspace/r");
  const own = "- sheets (/mnt/skills/sheets/SKILL.md): Sheets.";
  expect(await turn(session, claimed)).toContain(own);
  const put = (path: string, text: string) => sandbox.writeFile(`/workspace/r/${path}`, Buffer.from(text));
  await put(".git/HEAD", "");
  await put(".claude/skills/sheets/SKILL.md", "---\ndescription: How we make sheets.\n---\n");
  await put(".claude/skills/broken/SKILL.md", "nothing");
  // Half a clone.
  await writeRepositoryOutcome(db, id, { problem: "repository_clone_error" });
  expect(await turn(session, claimed)).not.toContain("/workspace/r");
  expect(errors).toEqual([]);
  await writeRepositoryOutcome(db, id, { branch: "main", commit: "c0ffee" });
  const theirs = "- sheets (/workspace/r/.claude/skills/sheets/SKILL.md): How we make sheets.";
  const note = await turn(session, claimed);
  expect(note.split("\n").slice(1)).toEqual([own, theirs]);
  expect(errors).toEqual([
    expect.objectContaining({
      type: "unknown_error",
      message: expect.stringMatching(/\/workspace\/r .*"broken" cannot be used/),
    }),
  ]);
  await put(".claude/skills/later/SKILL.md", "---\ndescription: Made by the session.\n---\n");
  part = createSkillsPart({ db, blobs, published: createPublishedSkills(null) });
  expect(await turn(session, claimed)).toBe(note);
  expect(errors).toHaveLength(1);
  part = createSkillsPart({ db, blobs, published: createPublishedSkills(join(dir, "published")) });
});

test("an agent without the read tool is told of none, and its repositories are not looked into", async () => {
  const { session, claimed } = await openSession([{ type: "anthropic", skill_id: "sheets", version: "latest" }]);
  const blind = { ...session, agent: { ...session.agent, tools: [] } };
  expect(await turn(blind, claimed)).toBe("");
  expect(await readdir(join(claimed.volume.path, "skills"))).toEqual([]);
  // Its tools may change in the session's life.
  expect(await turn(session, claimed)).toContain("sheets");
});

test("a turn that was stopped and the next one do not get into each other's way", async () => {
  const { session, claimed } = await openSession([{ type: "anthropic", skill_id: "sheets", version: "latest" }]);
  const stop = new AbortController();
  const first = part.fill?.({ ...session, signal: stop.signal }, claimed.volume);
  const rest = [1, 2, 3].map(() => part.fill?.(session, claimed.volume));
  stop.abort();
  await Promise.allSettled([first]);
  await Promise.all(rest);
  expect(await readdir(join(claimed.volume.path, "skills", "sheets"))).toEqual(["SKILL.md"]);
});

test("a store that does not work is said, and nothing is kept of it", async () => {
  const { session, claimed, errors } = await openSession([{ type: "anthropic", skill_id: "sheets", version: "latest" }]);
  const put = async () => {
    throw new BlobsUnavailable("connection", new Error("503"));
  };
  const broken = createSkillsPart({ db, blobs: { ...blobs, put }, published: createPublishedSkills(join(dir, "published")) });
  expect(await broken.notes?.(session)).toEqual([]);
  expect(errors).toEqual([expect.objectContaining({ message: expect.stringMatching(/`sheets` cannot be had now/) })]);
  expect(await turn(session, claimed)).toContain("sheets");
});
