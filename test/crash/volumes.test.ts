import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { until } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { newTag } from "./model.ts";
import type { ServerProcess } from "./server-process.ts";
import { createStage, message, type Stage } from "./stage.ts";

const TIMEOUT_MS = 8 * 60_000;
const PLAYS_MAX = 5;

interface VolumeRow {
  dirty: boolean;
  home_id: string | null;
  volume_id: string | null;
}

/** Servers with a data directory each; what is kept of sessions they share. */
class Homes {
  readonly stage: Stage;
  sessionId = "";

  constructor(stage: Stage) {
    this.stage = stage;
  }

  dirOf(name: string): string {
    return join(this.stage.dataDir, name);
  }

  start(name: string): Promise<ServerProcess> {
    const environment = {
      SANDBOX0_DATA_DIR: this.dirOf(name),
      SANDBOX0_BLOBS: join(this.stage.dataDir, "blobs"),
      // What is not needed goes soon, and not before a slow disk has it and a row that refers to it.
      SANDBOX0_BLOB_GRACE_SECONDS: "10",
    };
    return this.stage.startServer({ environment });
  }

  /** @returns the text of the last tool result */
  async turn(server: ServerProcess, script: "fill the workspace" | "fingerprint"): Promise<string> {
    await this.stage.send(server, this.sessionId, [message(`${script} [${newTag()}]`)]);
    return this.lastResult();
  }

  async lastResult(): Promise<string> {
    const { events } = await this.stage.untilRest(this.sessionId);
    const result = events.findLast(({ type }) => type === "agent.tool_result");
    return JSON.stringify(result?.body.content);
  }

  async row(): Promise<VolumeRow> {
    const { rows } = await this.stage.db.query<VolumeRow>("select dirty, home_id, volume_id from session_volumes");
    return rows[0] as VolumeRow;
  }

  async untilKept(): Promise<void> {
    await until(async () => !(await this.row()).dirty, { describe: "the checkpoint of the session's files" });
  }

  async count(sql: string): Promise<number> {
    const { rows } = await this.stage.db.query<{ count: number }>(`select count(*)::int as count from ${sql}`);
    return rows[0]?.count as number;
  }

  /** One checkpoint, and nothing in the store but what it needs. */
  async untilClean(): Promise<void> {
    const objects = join(this.stage.dataDir, "blobs/objects");
    await until(
      async () => {
        const unwanted = await this.count("blobs where refs = 0");
        const checkpoints = await this.count("volume_checkpoints");
        const files = (await readdir(objects, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
        return unwanted === 0 && checkpoints === 1 && files.length === (await this.count("blobs"));
      },
      { describe: "the store to have what is needed and nothing else" },
    );
  }
}

/** @param body false: what it wanted to cut was whole by then, on a machine that stood still; it is played again */
function homesTest(name: string, body: (homes: Homes) => Promise<boolean>): void {
  test(name, { timeout: TIMEOUT_MS }, async () => {
    for (let isPlayed = false, plays = 1; !isPlayed; plays += 1) {
      if (plays > PLAYS_MAX) throw new Error(`too late ${PLAYS_MAX} times`);
      const stage = await createStage();
      try {
        isPlayed = await body(new Homes(stage));
      } finally {
        await stage.close();
      }
    }
  });
}

homesTest("killed while a checkpoint is made: the files are there, and nothing of the half one stays", async (homes) => {
  let server = await homes.start("a");
  homes.sessionId = await homes.stage.createSession(server);
  await homes.turn(server, "fill the workspace");
  const before = await homes.turn(server, "fingerprint");
  expect(before).toMatch(/[0-9a-f]{64}/);
  for (const blobs of [1, 3]) {
    // It could be whole before the kill comes: it waits for the session's row.
    const holder = await homes.stage.db.connect();
    try {
      await holder.query("begin; select from session_volumes for update");
      if ((await homes.count("volume_checkpoints where sha256 is not null")) > 0) return false;
      await until(async () => (await homes.count("volume_checkpoint_blobs")) >= blobs, { describe: "content to be stored" });
      expect(await homes.count("volume_checkpoints where sha256 is not null")).toBe(0);
      await server.kill();
    } finally {
      await holder.query("rollback");
      holder.release();
    }
    server = await homes.start("a");
    expect(await homes.turn(server, "fingerprint")).toBe(before);
  }
  await homes.untilKept();
  await homes.untilClean();
  await server.kill();
  const other = await homes.start("b");
  expect(await homes.turn(other, "fingerprint")).toBe(before);
  return true;
});

homesTest("killed while the files are brought to another server: it is done again, and is all of them", async (homes) => {
  const first = await homes.start("a");
  homes.sessionId = await homes.stage.createSession(first);
  await homes.turn(first, "fill the workspace");
  const before = await homes.turn(first, "fingerprint");
  await homes.untilKept();
  await first.kill();
  const volumes = join(homes.dirOf("b"), "sandbox/volumes/volumes");
  const draft = async (): Promise<string | undefined> => (existsSync(volumes) ? (await readdir(volumes))[0] : undefined);
  let server = await homes.start("b");
  await homes.stage.send(server, homes.sessionId, [message(`fingerprint [${newTag()}]`)]);
  await until(async () => {
    const volume = await draft();
    return volume !== undefined && existsSync(join(volumes, volume, "workspace/many"));
  });
  await server.kill();
  const half = await draft();
  const isWhole = (await homes.row()).volume_id === half;
  server = await homes.start("b");
  await homes.lastResult();
  expect(await homes.turn(server, "fingerprint")).toBe(before);
  if (isWhole) return false;
  expect(await readdir(volumes)).not.toContain(half);
  expect(await readdir(volumes)).toHaveLength(1);
  return true;
});

homesTest("two servers that live: whoever runs a turn has the files, and gives them up to the other", async (homes) => {
  const servers = [await homes.start("a"), await homes.start("b")] as const;
  homes.sessionId = await homes.stage.createSession(servers[0]);
  await homes.turn(servers[0], "fill the workspace");
  const before = await homes.turn(servers[0], "fingerprint");
  const seen = new Set([(await homes.row()).home_id]);
  // Which of the two is first is not ours to say; whoever is asked mostly is.
  for (let turn = 0; seen.size < 2 && turn < 40; turn++) {
    expect(await homes.turn(servers[(turn + 1) % 2] as ServerProcess, "fingerprint")).toBe(before);
    seen.add((await homes.row()).home_id);
  }
  expect(seen.size).toBe(2);
  return true;
});
