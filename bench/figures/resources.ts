import { API_KEY, BASH, type BenchServer, runTurn } from "../bench-server.ts";
import { downloadFile, uploadFile } from "../file-transfer.ts";
import { type Figure, times, value } from "../figure.ts";
import type { RunContext } from "../run-context.ts";

const MB = 1000 ** 2;
const KIB_A_MB = MB / 1024;
const LARGE_BYTES = 500 * MB;
const SMALL_BYTES = 50 * MB;
const RSS_SAMPLE_MS = 20;
const MOUNTED = 500;
const MOUNTED_BYTES = 10_000;
const SESSIONS = 5;

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
