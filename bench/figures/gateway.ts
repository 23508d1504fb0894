import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { type AttackServer, type AttackStage, createAttackStage } from "../../test/attack/stage/attack-stage.ts";
import { type HostileSession, startHostileSession } from "../../test/attack/stage/hostile-session.ts";
import { type Figure, percentile, times, value } from "../figure.ts";
import type { ClientTimes } from "../gateway-client.ts";
import type { RunContext } from "../run-context.ts";

const HOST = "bench.example";
const ADDRESS = "93.184.216.34";
const REQUESTS = 500;
const CONNECTIONS = 100;
const MIB = 1024 * 1024;
const BYTES = 256 * MIB;
const CLIENT = fileURLToPath(new URL("../gateway-client.ts", import.meta.url));
const CLIENT_INSIDE = "/workspace/gateway-client.ts";
const NODE_INSIDE = "/opt/sandbox0/bin/node";
const SECRET = "a-secret-of-the-bench-that-is-put-in";
/** The most that the tool takes. */
const COMMAND_TIMEOUT_MS = 600_000;

const AT_ONCE = 200;
const REQUESTS_EACH = 20;
const STARTING_AT_ONCE = 2 * availableParallelism();
const RSS_SAMPLE_MS = 100;
const PAGE_BYTES = 4096;
const BYTES_A_MB = 1e6;

/** In a pretend Internet (see test/attack): the upstream is another process of this machine, and so is the direct client. */
export async function gateway(_context: RunContext): Promise<Figure[]> {
  const stage = await createAttackStage({ [HOST]: { addresses: [ADDRESS] } });
  try {
    const server = await stage.startServer();
    return [...(await throughAndBeside(stage, server)), ...(await manyAtOnce(stage, server))];
  } finally {
    await stage.close();
  }
}

async function throughAndBeside(stage: AttackStage, server: AttackServer): Promise<Figure[]> {
  const tunnelled = await openSession(stage, server);
  const opened = await openSession(stage, server, [await vaultOfBench(server)]);
  const rounds: Record<"direct" | "tunnel" | "opened", ClientTimes[]> = { direct: [], tunnel: [], opened: [] };
  const memory = watchMemory(server.pid);
  // In turns: what else the machine does falls on each of them alike.
  for (let round = 0; round < 2; round++) {
    rounds.direct.push(JSON.parse(await stage.inside.run(process.execPath, [CLIENT, ...clientArguments()])) as ClientTimes);
    rounds.tunnel.push(await runInside(tunnelled));
    rounds.opened.push(await runInside(opened));
    await stage.inside.forget();
  }
  return [
    ...compare("tunnel", rounds.tunnel, rounds.direct),
    ...compare("secrets put in", rounds.opened, rounds.direct),
    value(`RSS of the server, ${BYTES / MIB} MiB each way`, memory.stop() / BYTES_A_MB, "MB", 1, {}),
  ];
}

const clientArguments = (): string[] => [HOST, REQUESTS, CONNECTIONS, BYTES].map(String);

function compare(way: string, through: readonly ClientTimes[], direct: readonly ClientTimes[]): Figure[] {
  const samples = (from: readonly ClientTimes[], kind: "requests" | "connections") => from.flatMap((each) => each[kind]);
  const best = (from: readonly ClientTimes[], kind: "download" | "upload") => Math.max(...from.map((each) => each[kind]));
  const added = (name: string, kind: "requests" | "connections"): Figure[] => {
    const [ours, theirs] = [samples(through, kind), samples(direct, kind)];
    const at = (share: number) => percentile(ours, share) - percentile(theirs, share);
    const figure = times(`${way}: ${name}`, ours, {}, { name: "direct", samples: theirs });
    const round = (ms: number) => Number(ms.toFixed(3));
    return [figure, { name: "  added", n: ours.length, unit: "ms", p50: round(at(0.5)), p95: round(at(0.95)), budget: {} }];
  };
  const rate = (name: string, kind: "download" | "upload"): Figure => ({
    ...value(`${way}: ${name}`, best(through, kind), "MB/s", 1, {}),
    ratio: Number((best(through, kind) / best(direct, kind)).toFixed(2)),
    against: "direct",
  });
  return [
    ...added("a request on an open connection", "requests"),
    ...added("a request with its connection", "connections"),
    rate("download", "download"),
    rate("upload", "upload"),
  ];
}

async function vaultOfBench({ client }: AttackServer): Promise<string> {
  const vault = await client.beta.vaults.create({ display_name: "bench" });
  await client.beta.vaults.credentials.create(vault.id, {
    auth: {
      type: "environment_variable",
      secret_name: "TOKEN",
      secret_value: SECRET,
      networking: { type: "limited", allowed_hosts: [HOST] },
    },
  });
  return vault.id;
}

async function openSession(stage: AttackStage, server: AttackServer, vaultIds: string[] = []): Promise<HostileSession> {
  return startHostileSession(stage.provider, server.client, {
    networking: { type: "limited", allowed_hosts: [HOST] },
    vaultIds,
  });
}

async function runInside(session: HostileSession): Promise<ClientTimes> {
  await session.call("write", { file_path: CLIENT_INSIDE, content: await readFile(CLIENT, "utf8") });
  const command = `${NODE_INSIDE} ${CLIENT_INSIDE} ${clientArguments().join(" ")} 2>&1`;
  const output = await session.bash(command, COMMAND_TIMEOUT_MS);
  const line = output.split("\n").findLast((text) => text.startsWith("{"));
  if (line === undefined) throw new Error(`the client in the sandbox failed: ${output}`);
  return JSON.parse(line) as ClientTimes;
}

/** Sandboxes that all make requests at the same time, each over connections of its own. */
async function manyAtOnce(stage: AttackStage, server: AttackServer): Promise<Figure[]> {
  const sessions: HostileSession[] = [];
  for (let made = 0; made < AT_ONCE; made += STARTING_AT_ONCE) {
    const some = Array.from({ length: Math.min(STARTING_AT_ONCE, AT_ONCE - made) }, async () => {
      const session = await openSession(stage, server);
      await session.bash("true");
      return session;
    });
    sessions.push(...(await Promise.all(some)));
  }
  const memory = watchMemory(server.pid);
  const urls = Array.from({ length: REQUESTS_EACH }, () => `https://${HOST}/`).join(" ");
  // Each request has a connection of its own: one process a URL, nothing kept.
  const command = `for url in ${urls}; do curl -s -o /dev/null -w '%{http_code}\\n' $url; done | grep -c '^200$'`;
  const startedAt = performance.now();
  const counts = await Promise.all(sessions.map((session) => session.bash(command, COMMAND_TIMEOUT_MS)));
  const seconds = (performance.now() - startedAt) / 1000;
  for (const { stream } of sessions) stream.close();
  const served = counts.reduce((sum, count) => sum + (Number.parseInt(count, 10) || 0), 0);
  const total = AT_ONCE * REQUESTS_EACH;
  return [
    value(`${AT_ONCE} sandboxes at once: requests`, served / seconds, "/s", total, {}),
    value("  that failed", total - served, "", total, { valueMax: 0 }),
    value("  RSS of the server", memory.stop() / BYTES_A_MB, "MB", AT_ONCE, {}),
  ];
}

/** The most resident memory of a process until it is stopped, in bytes. */
function watchMemory(pid: number): { stop(): number } {
  let most = 0;
  const sampling = setInterval(() => {
    // A server that has gone is somebody else's failure, and they say so.
    if (!existsSync(`/proc/${pid}`)) return;
    most = Math.max(most, Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * PAGE_BYTES);
  }, RSS_SAMPLE_MS).unref();
  return {
    stop() {
      clearInterval(sampling);
      return most;
    },
  };
}
