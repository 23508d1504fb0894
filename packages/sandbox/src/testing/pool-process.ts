/**
 * A server's pool in a process of its own, for tests that kill it: `node pool-process.ts <dir>`. Claims a session,
 * leaves commands running in it, has another one paused, prints `{"volumeId"}` and stays.
 */
import { createBubblewrapDriver } from "../bubblewrap/driver.ts";
import { createSandboxPool } from "../pool.ts";

const KEEP_ALIVE_MS = 60_000;

const [dir = ""] = process.argv.slice(2);
const pool = await createSandboxPool(createBubblewrapDriver({ dir }), {
  dir,
  warmCount: 1,
  warmFileToolsCount: 1,
  pauseAfterMs: 10,
});
const paused = await pool.claim("session_2", null);
await paused.tools.call("bash", { command: "sleep 1000 &" });
pool.release("session_2");
const { tools, volume } = await pool.claim("session_1", null);
const run = async (name: string, input: unknown): Promise<void> => {
  const { content, isError } = await tools.call(name, input);
  if (isError) throw new Error(JSON.stringify(content));
};
await run("bash", { command: "echo work > file; (setsid sleep 1000 &); sleep 1000 &" });
await run("write", { file_path: "written", content: "by the tool server" });
while (pool.stats().warm < 1 || pool.stats().paused < 1) await new Promise((resolve) => setTimeout(resolve, 10));
console.log(JSON.stringify({ volumeId: volume.id }));
setInterval(() => undefined, KEEP_ALIVE_MS);
