import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { SandboxError } from "@sandbox0/sandbox";
import { createTestDatabase, until } from "@sandbox0/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createEnvironments, type Environments } from "../../resources/environments/environments.ts";
import { createPool, type Database } from "../../store/pool.ts";
import { ImageUnavailable, type OpenImage } from "./build-image.ts";
import { BuildFailed, BuildStopped } from "./build-layer.ts";
import { createFakeLayers, type FakeLayers } from "./fake-layers.fixture.ts";
import { createLayerBuilds, type LayerBuilds, type LayerBuildsDeps, UNUSED_MS } from "./layer-builds.ts";

const WORKSPACE = "wrkspc_1";
const BACK_OFF_MS = { first: 60_000, max: 3_600_000 };

let db: Database;
let drop: () => Promise<void>;
let environments: Environments;
let layers: FakeLayers;
let alive: number[];
let nodes = 0;
let metered: string[];
let openImage: OpenImage;
const started: LayerBuilds[] = [];

beforeAll(async () => {
  const database = await createTestDatabase();
  drop = () => database.drop();
  db = createPool({ connectionString: database.connectionString, max: 8 });
  await db.query("insert into workspaces (id, name) values ($1, 'test')", [WORKSPACE]);
  environments = createEnvironments({ db });
});
afterAll(async () => {
  await db.close();
  await drop();
});
beforeEach(() => {
  layers = createFakeLayers();
  metered = [];
  alive = [];
  openImage = async (_workspaceId, image) => Readable.from([Buffer.from(`unpacking ${image}`)]);
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((builds) => builds.close()));
  await db.query("delete from environment_builds");
});

/** One server. */
function server(bounds: LayerBuildsDeps["bounds"] = {}, given: Partial<LayerBuildsDeps> = {}): LayerBuilds & { nodeId: number } {
  const nodeId = ++nodes;
  alive.push(nodeId);
  const builds = createLayerBuilds({
    db,
    node: { id: () => nodeId, aliveNodes: async () => alive },
    layers,
    storeId: "store",
    openEgress: null,
    openImage: (...asked) => openImage(...asked),
    env: {},
    awaitRegistries: async () => undefined,
    onProblem: (problem) => {
      throw problem;
    },
    meter: { removed: (why) => metered.push(why), refused: () => metered.push("refused") },
    bounds: { backOffMs: BACK_OFF_MS, ...bounds },
    ...given,
  });
  started.push(builds);
  return Object.assign(builds, { nodeId });
}

async function environment(setup: string): Promise<string> {
  return (await environments.create(WORKSPACE, { name: "e", metadata: { "sandbox0.setup": setup } })).id;
}

const layerOf = (builds: LayerBuilds, id: string, signal = new AbortController().signal) => builds.layerOf(id, signal);
const statusOf = (id: string) => environments.build(WORKSPACE, id);

test("an environment without packages and setup has no layer, and nothing is built for it", async () => {
  const { id } = await environments.create(WORKSPACE, { name: "plain" });
  expect(await layerOf(server(), id)).toBeNull();
  expect(await statusOf(id)).toMatchObject({ state: "ready", started_at: null });
});

test("one build serves all who ask, on two servers of one store, and all environments of that recipe", async () => {
  const [one, two] = [server(), server()];
  const [id, same] = [await environment("sleep 0.5; echo made"), await environment("sleep 0.5; echo made")];
  const found = await Promise.all([layerOf(one, id), layerOf(one, same), layerOf(two, id), layerOf(two, same)]);
  expect(new Set(found).size).toBe(1);
  expect(layers.drafts).toHaveLength(1);
  expect(await statusOf(same)).toMatchObject({ state: "ready", step: null, error: null, log_tail: "made" });
  expect(await layerOf(one, id)).toBe(found[0]);
});

test("another workspace with the same recipe has a layer of its own", async () => {
  await db.query("insert into workspaces (id, name) values ('wrkspc_2', 'other') on conflict do nothing");
  const builds = server();
  const other = await environments.create("wrkspc_2", { name: "e", metadata: { "sandbox0.setup": "true" } });
  expect(await layerOf(builds, await environment("true"))).not.toBe(await layerOf(builds, other.id));
});

describe("an image", () => {
  const IMAGE = "registry.example/team/image:1";
  const withImage = async (setup?: string): Promise<string> => {
    const metadata = { "sandbox0.image": IMAGE, ...(setup === undefined ? {} : { "sandbox0.setup": setup }) };
    return (await environments.create(WORKSPACE, { name: "e", metadata })).id;
  };

  test("is unpacked once for all environments that have it, and what they install is made over it", async () => {
    const builds = server();
    const [plain, one, two] = [await withImage(), await withImage("echo one"), await withImage("echo two")];
    const found = await Promise.all([plain, one, two].map((id) => layerOf(builds, id)));
    expect(new Set(found).size).toBe(3);
    expect(layers.drafts).toHaveLength(3);
    const [image] = layers.drafts;
    expect(layers.images).toEqual([image, image]);
    expect(await statusOf(plain)).toMatchObject({ state: "ready", log_tail: `unpacking ${IMAGE}` });
    expect(await statusOf(one)).toMatchObject({ state: "ready", log_tail: "one" });
  });

  test("that is not to be had is told of by all who ask, and nothing is installed", async () => {
    openImage = async () => {
      throw new ImageUnavailable("nobody has it");
    };
    const builds = server();
    const [plain, over] = [await withImage(), await withImage("echo never")];
    for (const id of [over, plain]) {
      await expect(layerOf(builds, id)).rejects.toMatchObject({
        message: expect.stringContaining("nobody has it"),
        step: "image",
      });
      expect(await statusOf(id)).toMatchObject({
        state: "failed",
        step: "image",
        error: "nobody has it",
        retry_at: expect.any(String),
      });
    }
    expect(layers.drafts).toEqual([]);
    const { rows } = await db.query("select 1 from environment_builds where state = 'queued'", [], "count_queued");
    expect(rows).toEqual([]);
  });

  test("that gives a reason which no row can have is told of without what nobody can read, and not without end", async () => {
    openImage = async () => {
      throw new ImageUnavailable(`it is for li\0nux\x1b[2J\ud800${"x".repeat(100_000)}`);
    };
    const id = await withImage();
    server().start();
    await until(async () => (await statusOf(id)).state === "failed");
    expect((await statusOf(id)).error).toMatch(/^it is for linux\[2J\ufffdx{1900,2000}$/);
  });

  test("that takes longer than a build may is given up, and nobody reads it any more", async () => {
    let given: AbortSignal | undefined;
    openImage = (_workspaceId, _image, { signal }) => {
      given = signal;
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
    };
    await expect(layerOf(server({ buildMsMax: 1_500 }), await withImage())).rejects.toMatchObject({
      message: expect.stringMatching(/^the image was not there after 0.025 minutes/),
      step: "image",
    });
    expect(given?.aborted).toBe(true);
    openImage = async (_workspaceId, _image, { signal }) => {
      given = signal;
      return Readable.from([Buffer.from("unpacked")]);
    };
    await db.query("update environment_builds set not_before = now()");
    await layerOf(server(), await withImage());
    expect(given?.aborted).toBe(true);
  });

  test("is there for who goes on without what could not be installed over it", async () => {
    const builds = server();
    const image = await layerOf(builds, await withImage());
    await expect(layerOf(builds, await withImage("false"))).rejects.toMatchObject({ step: "setup", instead: image });
    await expect(layerOf(builds, await environment("false"))).rejects.toMatchObject({ step: "setup", instead: null });
  });

  test("stays for as long as an environment in use has something over it", async () => {
    const builds = server();
    await layerOf(builds, await withImage("echo over"));
    for (const name of layers.kept.keys()) layers.kept.set(name, new Date(0));
    await builds.removeUnused(new Date(UNUSED_MS + 1));
    expect(layers.kept.size).toBe(2);
  });

  test("must be one by its name, and a file that is there", async () => {
    const create = (image: string) => environments.create(WORKSPACE, { name: "e", metadata: { "sandbox0.image": image } });
    await expect(create("no image")).rejects.toThrow(/metadata[.]sandbox0[.]image: must be the id of a file, or an image/);
    await expect(create("file_01unknown")).rejects.toThrow(/metadata[.]sandbox0[.]image: there is no file `file_01unknown`/);
    const { id } = await environments.create(WORKSPACE, { name: "e" });
    const update = environments.update(WORKSPACE, id, { metadata: { "sandbox0.image": "file_01unknown" } });
    await expect(update).rejects.toThrow(/there is no file/);
  });
});

test("a workspace whose builds do not end holds up no other one", async () => {
  await db.query("insert into workspaces (id, name) values ('wrkspc_3', 'third') on conflict do nothing");
  const builds = server();
  const held = [await environment("sleep 1000"), await environment("sleep 1001")].map((id) =>
    layerOf(builds, id).catch((error: unknown) => error),
  );
  await until(() => layers.drafts.length === 1);
  const other = await environments.create("wrkspc_3", { name: "e", metadata: { "sandbox0.setup": "echo other" } });
  expect(await layerOf(builds, other.id)).not.toBeNull();
  expect(layers.drafts).toHaveLength(2);
  await builds.close();
  for (const each of held) expect(await each).toBeInstanceOf(BuildStopped);
});

test("a change of the environment is another build", async () => {
  const builds = server();
  const id = await environment("echo one");
  const before = await layerOf(builds, id);
  await environments.update(WORKSPACE, id, { metadata: { "sandbox0.setup": "echo two" } });
  expect(await layerOf(builds, id)).not.toBe(before);
  expect((await statusOf(id)).log_tail).toBe("two");
});

test("a failure is told with the end of its output, and is not tried again before its time", async () => {
  const builds = server();
  const id = await environment("echo \x1b[31mgoing\x1b[0m; echo wrong >&2; exit 3");
  const failure = await layerOf(builds, id).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(BuildFailed);
  expect(failure).toMatchObject({ message: "setup failed (status 3)", logTail: "going\nwrong" });
  await expect(layerOf(builds, id)).rejects.toThrow(/^setup failed \(status 3\); the next try is at 20/);
  expect(layers.drafts).toHaveLength(1);
  expect(await statusOf(id)).toMatchObject({ state: "failed", step: "setup", error: "setup failed (status 3)" });
  await db.query("update environment_builds set not_before = now()");
  await expect(layerOf(builds, id)).rejects.toThrow(/^setup failed \(status 3\)$/);
  expect(layers.drafts).toHaveLength(2);
  const { started_at, retry_at, finished_at } = await statusOf(id);
  // Twice as long as after the first.
  expect(Date.parse(retry_at ?? "") - Date.parse(finished_at ?? "")).toBeGreaterThanOrEqual(2 * BACK_OFF_MS.first - 1);
  expect(started_at).not.toBeNull();
});

test("a layer that no sandbox starts with is a failure", async () => {
  layers.refuseNext(new SandboxError("unavailable", "no sandbox starts with it: no shell"));
  const id = await environment("true");
  await expect(layerOf(server(), id)).rejects.toThrow("no sandbox starts with it: no shell");
  expect(await statusOf(id)).toMatchObject({ state: "failed" });
});

test("what takes too long is ended", async () => {
  const id = await environment("echo begun; sleep 1000");
  await expect(layerOf(server({ buildMsMax: 1_500 }), id)).rejects.toThrow(/(setup|it) was not done after/);
  expect(layers.open.size).toBe(0);
});

test("progress is seen while it is built, and which environment its sandbox is of", async () => {
  const builds = server();
  const id = await environment("echo half way; sleep 1000");
  const stop = new AbortController();
  const waiting = layerOf(builds, id, stop.signal);
  await until(async () => (await statusOf(id)).log_tail === "half way");
  expect(await statusOf(id)).toMatchObject({ state: "building", step: "setup", finished_at: null });
  expect(builds.environmentOf(`draft_${layers.drafts.length}`)).toBe(id);
  expect(builds.environmentOf("draft_0")).toBeNull();
  stop.abort();
  // Who waits may go; it is built all the same.
  await expect(waiting).rejects.toBeInstanceOf(BuildStopped);
  expect((await statusOf(id)).state).toBe("building");
});

test("what a server that died was building, another builds anew; what one that lives builds, nobody else does", async () => {
  const [dead, living] = [server(), server()];
  const id = await environment("[[ -e $HOME/never ]] && exit; sleep 1000");
  const lost = layerOf(dead, id).catch((error: unknown) => error);
  await until(async () => (await statusOf(id)).state === "building");
  const waits = layerOf(living, id).catch((error: unknown) => error);
  alive = [living.nodeId];
  await until(() => layers.drafts.length === 2);
  // The one that was taken for dead sees at its next word that the build is no more its own.
  await db.query("update environment_builds set log_tail = 'of the second'");
  await Promise.all([dead.close(), living.close()]);
  expect(await lost).toBeInstanceOf(BuildStopped);
  expect(await waits).toBeInstanceOf(BuildStopped);
  expect(layers.kept.size).toBe(0);
});

test("what a server has begun that is no more is built by the next, also when nobody waits for it", async () => {
  const dead = server();
  const mark = join(tmpdir(), `sandbox0-builds-${process.pid}`);
  const id = await environment(`[[ -e ${mark} ]] && exit; touch ${mark}; sleep 1000`);
  const lost = layerOf(dead, id).catch((error: unknown) => error);
  await until(() => existsSync(mark));
  await dead.close();
  expect(await lost).toBeInstanceOf(BuildStopped);
  alive = [];
  server().start();
  await until(async () => (await statusOf(id)).state === "ready");
  await rm(mark);
});

test("what is asked for is built before anybody needs it, unless the environment is another by then", async () => {
  const [id, changed] = [await environment("echo ahead"), await environment("echo old")];
  await db.query("update environments set metadata = '{}' where id = $1", [changed]);
  server().start();
  await until(async () => (await statusOf(id)).state === "ready");
  expect(layers.drafts).toHaveLength(1);
  const asked = async () => (await db.query("select from environment_builds where store_id = ''")).rowCount;
  await until(async () => (await asked()) === 0);
});

test("a build whose end could not be written is not begun again before its time", async () => {
  const problems: unknown[] = [];
  const query: Database["query"] = async (text, values, name) => {
    if (name === "note_build_failed") throw new Error("it cannot be written");
    return db.query(text, values, name);
  };
  const builds = server({}, { db: { ...db, query }, onProblem: (problem) => problems.push(problem) });
  await environment("false");
  builds.start();
  await until(() => problems.length > 0);
  // Each is found by a sweep that finds the other, too.
  for (const setup of ["echo second", "echo third"]) {
    const id = await environment(setup);
    await until(async () => (await statusOf(id)).state === "ready");
  }
  expect(layers.drafts).toHaveLength(3);
  expect(problems).toHaveLength(1);
});

test("a layer is removed when nothing has used it for long and no environment in use needs it", async () => {
  const builds = server();
  const [needed, archived] = [await environment("echo needed"), await environment("echo archived")];
  for (const id of [needed, archived]) await layerOf(builds, id);
  await environments.archive(WORKSPACE, archived);
  const later = (ms: number) => builds.removeUnused(new Date(Date.now() + ms));
  await later(UNUSED_MS / 2);
  expect(layers.kept.size).toBe(2);
  await later(UNUSED_MS * 2);
  expect(layers.kept.size).toBe(1);
  expect((await statusOf(archived)).state).toBe("queued");
  expect((await statusOf(needed)).state).toBe("ready");
});

describe("layers have room for", () => {
  const GIB = 1024 ** 3;
  const ROOM = { layersBytesMax: 10 * GIB, workspaceBytesMax: 8 * GIB, freshMs: -1 };
  const OTHER = "wrkspc_other";
  beforeAll(() => db.query("insert into workspaces (id, name) values ($1, 'room') on conflict do nothing", [OTHER]));

  /** Of an environment of its own. @returns its directory */
  async function built(builds: LayerBuilds, name: string, sizeBytes: number, workspace = WORKSPACE): Promise<string> {
    layers.sizeBytes = sizeBytes;
    const { id } = await environments.create(workspace, { name, metadata: { "sandbox0.setup": `echo ${name}` } });
    const path = (await layerOf(builds, id)) ?? "";
    // Each is older than the next.
    const layer = path.replace("/layers/", "");
    layers.kept.set(layer, new Date(Date.now() - 3_600_000 + layers.drafts.length));
    return layer;
  }
  const failure = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error);

  test("so many bytes: the least recently used of the workspace that has most goes", async () => {
    const builds = server(ROOM);
    const others = await built(builds, "others", 3 * GIB, OTHER);
    const [first, second] = [await built(builds, "first", 3 * GIB), await built(builds, "second", 3 * GIB)];
    // Used again.
    layers.kept.set(first, new Date());
    const third = await built(builds, "third", 2 * GIB, OTHER);
    expect([...layers.kept.keys()].sort()).toEqual([others, first, third].sort());
    expect(metered).toEqual(["room"]);
    // Its environment says that it is to be built, and its next session has it built.
    const { rows } = await db.query("select from environment_builds where recipe = $1", [second.split("-")[0]]);
    expect(rows).toEqual([]);
  });

  test("none that sandboxes run with to go: the build is a failure, and says so", async () => {
    const builds = server(ROOM);
    const [mine, others] = [await built(builds, "mine", 4 * GIB), await built(builds, "others", 4 * GIB, OTHER)];
    layers.used.add(mine).add(others);
    expect(await failure(built(builds, "more", 3 * GIB))).toMatchObject({
      code: "build_failed",
      message: expect.stringMatching(/^it takes 3.0 GiB of disk, .* all environments on this server may take 10.0 GiB/),
      logTail: "more",
    });
    expect([...layers.kept.keys()]).toEqual([mine, others]);
    expect(metered).toEqual(["refused"]);
  });

  test("no more of one workspace than its share, whatever is free", async () => {
    const builds = server(ROOM);
    const [first, second] = [await built(builds, "one", 4 * GIB), await built(builds, "two", 4 * GIB)];
    const third = await built(builds, "three", 1 * GIB);
    expect([...layers.kept.keys()]).toEqual([second, third]);
    layers.used.add(second).add(third);
    expect(await failure(built(builds, "four", 4 * GIB))).toMatchObject({
      message: expect.stringMatching(/the packages of this workspace's environments may take 8.0 GiB/),
    });
    expect(first).not.toBe(second);
  });

  test("what a workspace with less has: nobody takes it for more of their own", async () => {
    const builds = server(ROOM);
    const little = await built(builds, "little", 3 * GIB, OTHER);
    const mine = await built(builds, "much", 6 * GIB);
    layers.used.add(mine);
    // It would have most of all.
    expect(await failure(built(builds, "yet more", 2 * GIB))).toMatchObject({ code: "build_failed" });
    layers.used.clear();
    const next = await built(builds, "instead", 7 * GIB);
    expect([...layers.kept.keys()].sort()).toEqual([little, next].sort());
  });

  test("one that was found a moment ago: its sandbox may be on its way", async () => {
    const builds = server({ ...ROOM, freshMs: 60_000 });
    const mine = await built(builds, "fresh", 6 * GIB);
    layers.kept.set(mine, new Date());
    expect(await failure(built(builds, "too soon", 6 * GIB))).toMatchObject({ code: "build_failed" });
    expect([...layers.kept.keys()]).toEqual([mine]);
  });

  test("so many bytes whoever has made them: the sweep removes what is beyond", async () => {
    const all = server({ ...ROOM, layersBytesMax: 100 * GIB, workspaceBytesMax: 100 * GIB });
    for (const name of ["a", "b", "c"]) await built(all, name, 5 * GIB);
    const last = [...layers.kept.keys()].at(-1);
    await server(ROOM).removeUnused(new Date());
    expect([...layers.kept.keys()]).toEqual([last]);
  });
});
