import type { HarnessSandbox, ToolResult } from "@sandbox0/harness";
import { type ClaimedSandbox, cutText, EGRESS_PORT, RESULT_CHARS_MAX, SandboxError, type SandboxPool } from "@sandbox0/sandbox";
import { setVolume } from "../store/leases.ts";
import type { Queryable } from "../store/query.ts";
import { type HeldTurn, stopTurn } from "./turn.ts";

/** Behind the forwarder in the sandbox; vendors' programs put their own paths behind it (`/v1/messages`). */
const MODEL_GATEWAY_URL = `http://127.0.0.1:${EGRESS_PORT}/model`;

export interface SandboxToolDeps {
  db: Queryable;
  pool: SandboxPool;
  /** Placeholders of the session's credentials, as its commands find them in their environment (semantics §10). */
  environmentOf(turn: HeldTurn): Promise<Readonly<Record<string, string>>>;
}

/**
 * Runs one built-in tool in the session's sandbox (design §4.6). A dead or missing sandbox is a failed tool call that the
 * agent may try again (semantics §3): never an exception of the turn.
 */
export async function runSandboxTool(
  deps: SandboxToolDeps,
  turn: HeldTurn,
  call: { name: string; input: Record<string, unknown> },
): Promise<ToolResult> {
  const { signal } = turn.controller;
  try {
    const claimed = await claimSandbox(deps.db, deps.pool, turn);
    if (call.name === "bash") claimed.tools.setEnvironment(await deps.environmentOf(turn));
    return await claimed.tools.call(call.name, call.input, { signal });
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error;
    return { content: [{ type: "text", text: `The sandbox is not available: ${error.message}` }], isError: true };
  }
}

/** @throws SandboxError */
export async function openHarnessSandbox(
  deps: SandboxToolDeps & { issueToken(sandboxId: string, sessionId: string): string },
  turn: HeldTurn,
): Promise<HarnessSandbox> {
  const { sandbox } = await claimSandbox(deps.db, deps.pool, turn);
  return {
    id: sandbox.id,
    gone: sandbox.gone,
    exec: (command, options) => sandbox.exec(command, options),
    readFile: (path) => sandbox.readFile(path),
    writeFile: (path, data) => sandbox.writeFile(path, data),
    environment: await deps.environmentOf(turn),
    modelGateway: { baseUrl: MODEL_GATEWAY_URL, apiKey: deps.issueToken(sandbox.id, turn.sessionId) },
  };
}

/** A result of a tool that did not run in the sandbox; what is too long for the model goes there. */
export async function fitInSandbox(
  db: Queryable,
  pool: SandboxPool,
  turn: HeldTurn,
  callId: string,
  text: string,
): Promise<string> {
  if (text.length <= RESULT_CHARS_MAX) return text;
  try {
    const claimed = await claimSandbox(db, pool, turn);
    return await unlessStopped(turn.controller.signal, claimed.tools.fit(text, callId));
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error;
    return cutText(text, null);
  }
}

async function claimSandbox(db: Queryable, pool: SandboxPool, turn: HeldTurn): Promise<ClaimedSandbox> {
  const { signal } = turn.controller;
  const claimed = await unlessStopped(signal, pool.claim(turn.sessionId, turn.volumeId));
  if (claimed.volumeId !== turn.volumeId) {
    // Before the effect: files that a lost volume id would orphan must not exist.
    if (!(await setVolume(db, turn.sessionId, turn.generation, claimed.volumeId))) stopTurn(turn, "lease_lost");
    turn.volumeId = claimed.volumeId;
  }
  if (signal.aborted) throw stopped();
  return claimed;
}

/** Nothing has run: the turn's end takes no notice of what this says. */
function stopped(): SandboxError {
  return new SandboxError("unavailable", "the turn was stopped");
}

/** A claim may wait long for its place in a full pool; the sandbox it gets in the end is the session's next one. */
async function unlessStopped<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const cut = Promise.withResolvers<never>();
  const onAbort = () => cut.reject(stopped());
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, cut.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
