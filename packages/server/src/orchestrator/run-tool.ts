import type { HarnessSandbox, ToolResult } from "@sandbox0/harness";
import { cutText, EGRESS_PORT, RESULT_CHARS_MAX, SandboxError } from "@sandbox0/sandbox";
import { type SandboxOfTurn, unlessStopped } from "./sandbox-of-turn.ts";
import type { HeldTurn } from "./turn.ts";

/** Behind the forwarder in the sandbox; vendors' programs put their own paths behind it (`/v1/messages`). */
const MODEL_GATEWAY_URL = `http://127.0.0.1:${EGRESS_PORT}/model`;

export interface SandboxToolDeps {
  sandboxes: SandboxOfTurn;
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
    const claimed = await deps.sandboxes.claim(turn);
    if (call.name === "bash") claimed.tools.setEnvironment(await deps.environmentOf(turn));
    const result = await claimed.tools.call(call.name, call.input, { signal });
    const said = await deps.sandboxes.afterCall(turn);
    if (said.length === 0) return result;
    return { ...result, content: [...result.content, { type: "text", text: said.join("\n") }] };
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error;
    return { content: [{ type: "text", text: `The sandbox is not available: ${error.message}` }], isError: true };
  }
}

/** @throws SandboxError */
export async function openHarnessSandbox(
  deps: SandboxToolDeps & { issueToken(sandboxId: string, sessionId: string, threadId: string): string },
  turn: HeldTurn,
): Promise<HarnessSandbox> {
  const { sandbox } = await deps.sandboxes.claim(turn);
  return {
    id: sandbox.id,
    gone: sandbox.gone,
    exec: (command, options) => sandbox.exec(command, options),
    readFile: (path) => sandbox.readFile(path),
    writeFile: (path, data) => sandbox.writeFile(path, data),
    environment: await deps.environmentOf(turn),
    modelGateway: { baseUrl: MODEL_GATEWAY_URL, apiKey: deps.issueToken(sandbox.id, turn.sessionId, turn.threadId) },
  };
}

/** A result of a tool that did not run in the sandbox; what is too long for the model goes there. */
export async function fitInSandbox(sandboxes: SandboxOfTurn, turn: HeldTurn, callId: string, text: string): Promise<string> {
  if (text.length <= RESULT_CHARS_MAX) return text;
  try {
    const claimed = await sandboxes.claim(turn);
    return await unlessStopped(turn.controller.signal, claimed.tools.fit(text, callId));
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error;
    return cutText(text, null);
  }
}
