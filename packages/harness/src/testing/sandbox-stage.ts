import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBubblewrapDriver, createSandboxPool, EGRESS_PORT, type OpenEgress, type SandboxPool } from "@sandbox0/sandbox";
import type { HarnessProgram, HarnessSandbox } from "../port.ts";

/** Real sandboxes for tests of a harness that runs in them; the only way out leads to the test's model provider. */
export interface SandboxStage {
  readonly pool: SandboxPool;
  /** Every HTTP request that sandboxes sent out: `POST /v1/messages`, `CONNECT example.com:443`. */
  readonly sent: readonly string[];
  /** The session's sandbox: the same one at each call, a new one on the same volume after it has gone. */
  open(sessionId: string, provider: { url: string; apiKey: string }): Promise<HarnessSandbox>;
  /** Destroys the session's sandbox now; its files stay. */
  discard(sessionId: string): Promise<void>;
  /** Removes the session's sandbox and files. */
  forget(sessionId: string): Promise<void>;
  close(): Promise<void>;
}

/** @throws the first thing this machine lacks, as a sentence */
export async function openSandboxStage(programs: readonly HarnessProgram[]): Promise<SandboxStage> {
  const dir = await mkdtemp(join(tmpdir(), "sandbox0-harness-"));
  const driver = createBubblewrapDriver({ dir, programs });
  const failed = (await driver.check()).find(({ ok }) => !ok);
  if (failed !== undefined) throw new Error(`${driver.name}: ${failed.name}: ${failed.detail}; ${failed.fix ?? ""}`);
  const ports = new Map<string, number>();
  const volumes = new Map<string, string>();
  const sent: string[] = [];
  // Both are known before a process of the session runs in its sandbox.
  const portOf = (sandboxId: string): number | undefined => ports.get(pool.sessionOf(sandboxId) ?? "");
  const pool: SandboxPool = await createSandboxPool(driver, { dir, openEgress: pipeTo(portOf, sent), warmCount: 0 });
  return {
    pool,
    sent,
    async open(sessionId, provider) {
      ports.set(sessionId, Number(new URL(provider.url).port));
      const { sandbox, volume } = await pool.claim(sessionId, volumes.get(sessionId) ?? null);
      volumes.set(sessionId, volume.id);
      return {
        id: sandbox.id,
        exec: (command, options) => sandbox.exec(command, options),
        readFile: (path) => sandbox.readFile(path),
        writeFile: (path, data) => sandbox.writeFile(path, data),
        gone: sandbox.gone,
        environment: {},
        modelGateway: { baseUrl: `http://127.0.0.1:${EGRESS_PORT}`, apiKey: provider.apiKey },
      };
    },
    discard: (sessionId) => pool.discard(sessionId),
    async forget(sessionId) {
      await pool.discard(sessionId);
      const volumeId = volumes.get(sessionId);
      if (volumeId !== undefined) await pool.deleteVolume(volumeId);
      ports.delete(sessionId);
      volumes.delete(sessionId);
    },
    async close() {
      await pool.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Requests begin chunks: a client waits for the answer before the next. */
const REQUEST_LINE = /^([A-Z]+ \S+) HTTP\/1\.[01]\r\n/;
const LINE_CHARS_MAX = 8_192;

/** A gateway that asks nothing: the bytes of each sandbox go to a port of this machine, as they are. */
function pipeTo(portOf: (sandboxId: string) => number | undefined, sent: string[]): OpenEgress {
  return async (sandboxId, socketPath) => {
    const open = new Set<Socket>();
    const server = createServer((inside) => {
      const port = portOf(sandboxId);
      if (port === undefined) return void inside.destroy();
      const outside = connect(port, "127.0.0.1");
      inside.on("data", (chunk: Buffer) => {
        const [, line] = REQUEST_LINE.exec(chunk.toString("latin1", 0, LINE_CHARS_MAX)) ?? [];
        if (line !== undefined) sent.push(line);
      });
      for (const [socket, other] of [
        [inside, outside],
        [outside, inside],
      ] as const) {
        open.add(socket);
        socket.once("close", () => {
          open.delete(socket);
          other.destroy();
        });
        // A reset of one side closes both.
        socket.on("error", () => socket.destroy());
        socket.pipe(other);
      }
    });
    server.listen(socketPath);
    await once(server, "listening");
    return {
      close: async () => {
        for (const socket of open) socket.destroy();
        server.close();
        await once(server, "close");
      },
    };
  };
}
