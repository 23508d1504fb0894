import type { Fetch } from "./token-request.ts";
import type { CapturedResponse } from "@sandbox0/protocol";
import { captureResponse } from "./captured-response.ts";

/** One request of the probe, its answer included. */
export const PROBE_TIMEOUT_MS = 20_000;
const PROTOCOL_VERSION = "2025-06-18";
const ACCEPT = "application/json, text/event-stream";

/** Refusals that say nothing of the credential. */
const PASSING = new Set([408, 425, 429]);
/** An old server, which has no streamable HTTP, may answer its POST so. */
const NOT_STREAMABLE = new Set([404, 405]);

export type Probe =
  | { verdict: "authenticated" }
  /** `unauthorized`: a 401. `rejected`: another answer that no new try would change. `unknown`: no answer, or a passing one. */
  | { verdict: "unauthorized" | "rejected" | "unknown"; method: string; response: CapturedResponse | null };

interface ProbeTarget {
  url: string;
  token: string;
  /** Everything that must not be shown. */
  secrets: readonly string[];
  timeoutMs?: number;
}

/**
 * Shows the token to an MCP server as a client would: `initialize`, and `tools/list`, as some servers ask for no
 * authentication before. No redirect is followed with the token.
 */
export async function probeServer(fetch: Fetch, target: ProbeTarget): Promise<Probe> {
  const first = await ask(fetch, target, "initialize", {
    protocolVersion: PROTOCOL_VERSION,
    capabilities: {},
    clientInfo: { name: "sandbox0", version: "1" },
  });
  if ("failed" in first) return first.failed;
  if (NOT_STREAMABLE.has(first.response.status)) return probeStream(fetch, target, first.response);
  if (!first.response.ok) return judge("initialize", first.response, target);
  const session = first.response.headers.get("mcp-session-id");
  await first.response.body?.cancel();
  const initialized = await ask(fetch, target, "notifications/initialized", undefined, session);
  if ("failed" in initialized) return initialized.failed;
  await initialized.response.body?.cancel();
  const list = await ask(fetch, target, "tools/list", {}, session);
  if ("failed" in list) return list.failed;
  if (!list.response.ok) return judge("tools/list", list.response, target);
  await list.response.body?.cancel();
  return { verdict: "authenticated" };
}

type Answer = { response: Response } | { failed: Probe };

async function ask(
  fetch: Fetch,
  target: ProbeTarget,
  method: string,
  params: object | undefined,
  session: string | null = null,
): Promise<Answer> {
  const isNotification = method.startsWith("notifications/");
  const body = { jsonrpc: "2.0", method, ...(params && { params }), ...(isNotification ? {} : { id: 1 }) };
  return send(fetch, target, method, {
    method: "POST",
    headers: { accept: ACCEPT, "content-type": "application/json", ...(session === null ? {} : { "mcp-session-id": session }) },
    body: JSON.stringify(body),
  });
}

/** The deprecated transport: a stream that a GET opens. */
async function probeStream(fetch: Fetch, target: ProbeTarget, refused: Response): Promise<Probe> {
  const captured = await judge("initialize", refused, target);
  const answer = await send(fetch, target, "initialize", { method: "GET", headers: { accept: "text/event-stream" } });
  if ("failed" in answer) return answer.failed;
  const { response } = answer;
  if (response.ok && response.headers.get("content-type")?.startsWith("text/event-stream")) {
    await response.body?.cancel();
    return { verdict: "authenticated" };
  }
  if (!response.ok && !NOT_STREAMABLE.has(response.status)) return judge("initialize", response, target);
  await response.body?.cancel();
  return captured;
}

async function send(
  fetch: Fetch,
  target: ProbeTarget,
  method: string,
  init: { method: string; headers: Record<string, string>; body?: string },
): Promise<Answer> {
  try {
    const headers = { ...init.headers, authorization: `Bearer ${target.token}` };
    const signal = AbortSignal.timeout(target.timeoutMs ?? PROBE_TIMEOUT_MS);
    return { response: await fetch(target.url, { ...init, headers, redirect: "manual", signal }) };
  } catch {
    // Refused address, DNS, TLS, no connection, no answer in time. The error may quote the other side: it stays here.
    return { failed: { verdict: "unknown", method, response: null } };
  }
}

async function judge(method: string, response: Response, target: ProbeTarget): Promise<Probe> {
  const { status } = response;
  const final = status >= 400 && status < 500 && !PASSING.has(status);
  const verdict = status === 401 ? "unauthorized" : final ? "rejected" : "unknown";
  try {
    return { verdict, method, response: await captureResponse(response, target.secrets) };
  } catch {
    // The head came, the body broke off.
    return { verdict, method, response: null };
  }
}
