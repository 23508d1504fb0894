import { API_KEY, BASH, type BenchServer, running, runTurn } from "../bench-server.ts";
import { downloadFile, uploadFile } from "../file-transfer.ts";
import { type Figure, times, value } from "../figure.ts";
import type { HttpConnection } from "../http-connection.ts";
import type { RunContext } from "../run-context.ts";

const MB = 1000 ** 2;
const KIB_A_MB = MB / 1024;
const LARGE_BYTES = 500 * MB;
const SMALL_BYTES = 50 * MB;
const RSS_SAMPLE_MS = 20;
const MOUNTED = 500;
const MOUNTED_BYTES = 10_000;
const SESSIONS = 5;
/** Of the workspaces that are checkpointed and forked. */
const WORKSPACE_MB = 1000;
const WORKSPACE_FILES = 1000;
const FILE_KB = (WORKSPACE_MB * 1000) / WORKSPACE_FILES;
/** Each with files of its own: the first checkpoint of one finds nothing stored. */
const WORKSPACES = 5;
const CHANGED_MB = [0, 1, 10, 100];
const CHECKPOINTS_EACH = 5;
/** The fork right behind a turn waits for a checkpoint of what that has changed. */
const CHANGED_BEFORE_FORK_MB = 10;
const FORKS = 5;
/** What an environment's setup leaves, in files of half a megabyte. */
const BASE_MB = 100;
const BASED_SESSIONS = 5;

/** What sessions are given and leave behind: files through the API and in sandboxes. */
export async function resources({ start }: RunContext): Promise<Figure[]> {
  const { server } = await start({ SANDBOX0_UPLOADS_DOWNLOADABLE: "true" });
  try {
    return [...(await transfers(server)), ...(await mounts(server))];
  } finally {
    await server.stop();
  }
}

/** Large files up and down, and the server's memory meanwhile: that it does not grow with the file is what matters. */
async function transfers(server: BenchServer): Promise<Figure[]> {
  const figures: Figure[] = [];
  // The first one makes a server warm, and shows what belongs to no size.
  for (const bytes of [SMALL_BYTES, LARGE_BYTES]) {
    const size = `${bytes / MB} MB`;
    let id = "";
    const up = await measured(server, async () => {
      id = await uploadFile(server.url, API_KEY, "large.bin", bytes);
    });
    const down = await measured(server, async () => {
      const received = await downloadFile(server.url, API_KEY, id);
      if (received !== bytes) throw new Error(`${received} bytes came back`);
    });
    for (const [name, { seconds, addedKib }] of [["upload", up] as const, ["download", down] as const])
      figures.push(
        value(`${name}, ${size}`, bytes / MB / seconds, "MB/s", 1, {}),
        value(`  RSS added, ${name} of ${size}`, addedKib / KIB_A_MB, "MB", 1, { valueMax: 100 }),
      );
  }
  return figures;
}

/** How long it takes, and how much larger the server was at most than before. */
async function measured(server: BenchServer, work: () => Promise<void>): Promise<{ seconds: number; addedKib: number }> {
  const before = await server.rssKib();
  let most = before;
  const sampling = setInterval(() => {
    void server.rssKib().then((kib) => {
      most = Math.max(most, kib);
    });
  }, RSS_SAMPLE_MS);
  const startedAt = performance.now();
  try {
    await work();
  } finally {
    clearInterval(sampling);
  }
  return { seconds: (performance.now() - startedAt) / 1000, addedKib: most - before };
}

/** Sessions with 500 files: their creation, and what the first turn that needs its sandbox takes, beside one without files. */
async function mounts(server: BenchServer): Promise<Figure[]> {
  const connection = await server.connect();
  const ids: string[] = [];
  for (let n = 0; n < MOUNTED; n++) ids.push(await uploadFile(server.url, API_KEY, `${n}.bin`, MOUNTED_BYTES));
  const mounted = ids.map((file_id, n) => ({ type: "file", file_id, mount_path: `data/${n}.bin` }));
  const taken = { create: [] as number[], first: [] as number[], next: [] as number[], without: [] as number[] };
  const open = async (resources: readonly object[]): Promise<string> => {
    const params = { agent: server.agentId, environment_id: server.environmentId, resources };
    return (await connection.json<{ id: string }>("POST", "/v1/sessions", params)).id;
  };
  for (let n = 0; n < SESSIONS; n++) {
    const bare = await open([]);
    const startedAt = performance.now();
    const full = await open(mounted);
    taken.create.push(performance.now() - startedAt);
    for (const [id, samples] of [
      [bare, taken.without],
      [full, taken.first],
      [full, taken.next],
    ] as const) {
      const stream = await server.stream(id);
      samples.push(await runTurn(connection, stream, id, BASH));
      stream.close();
    }
  }
  connection.close();
  const without = { name: "without files", samples: taken.without };
  return [
    times(`session with ${MOUNTED} files, create`, taken.create, {}),
    times(`first turn with bash, ${MOUNTED} files mounted`, taken.first, {}, without),
    times(`  next turn, ${MOUNTED} files mounted`, taken.next, {}, without),
    times("  without files", taken.without, {}),
  ];
}

/**
 * Sessions with a workspace of 1,000 MB in 1,000 files. The first checkpoint of each, which its first snapshot waits for; further
 * ones of the last, by how much its turn had changed. Forks of that, right behind a turn and later, and what the first turn of a
 * fork takes, for which its files are brought back.
 */
export async function checkpoints({ start }: RunContext): Promise<Figure[]> {
  const { server } = await start();
  const connection = await server.connect();
  try {
    const workspaces = new Workspaces(server, connection);
    const taken = await workspaces.first();
    const changed: Figure[] = [];
    for (const mb of CHANGED_MB) changed.push(times(`  ${mb} MB of it changed`, await workspaces.changed(mb), {}));
    const behindTurn = await workspaces.forks(CHANGED_BEFORE_FORK_MB);
    const later = await workspaces.forks(0);
    return [
      times(`checkpoint, ${WORKSPACE_MB} MB, the first`, taken, {}),
      ...changed,
      times(`fork, ${WORKSPACE_MB} MB`, later.forks, { p99Max: 300 }),
      times(`  right behind a turn that changed ${CHANGED_BEFORE_FORK_MB} MB`, behindTurn.forks, {}),
      times("  first turn with bash of a fork", [...later.turns, ...behindTurn.turns], {}),
    ];
  } finally {
    connection.close();
    await server.stop();
  }
}

/** The sessions of `checkpoints`, and what is measured of them, in milliseconds. */
class Workspaces {
  readonly #server: BenchServer;
  readonly #connection: HttpConnection;
  #sessionId = "";

  constructor(server: BenchServer, connection: HttpConnection) {
    this.#server = server;
    this.#connection = connection;
  }

  async first(): Promise<number[]> {
    const samples: number[] = [];
    for (let n = 0; n < WORKSPACES; n++) {
      this.#sessionId = await this.#server.createSession(this.#connection);
      await this.#turn(this.#sessionId, `mkdir files; cd files; ${writeFiles(WORKSPACE_FILES, FILE_KB)}`);
      samples.push((await this.#post("snapshots")).took);
    }
    return samples;
  }

  async changed(mb: number): Promise<number[]> {
    const samples: number[] = [];
    for (let n = 0; n < CHECKPOINTS_EACH; n++) {
      await this.#turn(this.#sessionId, writeFiles((mb * 1000) / FILE_KB, FILE_KB));
      samples.push((await this.#post("snapshots")).took);
    }
    return samples;
  }

  /** @param changedMb by a turn right before each; 0: there is no turn, and all files are kept */
  async forks(changedMb: number): Promise<{ forks: number[]; turns: number[] }> {
    const taken = { forks: [] as number[], turns: [] as number[] };
    for (let n = 0; n < FORKS; n++) {
      if (changedMb > 0) await this.#turn(this.#sessionId, writeFiles((changedMb * 1000) / FILE_KB, FILE_KB));
      const { id, took } = await this.#post("fork");
      taken.forks.push(took);
      taken.turns.push(await this.#turn(id, `[ $(ls files | wc -l) = ${WORKSPACE_FILES} ]`));
    }
    return taken;
  }

  async #turn(id: string, command: string): Promise<number> {
    const stream = await this.#server.stream(id);
    const took = await runTurn(this.#connection, stream, id, running(command));
    stream.close();
    return took;
  }

  async #post(what: "snapshots" | "fork"): Promise<{ id: string; took: number }> {
    const path = `/sandbox0/v1/sessions/${this.#sessionId}/${what}`;
    const startedAt = performance.now();
    let answer = await this.#connection.request("POST", path, {});
    // The server does not wait for ever, and goes on: as the SDK does, it is asked again.
    while (answer.status === 503) answer = await this.#connection.request("POST", path, {});
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.body}`);
    return { id: (JSON.parse(answer.body) as { id: string }).id, took: performance.now() - startedAt };
  }
}

/**
 * The base of an environment, which its setup script makes: the first session waits until it is built, and the others share
 * it. Their first turns, beside those of sessions that need no base; neither can have a warm sandbox and show it.
 */
export async function packageBases({ start }: RunContext): Promise<Figure[]> {
  const { server } = await start({ SANDBOX0_WARM_SANDBOXES: "0" });
  const connection = await server.connect();
  try {
    const files = BASE_MB * 2;
    const setup = `mkdir -p /opt/base; for ((i = 0; i < ${files}; i++)); do head -c 500000 /dev/urandom > /opt/base/$i; done`;
    const environment = await connection.json<{ id: string }>("POST", "/v1/environments", {
      name: "bench-base",
      metadata: { "sandbox0.setup": setup },
    });
    const firstTurn = async (environment_id: string, command: string): Promise<number> => {
      const { id } = await connection.json<{ id: string }>("POST", "/v1/sessions", { agent: server.agentId, environment_id });
      const stream = await server.stream(id);
      const took = await runTurn(connection, stream, id, running(command));
      stream.close();
      return took;
    };
    const seeBase = `[ $(ls /opt/base | wc -l) = ${files} ]`;
    const built = await firstTurn(environment.id, seeBase);
    const based: number[] = [];
    const bare: number[] = [];
    for (let n = 0; n < BASED_SESSIONS; n++) {
      bare.push(await firstTurn(server.environmentId, "true"));
      based.push(await firstTurn(environment.id, seeBase));
    }
    return [
      value(`first turn with bash, a base of ${BASE_MB} MB is built`, built, "ms", 1, {}),
      times("  the base is there", based, {}, { name: "no base", samples: bare }),
      times("  no base", bare, {}),
    ];
  } finally {
    connection.close();
    await server.stop();
  }
}

/** Of random content: nothing of it can be compressed or found again. */
function writeFiles(count: number, kb: number): string {
  return `for ((i = 0; i < ${count}; i++)); do head -c ${kb}000 /dev/urandom > /workspace/files/$i; done`;
}
