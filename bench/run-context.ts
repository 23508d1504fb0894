import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ScriptedProvider } from "@sandbox0/testkit";
import { type BenchServer, startBenchServer, startProvider, warmUp } from "./bench-server.ts";
import { callDirectly, type DirectCalls } from "./direct-call.ts";
import type { Figure } from "./figure.ts";

/** What measures one or a few related figures. */
export type Bench = (context: RunContext) => Promise<Figure[]>;

/** What the figures of a run share. Everything is made when it is first asked for. */
export interface RunContext {
  readonly provider: ScriptedProvider;
  /** The server most figures use, warm, with the settings everybody gets: embedded Postgres, bubblewrap. */
  server(): Promise<BenchServer>;
  dataDirOfServer(): Promise<string>;
  /** Direct calls of the scripted provider, in this run and under its load. */
  direct(): Promise<DirectCalls>;
  /** A fresh and cold server of one figure, which stops it. */
  start(environment?: Readonly<Record<string, string>>): Promise<{ server: BenchServer; dataDir: string }>;
  /** An empty directory, removed at the end. */
  directory(): Promise<string>;
}

const DIRECT_CALLS = 300;

export async function withRunContext<T>(use: (context: RunContext) => Promise<T>): Promise<T> {
  const closers: (() => Promise<unknown>)[] = [];
  const provider = await startProvider();
  closers.push(() => provider.close());
  const directory = async (): Promise<string> => {
    const path = await mkdtemp(join(tmpdir(), "sandbox0-bench-"));
    closers.push(() => rm(path, { recursive: true, force: true }));
    return path;
  };
  const dataDirOfServer = once(directory);
  const context: RunContext = {
    provider,
    dataDirOfServer,
    server: once(async () => {
      const server = await startBenchServer(await dataDirOfServer(), provider);
      closers.push(() => server.stop());
      await warmUp(server);
      return server;
    }),
    direct: once(() => callDirectly(provider.url, DIRECT_CALLS)),
    directory,
    async start(environment = {}) {
      const dataDir = await directory();
      return { server: await startBenchServer(dataDir, provider, environment), dataDir };
    },
  };
  try {
    return await use(context);
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
