import { readFile } from "node:fs/promises";
import { type Script, type ScriptedProvider, say, call, byMarker, createScriptedProvider } from "@sandbox0/testkit";
import { type ServerProcess, startServerProcess } from "../test/crash/server-process.ts";
import { EventStream } from "./event-stream.ts";
import { HttpConnection } from "./http-connection.ts";

export const API_KEY = "bench-key-of-the-operator";
const MODEL = "claude-bench";
const PAGE_KIB = 4;
const WARM_UP_TURNS = 200;
/** What a turn of the figures asks for. */
export const SAY = "<say>";
export const BASH = "<bash>";
/** With a command of the figure's own behind it: see {@link running}. */
const RUN = "<run>";
const ANSWER = "Hello. This is an answer of some eighty characters, as a short message would be.";
const BASH_OUTPUT = "bench-ok";

export const script: Script = byMarker({
  [SAY]: [say(ANSWER)],
  [BASH]: [call("bash", { command: `echo ${BASH_OUTPUT}` }), say(ANSWER)],
  [RUN]: [({ messages }) => call("bash", { command: messages.at(-1)?.text.split(RUN)[1] ?? "false" }), say(ANSWER)],
});

/** The message of a turn that runs this command; a turn whose command fails is an error. */
export const running = (command: string): string => `${RUN} set -e; ${command}; echo ${BASH_OUTPUT}`;

/** The scripted provider of a run: here, so that its clock is the client's. */
export function startProvider(): Promise<ScriptedProvider> {
  return createScriptedProvider({ script });
}

/** `sandbox0 serve` in its own process, with an agent and an environment. */
export interface BenchServer {
  readonly process: ServerProcess;
  readonly url: string;
  readonly agentId: string;
  readonly environmentId: string;
  connect(): Promise<HttpConnection>;
  createSession(connection: HttpConnection): Promise<string>;
  stream(sessionId: string, query?: string): Promise<EventStream>;
  /** Resident memory of the server process, in KiB. */
  rssKib(): Promise<number>;
  /** SIGTERM, and waits. */
  stop(): Promise<void>;
}

/** @param variables of the server, besides what every figure has */
export async function startBenchServer(
  dataDir: string,
  provider: ScriptedProvider,
  variables: Readonly<Record<string, string>> = {},
): Promise<BenchServer> {
  const server = await startServerProcess({
    SANDBOX0_DATA_DIR: dataDir,
    SANDBOX0_API_KEY: API_KEY,
    ANTHROPIC_API_KEY: "scripted",
    ANTHROPIC_BASE_URL: provider.url,
    OPENAI_API_KEY: "scripted",
    OPENAI_BASE_URL: provider.url,
    ...variables,
  });
  const connect = () => HttpConnection.open(server.url, API_KEY);
  const connection = await connect();
  const environment = await connection.json<{ id: string }>("POST", "/v1/environments", { name: "bench" });
  const agent = await connection.json<{ id: string }>("POST", "/v1/agents", {
    name: "bench",
    model: MODEL,
    tools: [{ type: "agent_toolset_20260401" }],
  });
  connection.close();
  return {
    process: server,
    url: server.url,
    agentId: agent.id,
    environmentId: environment.id,
    connect,
    async createSession(open) {
      const params = { agent: agent.id, environment_id: environment.id };
      return (await open.json<{ id: string }>("POST", "/v1/sessions", params)).id;
    },
    stream: (sessionId, query) => EventStream.open(server.url, API_KEY, sessionId, query),
    async rssKib() {
      const pages = (await readFile(`/proc/${server.pid}/statm`, "utf8")).split(" ")[1];
      return Number(pages) * PAGE_KIB;
    },
    async stop() {
      server.signal("SIGTERM");
      await server.exited;
    },
  };
}

/** Runs turns of one session: a server that has just started runs code that is not compiled yet, at twice the time. */
export async function warmUp(server: BenchServer): Promise<void> {
  const connection = await server.connect();
  const sessionId = await server.createSession(connection);
  const stream = await server.stream(sessionId);
  for (let turn = 0; turn < WARM_UP_TURNS; turn++) await runTurn(connection, stream, sessionId, SAY);
  stream.close();
  connection.close();
}

/** Sends a message; resolves when the server has stored it. */
export async function sendMessage(connection: HttpConnection, sessionId: string, text: string): Promise<void> {
  const events = [{ type: "user.message", content: [{ type: "text", text }] }];
  await connection.json("POST", `/v1/sessions/${sessionId}/events`, { events });
}

/**
 * Sends a message and waits for the end of its turn on the stream, which is cleared first.
 * @returns milliseconds from before the send until `session.status_idle` was read
 * @throws Error when the turn did not end as it should, or its tool call failed
 */
export async function runTurn(connection: HttpConnection, stream: EventStream, sessionId: string, text: string): Promise<number> {
  stream.clear();
  const sentAt = performance.now();
  const [, idleAt] = await Promise.all([
    sendMessage(connection, sessionId, text),
    stream.seen(({ type }) => type === "session.status_idle" || type === "session.status_terminated"),
  ]);
  checkTurn(stream, text);
  return idleAt - sentAt;
}

function checkTurn(stream: EventStream, text: string): void {
  const events = stream.events.map(({ event }) => event);
  const wanted = text === BASH ? ["agent.tool_result", "agent.message"] : ["agent.message"];
  const missing = wanted.filter((type) => !events.some((event) => event.type === type));
  const results = events.filter(({ type }) => type === "agent.tool_result");
  const wrong = results.filter(({ content }) => !JSON.stringify(content).includes(BASH_OUTPUT));
  const errors = events.filter(({ type }) => type === "session.error");
  if (missing.length + wrong.length + errors.length > 0) {
    throw new Error(`a turn failed: ${JSON.stringify({ missing, wrong, errors })}`);
  }
}
