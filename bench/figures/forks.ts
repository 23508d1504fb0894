import { runTurn, SAY } from "../bench-server.ts";
import { type Figure, times } from "../figure.ts";
import type { RunContext } from "../run-context.ts";

/** Of nine events each. */
const TURNS = 1_200;
const EACH = 10;
/** Of the issue: a fork must not be waited for, whatever the session has. */
const FORK_MS_MAX = 300;

/** Snapshots, forks and restores of a session with a long conversation; those of large workspaces are in `checkpoints`. */
export async function forks({ start }: RunContext): Promise<Figure[]> {
  const { server } = await start();
  const connection = await server.connect();
  try {
    const sessionId = await server.createSession(connection);
    const stream = await server.stream(sessionId);
    for (let turn = 0; turn < TURNS; turn++) await runTurn(connection, stream, sessionId, SAY);
    const taken = { snapshots: [] as number[], fork: [] as number[], restore: [] as number[] };
    const post = async (operation: keyof typeof taken, body: object): Promise<{ id: string }> => {
      const startedAt = performance.now();
      const answer = await connection.json<{ id: string }>("POST", `/sandbox0/v1/sessions/${sessionId}/${operation}`, body);
      taken[operation].push(performance.now() - startedAt);
      return answer;
    };
    for (let n = 0; n < EACH; n++) {
      const { id } = await post("snapshots", {});
      await runTurn(connection, stream, sessionId, SAY);
      await post("fork", {});
      await post("restore", { snapshot_id: id });
    }
    stream.close();
    return [
      times(`fork, a log of ${TURNS * 9} events`, taken.fork, { p99Max: FORK_MS_MAX }),
      times("  its snapshot", taken.snapshots, {}),
      times("  its restore", taken.restore, {}),
    ];
  } finally {
    connection.close();
    await server.stop();
  }
}
